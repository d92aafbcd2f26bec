"""Random histories: everybody acts at once while the cloud is struck, and the auditor finds nothing afterwards.

More of them, with a progress bar and a table: `make chaos SEED=1 N=1000`. What failed here fails there again, with the
shortest story that does: the seeds are those of the message.
"""

from pathlib import Path

import pytest

from tests.chaos.running import Run, Settings
from tests.numbers import HISTORIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_no_history_breaks_a_rule(tmp_path: Path) -> None:
    seeds = range(1, HISTORIES + 1)
    said: list[str] = []
    with Run(tmp_path, Settings(at_once=5, repeat=1, tries=6), say=said.append) as run:
        failures = run.play(seeds, progress=lambda counts, failed: None)

    assert failures == [], "\n".join(line for failure in failures for line in failure.told())
    assert run.counts["histories"] == HISTORIES
    assert run.counts["orders ever paid"] >= 1
    assert run.counts["kills that hit work"] >= 1
    assert run.counts["faults that fired"] >= 1
