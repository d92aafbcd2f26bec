"""`make bench-search N=1000000`: how long every kind of search takes, beside others' answers to it on the same rows.

The catalogue is drawn from a seed, so two runs search the same. Columns, in milliseconds: ours in the database, by one
warm connection, and over HTTP from the search function, by one kept connection; the predecessor's indexes of trigrams
(a page as it comes, by ILIKE; `ranked` are the best of it by similar words) and its full scan, in the database; a
search engine in this process. What is misspelt, trigrams find by what is similar, and rank. Everything is asked once
before it counts. Times faster is the predecessor's time by ours, each at its own percentile.
After the kinds: sizes, what building took, the first questions of new sessions, writes a second.

Filling takes most of the time: --keep fills a server in a folder once and searches it again next time, migrated to the
code's version of then (what search reads is copied anew only by --rebuild). --serve only starts it and says its
addresses, of which --server of another run takes the owner's.
"""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.searching import report
from benchmarks.searching.filling import project_anew, say
from benchmarks.searching.measuring import COLUMNS, Effort, Measured, Measuring
from benchmarks.searching.sessions import SESSIONS, first_questions
from benchmarks.searching.shops import NotUsable, Shop, open_shop
from benchmarks.searching.writes import measure_writes

PRODUCTS = 50_000
# What new sessions are asked.
FIRST = "two words"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.searching",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--products", type=int, metavar="N", help=f"how many: {PRODUCTS:,}, or as many as were kept")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--keep", type=Path, metavar="DIR", help="fill a server in DIR, or search what it has")
    where.add_argument("--server", metavar="URL", help="search a filled database, as its owner")
    parser.add_argument("--serve", action="store_true", help="fill, say the addresses and wait for Ctrl-C or SIGTERM")
    parser.add_argument("--rebuild", action="store_true", help="copy what search reads anew, with this code")
    parser.add_argument("--kinds", metavar="WORD", default="", help="only kinds with this in their name, nothing else")
    parser.add_argument("--columns", metavar="A,B", default=",".join(COLUMNS), help=f"of {', '.join(COLUMNS)}")
    parser.add_argument("--within", type=float, default=Effort().within_s, metavar="S", help="for a kind and column")
    options = parser.parse_args()
    effort = Effort(within_s=options.within)
    # Whoever stops it in the background, where Ctrl-C is not heard, stops its server as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_shop(products=options.products, keep=options.keep, server=options.server, default=PRODUCTS) as shop:
            if options.rebuild:
                project_anew(shop.owner)
            if options.serve:
                _serve(shop)
            kept = options.keep / f"engine-{shop.products}" if options.keep else None
            with Measuring(shop, effort, columns=options.columns.split(","), engine_folder=kept) as measuring:
                measure(measuring, only=options.kinds)
    except NotUsable as refused:
        say(str(refused))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def measure(
    measuring: Measuring, *, only: str = "", sessions: int = SESSIONS, writing_s: float = 5.0
) -> list[Measured]:
    """Prints what it finds, the kinds when all are done."""
    kinds = [kind for kind in measuring.kinds() if only in kind.name]
    measured = [measuring.measure(kind) for kind in kinds]
    print(report.table(measured))
    for column, why in measuring.skipped.items():
        print(f"no column {column}: {why}")
    if only:
        return measured
    engine = measuring.engine
    print(report.sizes(measuring.shop, engine.megabytes if engine is not None else None))
    print(report.building(measuring.shop, engine.seconds if engine is not None else None))
    words = next(kind for kind in kinds if kind.name == FIRST)
    print(report.sessions(first_questions(measuring.open_database, words.questions, sessions=sessions)))
    print(report.writes(measure_writes(measuring.shop, within_s=writing_s)))
    return measured


def _serve(shop: Shop) -> None:
    print(f"owner  {shop.owner.url}\nsearch {shop.login('search').url}", flush=True)
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
