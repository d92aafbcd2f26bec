"""One deployment as the cloud runs it: functions-framework's own gunicorn, in a process whose clock can be moved.

Only this launcher shifts time; a deployed archive has no setting that could. It imports as little as it can, because
its start is part of every local cold start.
"""

import argparse
import os
import sys
import time
from typing import Any

from local.clock import Clock
from local.forking import die_with_parent


def shift_time(clock: Clock) -> None:
    """Make time.time() and time.time_ns() of this process, and of all it imports from now on, follow the clock file.

    gRPC alone keeps the machine's time: it makes deadlines with time.time(), and its core reads them by another clock,
    so that a call that may take a second would wait as long as the shop's clock is ahead.
    """
    real, real_ns = time.time, time.time_ns

    def shifted() -> float:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        return real() if caller.startswith("grpc.") else clock.now()

    time.time = shifted
    time.time_ns = lambda: real_ns() + int(clock.offset_s() * 1_000_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.function_process")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--listen-fd", type=int, help="a socket that listens already; else HOST and PORT are bound")
    parser.add_argument("--clock", required=True, help="the file that holds the offset in seconds")
    parser.add_argument("--ready-fd", type=int, help="gets a byte when calls are taken")
    arguments = parser.parse_args()

    shift_time(Clock(arguments.clock))
    # gunicorn's worker serves on when its master is killed; here nothing may be left behind.
    os.register_at_fork(after_in_child=die_with_parent)

    from functions_framework import create_app
    from functions_framework._http import create_server

    app = create_app(  # type: ignore[no-untyped-call]
        os.environ["FUNCTION_TARGET"], os.environ["FUNCTION_SOURCE"], "http"
    )
    options: dict[str, Any] = {}
    if arguments.listen_fd is not None:
        options["bind"] = f"fd://{arguments.listen_fd}"
    if arguments.ready_fd is not None:
        options["post_worker_init"] = lambda worker: os.write(arguments.ready_fd, b"1")
    create_server(app, False, **options).run(arguments.host, arguments.port)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
