"""A deployment's process, started by the first connection to its port, as the cloud starts an instance.

The supervisor holds the listening socket and lends it to the process (gunicorn's fd:// binding). So nobody else can
take the port, a call that comes while the process starts waits in the kernel, and when a process is killed only the
calls that it had taken are lost: those still waiting are taken by the next one.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from local.child import Child, Program
from local.table import Deployment

# A process that ends by itself this often in a row before it was ready is given up. Ends by a signal count less:
# somebody kills it, which says nothing about the function, or it crashes, which does.
MOST_FAILED_STARTS = 2
WEIGHT_OF_SIGNAL = 0.25
# The longest that a call waits for a process that starts. Its own time begins when the process is ready.
START_WITHIN_S = 60.0


def listen(host: str, port: int) -> socket.socket:
    """The socket on which calls wait. Raises OSError where the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    listener.setblocking(False)
    return listener


class FunctionProcess:
    """Keeps one process for one deployment while there are calls for it. Lives in the main thread's event loop.

    `program` is completed by the two descriptors that local.function_process wants.
    """

    def __init__(
        self,
        deployment: Deployment,
        program: Program,
        listener: socket.socket,
        *,
        host: str,
        on_start: Callable[[str, int], None],
    ) -> None:
        self.deployment = deployment
        self.url = f"http://{host}:{listener.getsockname()[1]}"
        self._listener = listener
        # One pipe for all processes to come: each writes a byte into it when it takes calls.
        self._ready_from, ready_to = os.pipe()
        os.set_blocking(self._ready_from, False)
        self._ready_to = ready_to
        lent = (listener.fileno(), ready_to)
        argv = [*program.argv, "--listen-fd", str(lent[0]), "--ready-fd", str(lent[1])]
        self.child = Child(replace(program, argv=argv, lent_fds=lent), None, on_start)
        self._is_ready = False
        self._failed_starts = 0.0
        self._problem = ""
        self._calls: set[asyncio.Timeout] = set()
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ready_from, self._on_ready)
        self._await_call()

    @property
    def problem(self) -> str:
        """Why the last start came to nothing; empty while all is well."""
        return self._problem

    @property
    def timeout_s(self) -> float:
        return float(self.deployment.timeout_s)

    @contextmanager
    def timing(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Let `limit` end a call when the function has had its time. A start, and a start anew, is not part of it."""
        self._give(limit)
        self._calls.add(limit)
        try:
            yield
        finally:
            self._calls.discard(limit)

    def _give(self, limit: asyncio.Timeout) -> None:
        limit.reschedule(self._loop.time() + (self.timeout_s if self._is_ready else START_WITHIN_S))

    def _set_ready(self, is_ready: bool) -> None:
        self._is_ready = is_ready
        for limit in self._calls:
            if not limit.expired():
                self._give(limit)

    def _on_ready(self) -> None:
        os.read(self._ready_from, 4096)
        self._failed_starts = 0.0
        self._problem = ""
        self._set_ready(self.child.running)

    def _await_call(self) -> None:
        self._loop.add_reader(self._listener, self._on_call)

    def _on_call(self) -> None:
        self._loop.remove_reader(self._listener)
        self._launch()

    def _launch(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._ready_from, 4096)  # of a process that was killed as soon as it was ready
        self.child.launch()
        self._watching = self._loop.create_task(self._watch(time.monotonic()))

    async def _watch(self, started: float) -> None:
        code = await self.child.ended() or 0
        was_ready = self._is_ready
        self._set_ready(False)
        if self._stopped:
            return
        if was_ready and code < 0:
            self._launch()  # it was wanted, and whoever has killed it waits to see it come back
            return
        if not was_ready:
            self._failed_starts += 1 if code >= 0 else WEIGHT_OF_SIGNAL
            self._problem = f"The function ended {time.monotonic() - started:.1f} s after its start. "
            self._problem += self.child.last_words(1)
        if self._failed_starts >= MOST_FAILED_STARTS:
            self._failed_starts = 0.0
            self._turn_away()
        self._await_call()

    def _turn_away(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.close()

    async def stop(self) -> None:
        self._stopped = True
        self._loop.remove_reader(self._listener)
        self._loop.remove_reader(self._ready_from)
        await self.child.stop()
        self._listener.close()
        os.close(self._ready_from)
        os.close(self._ready_to)
