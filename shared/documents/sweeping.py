"""Sweeping: the documents that orders owe, each minute. First what is known to be owed, then what has to be found."""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import Protocol
from uuid import UUID

from shared.documents import issuing
from shared.kernel.errors import Unavailable
from shared.kernel.logs import Log

log = Log(__name__)


class Store(issuing.Store, Protocol):
    def list_owing(self, after: int, limit: int) -> Sequence[tuple[int, UUID]]: ...

    def list_forgotten(self, limit: int) -> Sequence[UUID]: ...

    def look_on(self, limit: int, *, past: Collection[UUID] = ()) -> Sequence[UUID] | None: ...

    def sum_next_day(self) -> date | None: ...


class Each(Protocol):
    """Do the work for each order until the time is up; one that fails stops no other."""

    def __call__(self, work: Callable[[UUID], object], order_ids: Sequence[UUID], /) -> None: ...


def sweep(
    *, store: Store, settle: Callable[[UUID], object], each: Each, has_time: Callable[[], bool], batch: int
) -> None:
    """Issue what is owed; settle orders again that were forgotten, for the next run to issue; sum days that are over.

    A part that fails stops no other: nobody's invoice waits for a look at what others have left.
    """

    def issue(order_id: UUID) -> object:
        return issuing.issue_documents(order_id, store=store)

    def issue_owing() -> None:
        """In the order in which they were owed."""
        after = 0
        while has_time() and (owing := store.list_owing(after, batch)):
            each(issue, list(dict.fromkeys(order_id for _position, order_id in owing)))
            after = owing[-1][0]

    def settle_forgotten() -> None:
        if has_time():
            each(settle, store.list_forgotten(batch))

    def look_on() -> None:
        """What was settled before there were documents. The same a second time: one of them cannot be settled.

        One that was settled and is forgotten all the same keeps nobody waiting: a person must look at it.
        """
        looked_at: Sequence[UUID] | None = None
        settled: set[UUID] = set()
        uncured: set[UUID] = set()

        def settle_again(order_id: UUID) -> None:
            settle(order_id)
            settled.add(order_id)

        while has_time() and (found := store.look_on(batch, past=uncured)) is not None:
            if again := [order_id for order_id in found if order_id in settled]:
                for order_id in again:
                    log.error("order_stays_forgotten", order_id=order_id)
                uncured.update(again)
                continue
            if found and found == looked_at:
                break
            each(settle_again, found)
            looked_at = found

    def sum_days() -> None:
        while has_time() and store.sum_next_day() is not None:
            pass

    for part in (issue_owing, settle_forgotten, look_on, sum_days):
        try:
            part()
        except Unavailable as error:
            log.warning("sweep_part_left", error=type(error).__name__, part=part.__name__)
        except Exception as error:  # noqa: BLE001 - a part that always fails must not stop the others for good
            log.error("sweep_part_failed", exc=error, part=part.__name__)
