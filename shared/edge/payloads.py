"""An event's payload as a dataclass of the feature that consumes it. What does not fit goes to the dead letters."""

from typing import TypeVar

import msgspec

from shared.edge.problems import Unreadable
from shared.kernel.messages import Event

T = TypeVar("T")


def read_payload(event: Event, shape: type[T]) -> T:
    """Fields that `shape` does not have are ignored: a newer publisher may say more. Raises Unreadable.

    Its text stays out of the problem and the log: msgspec's says where and which type, never a value.
    """
    try:
        return msgspec.convert(event.payload, shape)
    except msgspec.ValidationError as error:
        raise Unreadable(f"{event.name} {event.id} does not fit: {error}") from error
