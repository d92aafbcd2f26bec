"""Returns: units on their way back, and how far each of them has come (DESIGN.md section 4).

    requested --> approved --> received --> closed
        `-------> rejected

A unit that is in an open return, or came back, is in no other one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.kernel.errors import Conflict, NotFound
from shared.orders.order import Order

State = Literal["requested", "approved", "rejected", "received", "closed"]
Action = Literal["return.requested", "return.approved", "return.rejected", "return.received", "return.closed"]
_NEXT: Mapping[State, frozenset[State]] = {
    "requested": frozenset({"approved", "rejected"}),
    "approved": frozenset({"received"}),
    "rejected": frozenset(),
    "received": frozenset({"closed"}),
    "closed": frozenset(),
}
# The units of these are on their way back, or may be.
OPEN: tuple[State, ...] = ("requested", "approved")


class ReturnNotFound(NotFound):
    sentence = "There is no such return."


class ReturnMoved(Conflict):
    """The return is at another point of its way; `status` says where."""

    sentence = "This cannot be done with the return as it is now."


class NotReturnable(Conflict):
    """`lines` names SKU, the units wanted, and those that were handed over and are in no other return."""

    sentence = "Fewer units than that can be returned."

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(lines=[dict(line) for line in lines])


class ReturnWindowOver(Conflict):
    """`lines` names SKU and the last moment at which its units could be returned."""

    sentence = "The time in which this could be returned is over."

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(lines=[dict(line) for line in lines])


class NotReceived(Conflict):
    """Nothing of this return came back, so there is nothing to refund for it."""

    sentence = "Nothing of this return was received."


class ReturnRefunded(Conflict):
    """`refund_id` has given back the money of what was received, or is about to."""

    sentence = "The money for this return is back already, or on its way."


@dataclass(frozen=True, slots=True)
class ReturnLine:
    """Units that a buyer sends back; `reason` is one of the shop's."""

    sku: str
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Units that came; `restock`: they are for sale again."""

    sku: str
    quantity: int
    condition: str
    restock: bool


@dataclass(frozen=True, slots=True)
class Return:
    id: UUID
    order_id: UUID
    state: State
    lines: tuple[ReturnLine, ...]
    note: str
    requested_at: datetime
    requested_by: str
    decided_at: datetime | None = None
    rejection: str | None = None
    received_at: datetime | None = None
    receipts: tuple[Receipt, ...] = ()
    closed_at: datetime | None = None
    refund_id: UUID | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def units_of(self, sku: str) -> int:
        return sum(line.quantity for line in self.lines if line.sku == sku)

    def received_units(self) -> dict[str, int]:
        """By SKU, whatever their condition."""
        units: dict[str, int] = {}
        for receipt in self.receipts:
            units[receipt.sku] = units.get(receipt.sku, 0) + receipt.quantity
        return units

    def move(self, state: State) -> "Return":
        """Raises ReturnMoved."""
        if state not in _NEXT[self.state]:
            raise ReturnMoved(status=self.state)
        return replace(self, state=state)


@dataclass(frozen=True, slots=True)
class Returning:
    """A return, and the order that it is of."""

    order: Order
    goods: Return


@dataclass(frozen=True, slots=True)
class ListedReturn:
    """A return in a list, with what a list says of its order."""

    order_number: str
    order_status: str
    goods: Return


def from_json(value: Mapping[str, Any]) -> Return:
    """A return from what `returns_json_v1` gives."""

    def moment(name: str) -> datetime | None:
        return parse_iso(value[name]) if value[name] else None

    return Return(
        id=UUID(value["id"]),
        order_id=UUID(value["order_id"]),
        state=value["state"],
        lines=tuple(ReturnLine(line["sku"], line["quantity"], line["reason"]) for line in value["lines"]),
        note=value["note"],
        requested_at=parse_iso(value["requested_at"]),
        requested_by=value["requested_by"],
        decided_at=moment("decided_at"),
        rejection=value["rejection"],
        received_at=moment("received_at"),
        receipts=tuple(
            Receipt(line["sku"], line["quantity"], line["condition"], line["restock"]) for line in value["receipts"]
        ),
        closed_at=moment("closed_at"),
        refund_id=UUID(value["refund_id"]) if value["refund_id"] else None,
    )
