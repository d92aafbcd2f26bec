"""Work that goes out by HTTP when it is due: what Pub/Sub's push and Cloud Tasks have in common."""

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import aiohttp

from local.clock import Clock
from local.faults import Drawn

# How late a step of the clock may be noticed. A tick costs one stat() of the clock file; due times are met without it.
TICK_S = 0.1
# How long a fault holds a delivery back that does not say it.
DELAY_S = 2.0

log = logging.getLogger(__name__)


class Item(Protocol):
    """One thing to deliver. It stays in its state file until it has been settled there."""

    @property
    def id(self) -> int: ...

    @property
    def lane(self) -> str: ...


ItemT = TypeVar("ItemT", bound=Item)


class Source(Protocol[ItemT]):
    """Where the work lies, in lanes: a subscription or a queue each."""

    def lanes(self) -> Mapping[str, int]:
        """Every lane and how many of its items may be under way at once."""

    def list_due(self, lane: str, *, now: float, limit: int, besides: Sequence[int]) -> list[ItemT]:
        """What is due in a lane, the longest due first, but for the items that are under way."""

    def next_due(self, *, now: float) -> float:
        """When something becomes due that is not yet, infinity for never."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended: an HTTP status, or none and the reason."""

    status: int | None
    problem: str = ""
    retry_after_s: float = 0.0

    @property
    def text(self) -> str:
        return self.problem or f"HTTP {self.status}"


class Dispatcher(Generic[ItemT]):
    """Starts what is due, so many at once in each lane, for as long as it runs.

    What is under way is known in memory alone: after a kill it is simply due again.
    """

    def __init__(self, source: Source[ItemT], deliver: Callable[[ItemT], Awaitable[None]], clock: Clock) -> None:
        self._source = source
        self._deliver = deliver
        self._clock = clock
        self._woken = asyncio.Event()
        self._next_due = -math.inf
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        self._overtakers: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)

    @property
    def under_way(self) -> frozenset[int]:
        return frozenset(self._under_way)

    def wake(self) -> None:
        """Something new may be due."""
        self._woken.set()

    async def run(self) -> None:
        self._tick()
        while True:
            await self._woken.wait()
            self._woken.clear()
            now = self._clock.now()
            self._start_due(now)
            self._next_due = self._source.next_due(now=now)

    def _tick(self) -> None:
        # A bare callback: a server that has nothing to do should cost nothing.
        left_s = self._next_due - self._clock.now()
        if left_s <= 0:
            self.wake()
        asyncio.get_running_loop().call_later(min(TICK_S, max(left_s, 0.001)), self._tick)

    def _start_due(self, now: float) -> None:
        for lane, at_once in self._source.lanes().items():
            free = at_once - self._busy[lane]
            if free <= 0:
                continue
            for item in self._source.list_due(lane, now=now, limit=free, besides=list(self._under_way)):
                self._busy[lane] += 1
                self._under_way[item.id] = asyncio.create_task(self._run(item))

    async def _run(self, item: ItemT) -> None:
        try:
            await self._deliver(item)
        except Exception:
            # It is still in the state file; a second of rest keeps a bug of ours from spinning.
            log.exception("delivery_failed")
            await asyncio.sleep(1)
        finally:
            del self._under_way[item.id]
            self._busy[item.lane] -= 1
            for waiter in self._overtakers.pop(item.lane, []):
                if not waiter.done():
                    waiter.set_result(None)
            self.wake()

    async def attempt(self, item: ItemT, fault: Drawn | None, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send once, with the fault that was drawn for it."""
        if fault == "lose":
            return Answer(None, "lost on its way (fault)")
        if fault == "error":
            return Answer(None, "failed before it was sent (fault)")
        if fault == "delay":
            await asyncio.sleep(DELAY_S if fault.delay_s is None else fault.delay_s)
        if fault == "reorder":
            await self._overtaken(item.lane)
        answer = await send()
        if fault == "repeat":
            await send()
        if fault == "timeout_after_effect":
            return Answer(None, "delivered, and no answer came in time (fault)")
        return answer

    async def _overtaken(self, lane: str) -> None:
        # Another item of the lane goes first; where none comes, this one does not wait for ever.
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._overtakers[lane].append(waiter)
        await asyncio.wait([waiter], timeout=DELAY_S)


class Sender:
    """An HTTP client that takes every answer as it comes: no redirects, no cookies, no retries."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        if self._session is None:
            # Connections are not kept: a function may be killed and come back on its port between two calls, and a
            # request on a dead connection would look like a failure of the function.
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=["Accept-Encoding", "Content-Type"],
            )
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                return Answer(response.status, retry_after_s=_seconds(response.headers.get("Retry-After", "")))
        except TimeoutError:
            return Answer(None, f"no answer within {timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            return Answer(None, f"{type(problem).__name__}: {problem}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0
