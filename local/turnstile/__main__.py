"""python -m local.turnstile: the Turnstile simulator as a process of its own."""

import argparse
import asyncio
from pathlib import Path

from local.clock import Clock
from local.faults import Faults
from local.turnstile.server import make_app
from local.turnstile.tokens import Tokens
from local.vendor_server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.turnstile", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one; the first line printed names it")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--secret", default="", help="the site's own; the published test secrets are known beside it")
    parser.add_argument("--hostname", default="127.0.0.1", help="of the page that tokens are given to")
    options = parser.parse_args()
    tokens = Tokens(options.state, Clock(options.clock), options.secret)
    app = make_app(tokens, Faults(options.faults), options.hostname)
    asyncio.run(serve(app, options.host, options.port, lambda url: None))


if __name__ == "__main__":
    main()
