"""`python -m functions.search.cli rebuild`: what search reads, made anew while the shop is read and changed.

The shop is the one of DATABASE_URL, else the one that runs in this checkout. An interrupted rebuild goes on where it
was, here or in the job; --anew begins again. Exit status: 0 done, 2 the database could not be reached, 130 stopped.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from shared.kernel.clock import SystemClock
from shared.kernel.errors import Unavailable
from shared.persistence.connecting import connector
from shared.persistence.database import Database, SqlError
from shared.persistence.search_projection import SearchProjection
from shared.search.projecting import Rebuild, rebuild
from shared.settings import DatabaseSettings, SettingsError, environment

DONE, UNREACHABLE, STOPPED = 0, 2, 130

INSTANCES = Path(".local")
STATEMENT_TIMEOUT_MS = 120_000
SAID_EVERY_S = 2.0
# Whoever does not own the tables gets a warning instead; autovacuum comes a minute later anyway.
_ANALYZE = "analyze search_products, search_prices, search_texts, search_variants, search_words, search_misspellings"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m functions.search.cli")
    commands = parser.add_subparsers(dest="command", required=True)
    rebuilding = commands.add_parser("rebuild", help="copy the whole catalogue into what search reads")
    rebuilding.add_argument("--anew", action="store_true", help="from the first product, whatever was done before")
    rebuilding.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args(argv)
    try:
        return _rebuild(anew=arguments.anew, quiet=arguments.quiet)
    except (SettingsError, SqlError, LookupError) as error:
        _say(str(error))
        return UNREACHABLE
    except Unavailable:
        _say("the database does not answer; the rebuild goes on where it was when it is started again")
        return UNREACHABLE
    except KeyboardInterrupt:
        _say("stopped; the rebuild goes on where it was when it is started again")
        return STOPPED


def _rebuild(*, anew: bool, quiet: bool) -> int:
    database = Database(
        connector(_settings(), application="vitrine-rebuild", statement_timeout_ms=STATEMENT_TIMEOUT_MS),
        size=1,
        clock=SystemClock(),
    )
    began = said = time.monotonic()
    analyzed = 0

    def tell(at: Rebuild) -> None:
        nonlocal said, analyzed
        # Plans that were made while nothing was there read all there is, chunk after chunk.
        if at.done >= max(400, analyzed * 8):
            database.call(_ANALYZE)
            analyzed = at.done
        if not quiet and time.monotonic() - said >= SAID_EVERY_S:
            said = time.monotonic()
            _say(f"{at.done} of about {at.total} products")

    try:
        done = rebuild(projection=SearchProjection(database), clock=SystemClock(), anew=anew, progress=tell)
        database.call(_ANALYZE)
    finally:
        database.close()
    if not quiet:
        _say(f"{done.done} products in {time.monotonic() - began:.1f} s")
    return DONE


def _settings() -> DatabaseSettings:
    """DATABASE_URL, or the ways of a deployment, or the shop that runs in this checkout. Raises LookupError."""
    env = dict(environment())
    if "DATABASE_ACCESS" not in env:
        url = env.get("DATABASE_URL") or _find_running_shop()
        env |= {"VITRINE_ENVIRONMENT": "local", "DATABASE_ACCESS": "url", "DATABASE_URL": url}
    return DatabaseSettings.from_env({"POOL_SIZE": "1"} | env)


def _find_running_shop() -> str:
    for instance in sorted(INSTANCES.glob("*/instance.json")):
        try:
            return str(json.loads(instance.read_text())["database_url"])
        except (OSError, ValueError, KeyError):
            continue
    raise LookupError("no shop runs in this folder: start one with `make run`, or set DATABASE_URL")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
