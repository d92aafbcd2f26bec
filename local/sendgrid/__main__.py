"""python -m local.sendgrid: the SendGrid simulator as a process of its own."""

import argparse
import asyncio
import contextlib
from pathlib import Path

from local.clock import Clock
from local.faults import Faults
from local.sendgrid.mailbox import Mailbox
from local.sendgrid.reporter import Reporter
from local.sendgrid.server import make_app
from local.sendgrid.signing import ensure_key, load_key
from local.vendor_server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.sendgrid", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one; the first line printed names it")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--event-url", required=True, help="where the signed event webhook goes")
    parser.add_argument("--signing-key", type=Path, required=True, help="EC private key (PEM); made if it is not there")
    parser.add_argument("--api-key", default="", help="the only key that is accepted; without it any bearer token is")
    options = parser.parse_args()
    ensure_key(options.signing_key)
    faults = Faults(options.faults)
    mailbox = Mailbox(options.state, Clock(options.clock))
    asyncio.run(run(options, mailbox, faults))


async def run(options: argparse.Namespace, mailbox: Mailbox, faults: Faults) -> None:
    reporter = Reporter(mailbox, faults, load_key(options.signing_key), options.event_url)
    reporting = asyncio.create_task(reporter.run())
    app = make_app(mailbox, reporter, faults, options.api_key)
    await serve(app, options.host, options.port, lambda url: None)
    reporting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reporting


if __name__ == "__main__":
    main()
