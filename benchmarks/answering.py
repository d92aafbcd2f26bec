"""Warm answers: requests per second of a read by key, beside functions-framework's hello world."""

import selectors
import socket
import time
from collections.abc import Iterator

from benchmarks import goods
from benchmarks.figures import Figure, Goal, compare
from benchmarks.processes import FunctionProcess, get
from benchmarks.stage import SET_ASIDE, SKUS, Stage

CLIENTS = 16
_GOAL = Goal(at_least=0.5)


def reads_by_key(stage: Stage) -> Iterator[Figure]:
    cart_id = goods.make_carts(stage.shop, "read-by-key", 1, among=SKUS - SET_ASIDE)[0]
    reads = {
        "a product page": ("search", "/v1/products/lamp-1234"),
        "a cart": ("checkout", f"/v1/carts/{cart_id}"),
    }
    with stage.hello() as hello:
        for what, (name, path) in reads.items():
            with stage.function(name) as function:
                for process, key in ((hello, "/"), (function, path)):
                    process.answer(get(key))
                _rate(hello, "/", 0.5)
                _rate(function, path, 1.0)
                floors, ours = [], []
                for _ in range(stage.effort.rounds):
                    floors.append(_rate(hello, "/", stage.effort.seconds / 2))
                    ours.append(_rate(function, path, stage.effort.seconds / 2))
                yield compare(
                    f"read of {what}, warm, {CLIENTS} clients",
                    floors,
                    ours,
                    unit="/s",
                    floor_name="hello",
                    goal=_GOAL,
                )


def _rate(function: FunctionProcess, path: str, seconds: float) -> float:
    """Answers per second to CLIENTS that each ask again when they have been answered, over kept connections.

    One thread with raw sockets: the asking should take little of the CPU that the answering needs.
    """
    ask = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    selector = selectors.DefaultSelector()
    answered = 0
    try:
        for _ in range(CLIENTS):
            connection = _Connection(function.port, ask)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        began = time.perf_counter()
        until = began + seconds
        while (now := time.perf_counter()) < until:
            for key, _events in selector.select(timeout=5):
                answered += key.data.read(selector)
        return answered / (now - began)
    finally:
        for key in list(selector.get_map().values()):
            key.data.socket.close()
        selector.close()


class _Connection:
    def __init__(self, port: int, ask: bytes) -> None:
        self._port = port
        self._ask = ask
        self._left: int | None = None  # of the body; None: the head is not whole yet
        self._head = b""
        self._open()

    def _open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self._ask)

    def read(self, selector: selectors.BaseSelector) -> int:
        """1 where an answer is whole, which is asked for again at once."""
        try:
            chunk = self.socket.recv(1 << 16)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            # gunicorn closes some kept connections under load.
            selector.unregister(self.socket)
            self.socket.close()
            self._left, self._head = None, b""
            self._open()
            selector.register(self.socket, selectors.EVENT_READ, self)
            return 0
        if self._left is None:
            self._head += chunk
            head, separator, body = self._head.partition(b"\r\n\r\n")
            if not separator:
                return 0
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.split(b"\r\n", 1)[0].decode())
            lower = head.lower()
            self._left = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]) - len(body)
        else:
            self._left -= len(chunk)
        if self._left > 0:
            return 0
        closes = b"connection: close" in self._head.lower()
        self._left, self._head = None, b""
        if not closes:
            self.socket.sendall(self._ask)
        return 1
