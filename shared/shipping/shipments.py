"""Shipments: units of an order that travel together, and how far they have come (DESIGN.md section 4).

    draft --> label_requested --> label_purchased --> in_transit --> delivered
      |  \\                          |   \\                |   \\----> exception --> delivered, returned
      |   \\------ by carrier and number, no label -------/     \\--> returned
      `--> cancelled                 `--> voided

A draft promises nothing: its units stay allocated to the order until they are handed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.kernel.errors import Conflict, NotFound

State = Literal[
    "draft",
    "label_requested",
    "label_purchased",
    "voided",
    "in_transit",
    "delivered",
    "exception",
    "returned",
    "cancelled",
]
_NEXT: Mapping[State, frozenset[State]] = {
    "draft": frozenset({"label_requested", "in_transit", "cancelled"}),
    "label_requested": frozenset({"draft", "label_purchased"}),
    "label_purchased": frozenset({"in_transit", "voided"}),
    "in_transit": frozenset({"delivered", "exception", "returned"}),
    "exception": frozenset({"delivered", "returned"}),
    "delivered": frozenset(),
    "returned": frozenset(),
    "voided": frozenset(),
    "cancelled": frozenset(),
}
# Planned, and the units still here; on their way or beyond.
PLANNED: tuple[State, ...] = ("draft", "label_requested", "label_purchased")
HANDED_OVER: tuple[State, ...] = ("in_transit", "delivered", "exception", "returned")


class ShipmentNotFound(NotFound):
    sentence = "There is no such shipment."


class ShipmentMoved(Conflict):
    """The shipment is at another point of its way; `status` says where."""

    sentence = "This cannot be done with the shipment as it is now."


@dataclass(frozen=True, slots=True)
class ShipmentLine:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Shipment:
    id: UUID
    order_id: UUID
    state: State
    lines: tuple[ShipmentLine, ...]
    created_at: datetime
    carrier: str | None = None
    tracking_number: str | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None

    @property
    def is_planned(self) -> bool:
        return self.state in PLANNED

    @property
    def is_handed_over(self) -> bool:
        return self.state in HANDED_OVER

    def units_of(self, sku: str) -> int:
        return sum(line.quantity for line in self.lines if line.sku == sku)

    def hand_over(self, carrier: str, tracking_number: str, *, at: datetime) -> "Shipment":
        """On its way with this carrier, under this number; saying the same again changes nothing. Raises
        ShipmentMoved.
        """
        if self.is_handed_over and (self.carrier, self.tracking_number) == (carrier, tracking_number):
            return self
        moved = self._move("in_transit")
        return replace(moved, carrier=carrier, tracking_number=tracking_number, shipped_at=at)

    def deliver(self, *, at: datetime) -> "Shipment":
        """Raises ShipmentMoved; once delivered it stays so."""
        return self if self.state == "delivered" else replace(self._move("delivered"), delivered_at=at)

    def cancel(self) -> "Shipment":
        """Raises ShipmentMoved for all but a draft; cancelling twice is once."""
        return self if self.state == "cancelled" else self._move("cancelled")

    def _move(self, state: State) -> "Shipment":
        if state not in _NEXT[self.state]:
            raise ShipmentMoved(status=self.state)
        return replace(self, state=state)


def from_json(value: Mapping[str, Any]) -> Shipment:
    """A shipment from what `order_json_v2` gives of it."""
    return Shipment(
        id=UUID(value["id"]),
        order_id=UUID(value["order_id"]),
        state=value["state"],
        lines=tuple(ShipmentLine(line["sku"], line["quantity"]) for line in value["lines"]),
        created_at=parse_iso(value["created_at"]),
        carrier=value["carrier"],
        tracking_number=value["tracking_number"],
        shipped_at=parse_iso(value["shipped_at"]) if value["shipped_at"] else None,
        delivered_at=parse_iso(value["delivered_at"]) if value["delivered_at"] else None,
    )
