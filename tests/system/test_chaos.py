"""Random histories: everybody acts at once while the cloud is struck, and the auditor finds nothing afterwards.

More of them, with a progress bar and a table: `make chaos SEED=1 N=1000`. What failed here fails there again, with the
shortest story that does: the seeds are those of the message.
"""

from pathlib import Path

import pytest

from tests.chaos.running import Run, Settings
from tests.numbers import HISTORIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


HAPPENED = ("orders ever paid", "kills that hit work", "faults that fired")
ROUNDS = 8


def test_no_history_breaks_a_rule(tmp_path: Path) -> None:
    """A round in which nobody paid, or that no kill and no fault met, proves little: then there is another."""
    played = 0
    said: list[str] = []
    with Run(tmp_path, Settings(at_once=5, repeat=1, tries=6), say=said.append) as run:
        for _ in range(ROUNDS):
            seeds = range(played + 1, played + HISTORIES + 1)
            failures = run.play(seeds, progress=lambda counts, failed: None)
            assert failures == [], "\n".join(line for failure in failures for line in failure.told())
            played += HISTORIES
            if all(run.counts[name] for name in HAPPENED):
                break

    assert run.counts["histories"] == played
    assert [name for name in HAPPENED if not run.counts[name]] == []
