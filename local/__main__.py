"""`python -m local`: the whole shop on one laptop, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO

from local.child import StartFailed
from local.database import DatabaseRefused
from local.postgres import PostgresFailed
from local.supervisor import CODE, CannotStart, LocalCloud, Options


def main() -> int:
    options = _read_options()
    options.state.mkdir(parents=True, exist_ok=True)
    options.state.chmod(0o700)
    (options.state / "logs").mkdir(exist_ok=True)
    with open(options.state / "lock", "a+") as lock:
        if not _take(lock):
            print(_where_it_runs(options.state), flush=True)
            return 0
        logging.basicConfig(
            filename=options.state / "logs" / "gateway.log", format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        try:
            return asyncio.run(_run(options))
        except (CannotStart, StartFailed, DatabaseRefused, PostgresFailed) as failure:
            print(f"The local cloud does not start: {failure}", file=sys.stderr, flush=True)
            return 1


def _read_options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole shop on one laptop.")
    parser.add_argument("--root", type=Path, default=CODE, help="the folder with functions/deployments.yaml")
    parser.add_argument("--state", type=Path, help="where all data lie (default: .local/shop under the root)")
    parser.add_argument("--port", type=int, help="of the gateway; 0 takes a free one (default: PORT, else 8080)")
    parser.add_argument("--catalog", default="demo", help="demo, none, or a file to import into an empty shop")
    parser.add_argument("--ready-file", type=Path, help="written when the shop is up: a JSON object that says where")
    arguments = parser.parse_args()
    port = arguments.port
    if port is None and os.environ.get("PORT"):
        port = int(os.environ["PORT"])
    root = arguments.root.resolve()
    return Options(
        root=root,
        state=(arguments.state or root / ".local" / "shop").resolve(),
        port=port,
        catalog=arguments.catalog if arguments.catalog in ("demo", "none") else os.path.abspath(arguments.catalog),
        ready_file=arguments.ready_file.resolve() if arguments.ready_file else None,
        database_url=os.environ.get("DATABASE_URL") or None,
    )


def _take(lock: IO[str]) -> bool:
    # The kernel lets go of it when this process dies, however it dies.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _where_it_runs(state: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        known = json.loads((state / "instance.json").read_text())
        return f"The shop of this checkout already runs on {known['url']} (pid {known['pid']})."
    return "The shop of this checkout is being started by another process."


async def _run(options: Options) -> int:
    began = time.monotonic()
    instance = options.state / "instance.json"
    instance.unlink(missing_ok=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    cloud = LocalCloud(options, say=lambda line: print(line, flush=True))
    starting, stopped = asyncio.create_task(cloud.start()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return 130
        await starting
        for file in (instance, options.ready_file):
            if file is not None:
                _write(file, json.dumps(dict(cloud.about()), indent=1))
        print(f"The shop is up after {time.monotonic() - began:.1f} s:", flush=True)
        print(f"  {cloud.url}/_local/   what runs where; Ctrl-C stops everything", flush=True)
        await stopped
        print("Stopping ...", flush=True)
        return 0
    finally:
        stopped.cancel()
        instance.unlink(missing_ok=True)
        await cloud.stop()


def _write(file: Path, content: str) -> None:
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(content)
    os.replace(fresh, file)


if __name__ == "__main__":
    sys.exit(main())
