"""Returning: a buyer sends back, the shop takes back.

A buyer asks within the window; staff approve or reject, and receive what really came, line by line. Money is a step of
its own: the refund of what was received, by the same flow as every other refund.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import iso
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.orders.fulfilling import completed_if_done
from shared.orders.order import Order, OrderRefund
from shared.orders.refunding import AskedLine, AskRefund, ask_refund
from shared.orders.returns import (
    Action,
    NotReceived,
    NotReturnable,
    Receipt,
    Return,
    Returning,
    ReturnLine,
    ReturnRefunded,
    ReturnWindowOver,
)
from shared.orders.settling import Command, Outcome, Situation
from shared.shop.settings import ShopSettings


@dataclass(frozen=True, slots=True)
class Returnable:
    """Units of a line that may be sent back until then; None: the time has not begun, some are still on their way."""

    sku: str
    quantity: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class AskReturn:
    order_number: str
    lines: tuple[ReturnLine, ...]
    note: str
    actor: str


@dataclass(frozen=True, slots=True)
class AskReturnRefund:
    """Beside the units that came, so much of the shipping and so much freely, in minor units; the parts add up."""

    refund_id: UUID
    shipping_minor: int
    amount_minor: int
    reason: str
    actor: str


class Store(Protocol):
    """What returning needs of the database; each method is one step."""

    def ask(
        self,
        order_number: str,
        decide: Callable[[Order, Sequence[Return], ShopSettings, datetime], Return],
        *,
        actor: str,
        answering: Answering[Returning] | None = None,
    ) -> Returning:
        """Write a new return as decided under the order's lock, and tell of it. Raises OrderNotFound, NotReturnable,
        and what `decide` does.
        """
        ...

    def move(
        self,
        return_id: UUID,
        decide: Callable[[Order, Return, datetime], tuple[Order, Return]],
        action: Action,
        *,
        actor: str,
        answering: Answering[Returning] | None = None,
    ) -> Returning:
        """Move a return as decided under the order's lock, and tell of it; what was received is counted and goes to
        stock as it says. One that stays as it was writes nothing. Raises ReturnNotFound, NotReturnable, and what
        `decide` does.
        """
        ...


def list_returnable(order: Order, returns: Sequence[Return], settings: ShopSettings, now: datetime) -> list[Returnable]:
    """What of an order may still be sent back, line by line."""
    found = [
        Returnable(line.sku, _units_left(order, returns, line.sku), _until(order, line.sku, settings))
        for line in order.lines
    ]
    return [line for line in found if line.quantity > 0 and (line.until is None or now <= line.until)]


def ask_return(command: AskReturn, *, store: Store, answering: Answering[Returning] | None = None) -> Returning:
    """A buyer wants to send units back. Raises OrderNotFound, Invalid, NotReturnable, ReturnWindowOver."""

    def decide(order: Order, returns: Sequence[Return], settings: ShopSettings, now: datetime) -> Return:
        _require_sense(order, command.lines, settings)
        short = []
        for line in command.lines:
            left = _units_left(order, returns, line.sku)
            if line.quantity > left:
                short.append({"sku": line.sku, "wanted": line.quantity, "returnable": left})
        if short:
            raise NotReturnable(short)
        ends = {line.sku: _until(order, line.sku, settings) for line in command.lines}
        over = [{"sku": sku, "until": iso(end)} for sku, end in ends.items() if end is not None and end < now]
        if over:
            raise ReturnWindowOver(over)
        lines = tuple(sorted(command.lines, key=lambda line: line.sku))
        return Return(new_id(), order.id, "requested", lines, command.note, now, command.actor)

    return store.ask(command.order_number, decide, actor=command.actor, answering=answering)


def approve(return_id: UUID, *, store: Store, actor: str, answering: Answering[Returning] | None = None) -> Returning:
    """The buyer may send it; approving twice is once. Raises ReturnNotFound, ReturnMoved."""

    def decide(order: Order, goods: Return, now: datetime) -> tuple[Order, Return]:
        return order, goods if goods.state == "approved" else replace(goods.move("approved"), decided_at=now)

    return store.move(return_id, decide, "return.approved", actor=actor, answering=answering)


def reject(
    return_id: UUID, reason: str, *, store: Store, actor: str, answering: Answering[Returning] | None = None
) -> Returning:
    """The buyer reads the reason; the same again is once. Raises ReturnNotFound, ReturnMoved."""

    def decide(order: Order, goods: Return, now: datetime) -> tuple[Order, Return]:
        if goods.state == "rejected" and goods.rejection == reason:
            return order, goods
        return order, replace(goods.move("rejected"), decided_at=now, rejection=reason)

    return store.move(return_id, decide, "return.rejected", actor=actor, answering=answering)


def receive(
    return_id: UUID,
    receipts: Sequence[Receipt],
    *,
    store: Store,
    actor: str,
    answering: Answering[Returning] | None = None,
) -> Returning:
    """What really came: all of it, less, or nothing. What is to be restocked is on the shelf again.

    The same again is once. Raises ReturnNotFound, ReturnMoved, Invalid for more units than were approved, NotReturnable
    where the order has them back already.
    """

    def decide(order: Order, goods: Return, now: datetime) -> tuple[Order, Return]:
        if goods.state == "received" and goods.receipts == tuple(receipts):
            return order, goods
        received = replace(goods.move("received"), received_at=now, receipts=tuple(receipts))
        _require_approved(goods, receipts)
        units = received.received_units()
        lines = tuple(replace(line, returned=line.returned + units.get(line.sku, 0)) for line in order.lines)
        over = [
            {"sku": line.sku, "wanted": units[line.sku], "returnable": units[line.sku] - line.returned + line.consumed}
            for line in lines
            if line.returned > line.consumed
        ]
        if over:
            raise NotReturnable(over)
        return completed_if_done(replace(order, lines=lines)), received

    return store.move(return_id, decide, "return.received", actor=actor, answering=answering)


def close(return_id: UUID, *, store: Store, actor: str, answering: Answering[Returning] | None = None) -> Returning:
    """Nothing more is to be done for it; closing twice is once. Raises ReturnNotFound, ReturnMoved."""

    def decide(order: Order, goods: Return, now: datetime) -> tuple[Order, Return]:
        return order, goods if goods.state == "closed" else replace(goods.move("closed"), closed_at=now)

    return store.move(return_id, decide, "return.closed", actor=actor, answering=answering)


def refund_return(goods: Return, asked: AskReturnRefund) -> Command:
    """Give back the money of the units that came, in whatever condition; what of them is for sale was said before.

    Once for a return, unless PayPal has refused it; then it takes up the refused one, so that nobody else does. There
    is none of what was free, however often it is asked for. Raises NotReceived, ReturnRefunded, and what `ask_refund`
    does.
    """

    def command(situation: Situation, outcome: Outcome, now: datetime) -> None:
        if not goods.receipts:
            raise NotReceived
        earlier = _refunds_of(goods, outcome.refunds_now)
        if any(refund.counts for refund in earlier):
            raise ReturnRefunded(refund_id=goods.refund_id)
        units = sorted(goods.received_units().items())
        lines = tuple(AskedLine(sku, quantity, restock=False) for sku, quantity in units)
        refund = AskRefund(
            asked.refund_id, lines, asked.shipping_minor, asked.amount_minor, asked.reason, asked.actor, of_return=True
        )
        ask_refund(refund)(situation, outcome, now)
        if earlier and outcome.new_refunds and outcome.new_refunds[-1].id == asked.refund_id:
            outcome.new_refunds[-1] = replace(outcome.new_refunds[-1], retries=earlier[-1].id)

    return command


def _refunds_of(goods: Return, refunds: Sequence[OrderRefund]) -> list[OrderRefund]:
    """Its refund, and those that have taken that up again, each the one before it."""
    found: list[OrderRefund] = []
    for refund in refunds:  # in the order in which they were asked for
        if refund.id == goods.refund_id or (found and refund.retries == found[-1].id):
            found.append(refund)
    return found


def _units_left(order: Order, returns: Sequence[Return], sku: str) -> int:
    """Units that were handed over, did not come back, and are in no open return."""
    line = next((line for line in order.lines if line.sku == sku), None)
    if line is None:
        return 0
    under_way = sum(goods.units_of(sku) for goods in returns if goods.is_open)
    return max(line.consumed - line.returned - under_way, 0)


def _until(order: Order, sku: str, settings: ShopSettings) -> datetime | None:
    """The window begins when the last of these units has arrived; in an order that staff have closed, when it left."""
    begins = []
    for shipment in order.shipments:
        if not shipment.is_handed_over or not shipment.units_of(sku):
            continue
        arrived = shipment.delivered_at or (shipment.shipped_at if order.status == "completed" else None)
        if arrived is None:
            return None
        begins.append(arrived)
    return max(begins) + timedelta(days=settings.return_window_days) if begins else None


def _require_sense(order: Order, lines: Sequence[ReturnLine], settings: ShopSettings) -> None:
    known = {line.sku for line in order.lines}
    bad = []
    for index, line in enumerate(lines):
        if line.sku not in known:
            bad.append(Field(f"/lines/{index}/sku", "Is not in this order."))
        if line.sku in {earlier.sku for earlier in lines[:index]}:
            bad.append(Field(f"/lines/{index}/sku", "Is named twice."))
        if line.reason not in settings.return_reasons:
            bad.append(Field(f"/lines/{index}/reason", "Is none of the shop's reasons."))
    if bad:
        raise Invalid(bad)


def _require_approved(goods: Return, receipts: Sequence[Receipt]) -> None:
    counted: dict[str, int] = {}
    bad = []
    for index, receipt in enumerate(receipts):
        counted[receipt.sku] = counted.get(receipt.sku, 0) + receipt.quantity
        if counted[receipt.sku] > goods.units_of(receipt.sku):
            bad.append(Field(f"/lines/{index}", "Is more than the return has of it."))
    if bad:
        raise Invalid(bad)
