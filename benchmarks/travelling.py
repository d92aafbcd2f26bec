"""Round trips to PostgreSQL of one checkout, counted on the wire."""

import socket
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks import goods
from benchmarks.figures import Figure, Goal, compare
from benchmarks.stage import SET_ASIDE, SKUS, Stage, at
from benchmarks.starting import place, pubsub
from benchmarks.stubs import stub


def round_trips(stage: Stage) -> Iterator[Figure]:
    carts = iter(goods.make_carts(stage.shop, "round-trips", 40, among=SKUS - SET_ASIDE))
    login = stage.server.login(stage.shop, stage.table.deployment("checkout").database_role)
    with stub() as paypal, pubsub(stage) as events, counting(login.host, login.port) as wire:
        database = at(login, port=wire.port)
        function = stage.function("checkout", database=database, PAYPAL_BASE_URL=paypal, PUBSUB_EMULATOR_HOST=events)
        with function:
            counts = []
            for _ in range(6 + stage.effort.rounds):
                before = wire.trips
                status, body = function.answer(place(next(carts)))
                if status != 201:
                    raise RuntimeError(f"the checkout answered {status}: {body[:300]!r}")
                counts.append(wire.trips - before)
    warm = counts[6:]
    yield compare(
        "round trips to PostgreSQL of POST /v1/checkouts, warm",
        [1.0] * len(warm),
        [float(count) for count in warm],
        unit="trips",
        goal=Goal(at_most=3),
        note=f"the first one on a cold instance: {counts[0]}, with connecting and preparing; "
        f"then {statistics.median(counts[1:6]):g}",
    )


class Wire:
    """Counts how often the client spoke after the server had: each is a wait of one round trip."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.trips = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            turn = _Turn()
            threading.Thread(target=self._ask, args=(client, server, turn), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client, turn), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, turn: "_Turn") -> None:
        with suppress(OSError):
            for chunk in _chunks(client, server):
                if turn.of_client:
                    turn.of_client = False
                    self.trips += 1
                server.sendall(chunk)

    def _answer(self, server: socket.socket, client: socket.socket, turn: "_Turn") -> None:
        with suppress(OSError):
            for chunk in _chunks(server, client):
                turn.of_client = True
                client.sendall(chunk)


class _Turn:
    def __init__(self) -> None:
        self.of_client = True


def _chunks(source: socket.socket, other: socket.socket) -> Iterator[bytes]:
    try:
        while chunk := source.recv(1 << 16):
            yield chunk
    finally:
        for end in (source, other):
            end.close()


@contextmanager
def counting(host: str, port: int) -> Iterator[Wire]:
    wire = Wire(host, port)
    try:
        yield wire
    finally:
        wire.close()
