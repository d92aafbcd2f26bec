"""`python -m tests.chaos --seed 1 --histories 10` plays them, prints what struck and what broke; 1 if anything did."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.running import Run, Settings
from tests.chaos.stories import draw
from tests.chaos.telling import tell_all


class Bar:
    """How far it is, on one line of a terminal, or a line for every batch elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()

    def show(self, counts: Counter[str], breaches: int) -> None:
        done = counts["histories"]
        filled = int(24 * done / max(self._total, 1))
        pace_s = (time.monotonic() - self._began) / max(done, 1)
        line = (
            f"[{'#' * filled}{'.' * (24 - filled)}] {done}/{self._total} histories, {counts['orders placed']} orders,"
            f" {counts['kills that hit work']} kills, {counts['faults that fired']} faults, {breaches} breaches,"
            f" {pace_s:.1f} s each"
        )
        if sys.stderr.isatty():
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first history's; the others follow")
    parser.add_argument("--histories", type=int, default=5)
    parser.add_argument(
        "--at-once", type=int, default=10, help="how many histories share a cloud's time, and its misfortunes"
    )
    parser.add_argument("--cloud-every", type=int, default=120, help="histories until a fresh cloud is started")
    parser.add_argument(
        "--repeat", type=int, default=3, help="how often a failing story is played before it counts as gone"
    )
    parser.add_argument("--tries", type=int, default=40, help="how many shorter stories are tried")
    parser.add_argument("--tell", action="store_true", help="print the stories and play nothing")
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + options.histories)
    if options.tell:
        print(tell_all([draw(seed) for seed in seeds]))
        return 0
    settings = Settings(options.at_once, options.cloud_every, options.repeat, options.tries)
    bar = Bar(options.histories)
    with tempfile.TemporaryDirectory(prefix="vitrine-chaos-") as folder, Run(Path(folder), settings, say=_say) as run:
        failures = run.play(seeds, progress=bar.show)
        print("\n" + "\n".join(table(run.counts, len(failures))))
        print("\n" + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in run.seconds.items()))
        for failure in failures:
            print("\n" + "\n".join(failure.told()))
    if not run.counts["orders ever paid"]:
        print("Not one order was ever paid: these histories prove nothing.")
        return 1
    return 1 if failures else 0


def _say(line: str) -> None:
    print(f"\n{line}", file=sys.stderr, flush=True)


def table(counts: Counter[str], failures: int) -> list[str]:
    """Every count, those that say most first."""
    first = [
        "histories", "orders placed", "orders ever paid", *sorted(name for name in counts if name.startswith("end: ")),
        *sorted(name for name in counts if name.startswith("refunds ")), "kills asked", "kills", "kills that hit work",
        "kills between a vendor's effect and our commit", "stops", "stops that hit work", "clock jumps", "faults asked",
        "faults that fired",
    ]  # fmt: skip
    rest = sorted(name for name in counts if name not in first)
    lines = [f"{counts[name]:>8}  {name}" for name in [*first, *rest]]
    return [*lines, f"{failures:>8}  breaches"]


if __name__ == "__main__":
    sys.exit(main())
