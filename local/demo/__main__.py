"""`python -m local.demo [URL]`: one purchase against the running shop.

Exit status: 0 the order is paid, 1 a step failed, 2 no shop runs.
"""

import argparse
import os
import sys
from pathlib import Path

from local.demo.purchase import buy
from local.demo.shop import NoShopRuns, Shop, StepFailed, find_shop, listens
from local.demo.telling import Telling

# What the running shops of this checkout say of themselves.
INSTANCES = Path(__file__).resolve().parents[2] / ".local"
PAID, STEP_FAILED, NO_SHOP = 0, 1, 2


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local.demo", description="One purchase over HTTP, from a search to the mail."
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="of the shop (default: the one of this checkout)")
    parser.add_argument("--search", metavar="WORDS", help="buy something that they find (default: what sells best)")
    arguments = parser.parse_args(argv)
    # A shop sells names in any script; a terminal that cannot show one shows a question mark.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is a TextIOWrapper
    telling = Telling(sys.stdout)
    try:
        url = _find(arguments.url)
        telling.title(f"One purchase from Vitrine on {url}")
        number = buy(Shop(url, telling.call), telling, words=arguments.search)
    except NoShopRuns as reason:
        print(reason, file=sys.stderr)
        return NO_SHOP
    except BrokenPipeError:
        # Whoever read along has seen enough (`| head`); nothing more can be told, nor flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STEP_FAILED
    except StepFailed as reason:
        telling.failed(f"The purchase failed. {reason}")
        return STEP_FAILED
    telling.done(
        f"Order {number} is paid, its stock allocated, and one mail sent, {telling.elapsed_s:.1f} s after it began."
    )
    return PAID


def _find(url: str | None) -> str:
    if url is None:
        return find_shop(INSTANCES)
    named = (url if "://" in url else f"http://{url}").rstrip("/")
    if not listens(named):
        raise NoShopRuns(f"Nobody listens on {named}. `make run` starts a shop.")
    return named


if __name__ == "__main__":
    sys.exit(main())
