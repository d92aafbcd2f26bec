"""A deployment's process, started by the first connection to its port, as the cloud starts an instance.

The supervisor holds the listening socket and lends it to the process (gunicorn's fd:// binding). So nobody else can
take the port, a call that comes while the process starts waits in the kernel, and when a process is killed only the
calls that it had taken are lost: those still waiting are taken by the next one.
"""

import asyncio
import socket
import time
from contextlib import suppress

from local.child import Child, Program
from local.table import Deployment

# A process that ends by itself this often in a row without having served anything is given up.
MOST_FAILED_STARTS = 2
# A cold start is not part of the time that the function has for its answer.
START_ALLOWANCE_S = 30.0


def listen(host: str, port: int) -> socket.socket:
    """The socket on which calls wait. Raises OSError where the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    listener.setblocking(False)
    return listener


class FunctionProcess:
    """Keeps one process for one deployment while there are calls for it. Lives in the main thread's event loop."""

    def __init__(self, deployment: Deployment, program: Program, listener: socket.socket, *, host: str) -> None:
        self.deployment = deployment
        self.child = Child(program, None)
        self.url = f"http://{host}:{listener.getsockname()[1]}"
        self._listener = listener
        self._failed_starts = 0
        self._served = 0
        self._problem = ""
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False
        self._await_call()

    @property
    def timeout_s(self) -> float:
        """How long a call that is sent now may take."""
        return self.deployment.timeout_s + (0 if self._served and self.child.running else START_ALLOWANCE_S)

    @property
    def problem(self) -> str:
        """Why the last start came to nothing; empty while all is well."""
        return self._problem

    def note_answer(self) -> None:
        """The process has answered a call: it works."""
        self._served += 1
        self._failed_starts = 0
        self._problem = ""

    def _await_call(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._on_call)

    def _on_call(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._served = 0
        self.child.launch()
        self._watching = asyncio.create_task(self._watch(time.monotonic()))

    async def _watch(self, started: float) -> None:
        code = await self.child.ended()
        if self._stopped:
            return
        # A negative code is a signal: somebody killed it, which says nothing about the function.
        if code is not None and code >= 0 and not self._served:
            self._failed_starts += 1
            self._problem = f"The function ended {time.monotonic() - started:.1f} s after its start. "
            self._problem += self.child.last_words(1)
        if self._failed_starts >= MOST_FAILED_STARTS:
            self._failed_starts = 0
            self._turn_away()
        self._await_call()

    def _turn_away(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.close()

    async def stop(self) -> None:
        self._stopped = True
        asyncio.get_running_loop().remove_reader(self._listener)
        await self.child.stop()
        self._listener.close()
