"""The minute's job of documents: what it does after one another, and that no part of it stops the others."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import date
from uuid import UUID

import pytest

from shared.documents.documents import Content
from shared.documents.issuing import Case
from shared.documents.sweeping import sweep
from shared.kernel.errors import Unavailable

OWED, YOUNG, OLD, OLDER = (UUID(int=n) for n in (1, 2, 3, 4))


class _Store:
    """One order of each kind; what `fails` raises `error`, and everything that is asked is written down."""

    def __init__(self, fails: str, error: Exception, old: Sequence[UUID] = (OLD,)) -> None:
        self._old = old
        self.done: list[str] = []
        self._fails, self._error = fails, error
        self._days = iter([date(2026, 11, 1), None])

    def _do(self, name: str) -> None:
        self.done.append(name)
        if name == self._fails:
            raise self._error

    def list_owing(self, after: int, limit: int) -> Sequence[tuple[int, UUID]]:
        self._do("list_owing")
        return [] if after else [(7, OWED)]

    def find_case(self, order_id: UUID) -> Case | None:
        self._do(f"issue {order_id.int}")
        return None

    def issue(self, document_id: UUID, content: Content, *, before: int, prefix: str) -> str:
        raise AssertionError

    def list_forgotten(self, limit: int) -> Sequence[UUID]:
        self._do("list_forgotten")
        return [YOUNG]

    def look_on(self, limit: int, *, past: Collection[UUID] = ()) -> Sequence[UUID] | None:
        """Settling cures none of them: each is found until it is looked past."""
        self._do("look_on")
        return [order_id for order_id in self._old if order_id not in past] or None

    def sum_next_day(self) -> date | None:
        self._do("sum_next_day")
        return next(self._days)


def _run(
    fails: str = "", error: Exception | None = None, *, has_time: bool = True, old: Sequence[UUID] = (OLD,)
) -> list[str]:
    store = _Store(fails, error or Unavailable(), old)

    def each(work: Callable[[UUID], object], order_ids: Sequence[UUID]) -> None:
        for order_id in order_ids:
            with suppress(Exception):
                work(order_id)

    sweep(
        store=store,
        settle=lambda order_id: store._do(f"settle {order_id.int}"),
        each=each,
        has_time=lambda: has_time,
        batch=100,
    )
    return store.done


ISSUED = ["list_owing", "issue 1", "list_owing"]
LOOKED = ["list_forgotten", "settle 2", "look_on", "settle 3", "look_on", "look_on"]
SUMMED = ["sum_next_day", "sum_next_day"]


def test_what_is_owed_is_issued_before_anything_is_looked_for() -> None:
    assert _run() == [*ISSUED, *LOOKED, *SUMMED]


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("statement timeout")])
@pytest.mark.parametrize(
    ("fails", "done"),
    [
        ("list_owing", ["list_owing", *LOOKED, *SUMMED]),
        ("list_forgotten", [*ISSUED, "list_forgotten", *LOOKED[2:], *SUMMED]),
        ("settle 2", [*ISSUED, *LOOKED, *SUMMED]),
        ("look_on", [*ISSUED, *LOOKED[:3], *SUMMED]),
        ("sum_next_day", [*ISSUED, *LOOKED, "sum_next_day"]),
    ],
)
def test_a_part_that_fails_stops_no_other(fails: str, done: list[str], error: Exception) -> None:
    assert _run(fails, error) == done


def test_an_order_that_settling_does_not_cure_is_looked_past_and_one_that_fails_keeps_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = _run("settle 3", old=[OLD, OLDER])

    looks = ["look_on", "settle 3", "settle 4", "look_on", "look_on", "settle 3", "look_on"]
    assert done == [*ISSUED, *LOOKED[:2], *looks, *SUMMED]
    told = [(record.levelname, record.message, vars(record)["fields"]) for record in caplog.records]
    assert told == [("ERROR", "order_stays_forgotten", {"order_id": OLDER})]


def test_nothing_is_begun_when_the_time_is_up() -> None:
    assert _run(has_time=False) == []
