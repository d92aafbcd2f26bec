"""`make bench-search N=1000000`: how long every kind of search takes, beside a full scan and trigrams on the same rows.

The catalogue is drawn from a seed, so two runs search the same. Filling takes most of the time: `--keep DIR` keeps the
filled server in a folder and searches it again next time, migrated to the code's version of then (copies are made anew
only where a migration or `make rebuild-search` with its DATABASE_URL does it). `--serve` only starts it and says its
address, which `--server` of another run takes. Times are a client's with one warm connection, in milliseconds; a ratio
above 1 says how often faster.
"""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.searching.comparing import compare, sizes
from benchmarks.searching.filling import say
from benchmarks.searching.shops import NotUsable, Shop, open_shop

PRODUCTS = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searching", description=__doc__)
    parser.add_argument("--products", type=int, help=f"how many, {PRODUCTS} unless kept ones are more or fewer")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--keep", type=Path, metavar="DIR", help="fill a server in DIR, or search what it has")
    where.add_argument("--server", metavar="URL", help="search a filled database, as its owner")
    parser.add_argument("--serve", action="store_true", help="fill, say the address and wait for Ctrl-C")
    options = parser.parse_args()
    try:
        with open_shop(products=options.products, keep=options.keep, server=options.server, default=PRODUCTS) as shop:
            if options.serve:
                _serve(shop)
            else:
                _measure(shop)
    except NotUsable as refused:
        say(str(refused))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(shop: Shop) -> None:
    print(f"owner  {shop.owner.url}\nsearch {shop.login('search').url}", flush=True)
    signal.pause()


def _measure(shop: Shop) -> None:
    compare(shop)
    sizes(shop)


if __name__ == "__main__":
    sys.exit(main())
