"""python -m local.paypal: the PayPal simulator as a process of its own."""

import argparse
import asyncio
import contextlib
from pathlib import Path

from local.clock import Clock
from local.faults import Faults
from local.paypal.server import make_app
from local.paypal.simulator import Simulator
from local.vendor_server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.paypal", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=int, required=True, help="0 picks a free one, which the first line printed names"
    )
    parser.add_argument("--state", type=Path, required=True, help="folder of the books and certificates")
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--webhook-url", required=True)
    parser.add_argument("--public-url", default="", help="how a browser reaches this simulator")
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--client-secret", required=True)
    parser.add_argument("--webhook-id", required=True)
    options = parser.parse_args()
    simulator = Simulator(
        state=options.state,
        clock=Clock(options.clock),
        faults=Faults(options.faults),
        webhook_url=options.webhook_url,
        public_url=options.public_url,
        client_id=options.client_id,
        client_secret=options.client_secret,
        webhook_id=options.webhook_id,
    )
    asyncio.run(run(simulator, options.host, options.port))


async def run(simulator: Simulator, host: str, port: int) -> None:
    couriers: list[asyncio.Task[None]] = []

    def listening(url: str) -> None:
        simulator.listen(url)
        couriers.append(asyncio.create_task(simulator.courier.run()))

    await serve(make_app(simulator), host, port, listening)
    for courier in couriers:
        courier.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await courier


if __name__ == "__main__":
    main()
