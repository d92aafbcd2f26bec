"""`make bench`, or `python -m benchmarks [NAME...]`: the figures of docs/architecture.md. Exits 0 whatever they are."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import answering, crypto, flash_sale, following, ordering, starting, travelling
from benchmarks.figures import Figure, as_json, as_table, failed
from benchmarks.stage import Effort, Stage

BENCHMARKS: Mapping[str, Callable[[Stage], Iterable[Figure]]] = {
    "cold-start": starting.cold_starts,
    "cold-start-tls": starting.cold_starts_over_tls,
    "cold-start-connector": starting.cold_starts_by_connector,
    "first-order": starting.first_orders,
    "read-by-key": answering.reads_by_key,
    "round-trips": travelling.round_trips,
    "orders": ordering.orders_spread,
    "hot-sku": ordering.orders_of_one_sku,
    "flash-sale": flash_sale.flash_sale,
    "outbox": ordering.outbox,
    "following": following.following,
    "webhook-check": crypto.webhook_check,
}

_USUAL = Effort()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="the same figures as JSON")
    parser.add_argument("--rounds", type=int, default=_USUAL.rounds, help="pairs of every comparison")
    parser.add_argument("--seconds", type=float, default=_USUAL.seconds, help="how long each run under load takes")
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no {name!r}; there are {', '.join(BENCHMARKS)}")
    figures = measure(options.names or list(BENCHMARKS), Effort(options.rounds, options.seconds))
    if options.json:
        print(as_json(figures))
        return
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(
        f"\n{os.cpu_count()} cores, load {load}, Python {sys.version.split()[0]}. A ratio is the median over pairs that"
    )
    print("ran one after the other; only ratios carry over to another machine.\n")
    print(as_table(figures))


def measure(names: Sequence[str], effort: Effort) -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder, Stage(Path(folder), effort) as stage:
        for name in names:
            began = time.monotonic()
            try:
                figures += BENCHMARKS[name](stage)
            except Exception as error:  # noqa: BLE001 - the other figures are worth having
                traceback.print_exc()
                figures.append(failed(name, f"{type(error).__name__}: {error}".splitlines()[0]))
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    main()
