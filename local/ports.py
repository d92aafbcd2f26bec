"""Free loopback ports, remembered: a bookmarked page and a stored URL stay true over restarts."""

import json
import os
import random
import socket
from pathlib import Path

# Below the range from which systems take the ports of outgoing connections (Linux 32768, macOS and Windows 49152):
# a server that is down for a moment must not lose its port to somebody's client.
FIRST, LAST = 20000, 32700


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def find_free_port(taken: frozenset[int] = frozenset()) -> int:
    """A port where nobody listens and that is not in `taken`. Raises RuntimeError if there is none."""
    draw = random.SystemRandom()
    for _ in range(2000):
        port = draw.randint(FIRST, LAST)
        if port not in taken and is_free(port):
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")


class Ports:
    """The ports of one state folder by the name of their server."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def port_of(self, server: str) -> int:
        """The port it had the last time if that is free, else a new one. Ask once, before the server runs."""
        port = self._known.get(server)
        if port is None or not is_free(port):
            port = find_free_port(frozenset(self._known.values()))
            self.remember(server, port)
        return port

    def recall(self, server: str) -> int | None:
        return self._known.get(server)

    def remember(self, server: str, port: int) -> None:
        self._known[server] = port
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._known, indent=1, sort_keys=True))
        os.replace(fresh, self._file)
