"""Refunding: what goes back is a row first, decided under the order's lock; PayPal is asked until it says how it ended.

    requested -> pending -> completed | failed | cancelled

Staff give money back by units of lines, by shipping and by free amounts, which add up. What units of a line are worth
is the difference of two rounded sums (so many of its units before, so many after), so that any sequence of partial
refunds and then the rest leaves exactly zero.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from shared.kernel.errors import Conflict, Field, Invalid, NotFound, Unavailable
from shared.kernel.logs import Log
from shared.kernel.money import Money, charge_step_minor
from shared.orders.capturing import Store, look_at_paypal
from shared.orders.order import Order, OrderLine, OrderRefund, RefundLine
from shared.orders.refusals import BEHIND_OUR_BACK, advise
from shared.orders.settling import (
    Command,
    Done,
    Outcome,
    Restock,
    Situation,
    find_bound,
    refundable_minor,
    require_undisputed,
)
from shared.payments.ledger import Capture
from shared.payments.processor import Processor, Refused

log = Log(__name__)

# What an order is cancelled for whose last unit was refunded before anything of it had left.
ALL_REFUNDED = "refunded"


class NothingCaptured(Conflict):
    sentence = "No payment of this order is there to give back."


class RefundTooLarge(Conflict):
    """`left_minor` is what neither went back nor is on its way."""

    sentence = "Less than that is left to give back."


class UnitsRefunded(Conflict):
    """`lines` names SKU, the units wanted, and those whose money is still here."""

    sentence = "Fewer units than that are left to refund."

    def __init__(self, lines: Sequence[dict[str, object]]) -> None:
        super().__init__(lines=list(lines))


class NotRestockable(Conflict):
    """`lines` names SKU, the units wanted, and those that could go back into stock."""

    sentence = "Fewer units than that can go back into stock."

    def __init__(self, lines: Sequence[dict[str, object]]) -> None:
        super().__init__(lines=list(lines))


class RefundNotFound(NotFound):
    sentence = "There is no such refund."


class NotRetryable(Conflict):
    """`state` is the refund's; a failed one is taken up again once, and only where PayPal may answer differently."""

    sentence = "This refund cannot be tried again."


@dataclass(frozen=True, slots=True)
class AskedLine:
    """`restock`: units that are still here are no longer the order's; units that had left are back on the shelf."""

    sku: str
    quantity: int
    restock: bool


@dataclass(frozen=True, slots=True)
class AskRefund:
    """The parts add up. `reason` is what the buyer reads; amounts are minor units of the order's currency.

    `of_return`: its units have come back, whatever they cost.
    """

    id: UUID
    lines: tuple[AskedLine, ...]
    shipping_minor: int
    amount_minor: int
    reason: str
    actor: str
    of_return: bool = False


def ask_refund(asked: AskRefund) -> Command:
    """Ask for a refund, and put back what is to be restocked.

    One that leaves an order of which nothing was sent without a unit cancels it, and gives back all that is left of
    its payment, the shipping with it, as every cancel does. Units that a voucher has made free are put back, or have
    come back, without a refund: there is none of nothing. A unit whose worth only rounds to nothing is not free.

    Raises NothingCaptured, Disputed, Invalid, RefundTooLarge, UnitsRefunded, NotRestockable.
    """

    def command(situation: Situation, outcome: Outcome, now: datetime) -> None:
        order = outcome.order
        capture = _refundable(situation, outcome)
        if capture.currency != order.currency:
            raise NothingCaptured("This payment came in another currency than the order's. Cancel the order instead.")
        lines = _price(order, asked.lines, outcome.refunds_now)
        amount = sum(line.amount_minor for line in lines) + asked.shipping_minor + asked.amount_minor
        _check_amounts(order, asked, outcome)
        if amount <= 0:
            _require_giving_up(order, asked, outcome.refunds_now)
        left = refundable_minor(outcome, situation.ledger, capture)
        if amount > left:
            raise RefundTooLarge(left_minor=max(left, 0))
        outcome.actor = asked.actor
        shipping_minor = asked.shipping_minor
        if _restock(outcome, asked.lines) == "cancelled":
            shipping_minor = min(_shipping_left_minor(order, outcome.refunds_now), shipping_minor + left - amount)
            amount = left
        dropped = [str(draft) for draft in outcome.dropped_drafts]
        besides = {"reason": asked.reason, **({"dropped_drafts": dropped} if dropped else {})}
        if amount <= 0 and not any(line.restock for line in lines):
            return  # what a return has brought is counted by the return
        if amount <= 0:
            units = [{"sku": line.sku, "quantity": line.quantity, "restock": line.restock} for line in lines]
            outcome.audit.append(Done("units.given-up", {"lines": units, **besides}))
            return
        outcome.new_refunds.append(
            OrderRefund(
                id=asked.id,
                capture_id=capture.id,
                kind="staff",
                amount_minor=amount,
                currency=order.currency,
                reason=asked.reason,
                state="requested",
                lines=lines,
                shipping_minor=shipping_minor,
                requested_by=asked.actor,
                requested_at=now,
            )
        )
        detail = {"refund_id": str(asked.id), "amount_minor": amount, **besides}
        outcome.audit.append(Done("refund.requested", detail))

    return command


def retry_refund(refund_id: UUID, *, new_id: UUID, actor: str) -> Command:
    """Ask again for what PayPal refused, as a new refund: the old one's request id would be answered the same.

    Its units and its shipping may have gone back by another refund meanwhile, so they are counted and priced anew.
    Nothing is restocked a second time. Raises RefundNotFound, NotRetryable, NothingCaptured, Disputed, UnitsRefunded,
    RefundTooLarge.
    """

    def command(situation: Situation, outcome: Outcome, now: datetime) -> None:
        refunds = outcome.refunds_now
        failed = next((refund for refund in refunds if refund.id == refund_id), None)
        if failed is None:
            raise RefundNotFound
        was_retried = any(refund.retries == refund_id for refund in refunds)
        if failed.state not in ("failed", "cancelled") or was_retried or not advise(failed.failure).retryable:
            raise NotRetryable(state=failed.state)
        capture = next((known for known in situation.ledger.captures if known.id == failed.capture_id), None)
        if capture is None or not capture.is_completed:
            raise NothingCaptured
        require_undisputed(situation.ledger, capture)
        asked = [AskedLine(line.sku, line.quantity, line.restock) for line in failed.lines]
        lines = _price(outcome.order, asked, refunds)
        _check_shipping(outcome.order, failed.shipping_minor, refunds)
        cheaper = sum(line.amount_minor for line in failed.lines) - sum(line.amount_minor for line in lines)
        amount = failed.amount_minor - cheaper
        if amount <= 0:
            raise NotRetryable(state=failed.state)
        left = refundable_minor(outcome, situation.ledger, capture)
        if amount > left:
            raise RefundTooLarge(left_minor=max(left, 0))
        outcome.actor = actor
        # Of kind staff, whatever it was: what the shop gives back by itself it asks for once.
        again = replace(failed, id=new_id, kind="staff", state="requested", retries=failed.id, requested_by=actor)
        again = replace(again, amount_minor=amount, lines=lines, paypal_refund_id=None, failure=None, requested_at=now)
        outcome.new_refunds.append(again)
        detail = {"refund_id": str(new_id), "retries": str(refund_id), "amount_minor": amount}
        outcome.audit.append(Done("refund.retried", detail))

    return command


def worth_minor(paid_minor: int, quantity: int, *, before: int, units: int, step_minor: int = 1) -> int:
    """What `units` of a line of `quantity` units are worth after `before` of them were refunded.

    Each sum is rounded half-up to `step_minor`; the sum of all units is what was paid, to the last minor unit.
    """

    def up_to(count: int) -> int:
        if count == quantity:
            return paid_minor
        return step_minor * ((2 * paid_minor * count + quantity * step_minor) // (2 * quantity * step_minor))

    return up_to(before + units) - up_to(before)


def refunded_units(refunds: Sequence[OrderRefund], sku: str) -> int:
    """Units of a line whose money has gone back, or may still go."""
    return sum(line.quantity for refund in refunds if refund.counts for line in refund.lines if line.sku == sku)


def refunded_shipping_minor(refunds: Sequence[OrderRefund]) -> int:
    return sum(refund.shipping_minor for refund in refunds if refund.counts)


def _refundable(situation: Situation, outcome: Outcome) -> Capture:
    capture = find_bound(outcome.order, situation.ledger)
    if capture is None:
        raise NothingCaptured
    require_undisputed(situation.ledger, capture)
    return capture


def _price(order: Order, asked: Sequence[AskedLine], refunds: Sequence[OrderRefund]) -> tuple[RefundLine, ...]:
    """Raises Invalid, UnitsRefunded."""
    lines = _lines_of(order, asked)
    wanting = [
        {"sku": line.sku, "wanted": want.quantity, "refundable": line.quantity - refunded_units(refunds, line.sku)}
        for want, line in zip(asked, lines, strict=True)
        if want.quantity > line.quantity - refunded_units(refunds, line.sku)
    ]
    if wanting:
        raise UnitsRefunded(wanting)
    step = charge_step_minor(order.currency)
    priced = []
    for want, line in zip(asked, lines, strict=True):
        before = refunded_units(refunds, line.sku)
        amount = worth_minor(order.paid_minor(line), line.quantity, before=before, units=want.quantity, step_minor=step)
        tax = worth_minor(line.tax_minor, line.quantity, before=before, units=want.quantity, step_minor=step)
        priced.append(RefundLine(line.sku, want.quantity, amount, tax, want.restock))
    return tuple(priced)


def _lines_of(order: Order, asked: Sequence[AskedLine]) -> list[OrderLine]:
    by_sku = {line.sku: line for line in order.lines}
    bad = [
        Field(f"/lines/{index}/sku", "is no line of this order, or is named twice")
        for index, want in enumerate(asked)
        if want.sku not in by_sku or want.sku in [earlier.sku for earlier in asked[:index]]
    ]
    if bad:
        raise Invalid(bad)
    return [by_sku[want.sku] for want in asked]


def _require_giving_up(order: Order, asked: AskRefund, refunds: Sequence[OrderRefund]) -> None:
    """Without a refund units only come back where nothing of their lines is left to give back. Raises Invalid.

    A unit that is worth less than the smallest amount leaves no refund that counts it: asked for one by one, all would.
    """
    if not asked.lines:
        raise Invalid([Field("", "names nothing to give back: lines, shipping_minor or amount_minor")])
    every = [
        AskedLine(line.sku, line.quantity - refunded_units(refunds, line.sku), restock=False)
        for line in _lines_of(order, asked.lines)
    ]
    paid = [line.sku for line in _price(order, every, refunds) if line.amount_minor > 0]
    if paid:
        too_little = f"so few units of {', '.join(paid)} are worth less than PayPal moves"
        raise Invalid([Field("/amount_minor", f"{too_little}: ask for more of its units at once, or name an amount")])
    if not asked.of_return and not any(line.restock for line in asked.lines):
        was_free = "was free, so nothing is to be given back; with restock its units go back into stock"
        raise Invalid([Field("/lines", was_free)])


def _check_amounts(order: Order, asked: AskRefund, outcome: Outcome) -> None:
    step = charge_step_minor(order.currency)
    bad = [
        Field(pointer, f"must be a multiple of {step}: PayPal moves nothing smaller of {order.currency}")
        for pointer, part in (("/shipping_minor", asked.shipping_minor), ("/amount_minor", asked.amount_minor))
        if part % step
    ]
    if bad:
        raise Invalid(bad)
    _check_shipping(order, asked.shipping_minor, outcome.refunds_now)


def _check_shipping(order: Order, wanted_minor: int, refunds: Sequence[OrderRefund]) -> None:
    shipping_left = _shipping_left_minor(order, refunds)
    if wanted_minor > shipping_left:
        raise RefundTooLarge("Less of the shipping is left to give back.", left_minor=shipping_left)


def _shipping_left_minor(order: Order, refunds: Sequence[OrderRefund]) -> int:
    return max(order.shipping_paid_minor - refunded_shipping_minor(refunds), 0)


def _restock(outcome: Outcome, asked: Sequence[AskedLine]) -> Literal["cancelled", "completed"] | None:
    """Units that are here go first, then those that had left. Raises NotRestockable.

    An order that keeps no unit after that is over: cancelled where none had left, completed where all have arrived.
    Drafts that can no longer be sent are cancelled: no unit leaves that was given up.
    Gives what it has become by that.
    """
    order = outcome.order
    by_sku = {line.sku: line for line in order.lines}
    wanted = [want for want in asked if want.restock]
    restockable = {want.sku: _restockable(by_sku[want.sku], order) for want in wanted}
    lacking: list[dict[str, object]] = [
        {"sku": want.sku, "wanted": want.quantity, "restockable": sum(restockable[want.sku])}
        for want in wanted
        if want.quantity > sum(restockable[want.sku])
    ]
    if lacking:
        raise NotRestockable(lacking)
    for want in wanted:
        released = min(want.quantity, restockable[want.sku][0])
        outcome.restocks.append(Restock(want.sku, released, want.quantity - released))
    restocks = {restock.sku: restock for restock in outcome.restocks}
    after = replace(order, lines=tuple(_after(line, restocks.get(line.sku)) for line in order.lines))
    if not wanted:
        return None
    outcome.dropped_drafts += _unsendable(after)
    if order.status in ("paid", "fulfilling", "on_hold") and not any(
        line.held + line.allocated + line.consumed for line in after.lines
    ):
        outcome.move("cancelled", ALL_REFUNDED)
        outcome.change(resume_status=None)
        outcome.events.append("order.cancelled")
        return "cancelled"
    if order.status == "fulfilling" and after.is_done:
        outcome.move("completed")
        return "completed"
    return None


def _restockable(line: OrderLine, order: Order) -> tuple[int, int]:
    """Units that are here and under no label, and units that have left and not come back. A draft promises nothing."""
    labelled = [shipment for shipment in order.shipments if shipment.is_planned and shipment.state != "draft"]
    under_label = sum(shipment.units_of(line.sku) for shipment in labelled)
    return max(line.held + line.allocated - under_label, 0), line.consumed - line.returned


def _unsendable(order: Order) -> list[UUID]:
    """Drafts that plan more units than the order still keeps: the newest are given up first, each as a whole."""
    spare = {
        line.sku: line.allocated - sum(known.units_of(line.sku) for known in order.shipments if known.is_planned)
        for line in order.lines
    }
    dropped = []
    for draft in sorted(order.shipments, key=lambda known: (known.created_at, known.id), reverse=True):
        if draft.state == "draft" and any(spare[line.sku] < 0 for line in draft.lines):
            dropped.append(draft.id)
            for line in draft.lines:
                spare[line.sku] += line.quantity
    return dropped


def _after(line: OrderLine, restock: Restock | None) -> OrderLine:
    if restock is None:
        return line
    from_allocated = min(restock.released, line.allocated)
    return replace(
        line,
        allocated=line.allocated - from_allocated,
        held=line.held - (restock.released - from_allocated),
        released=line.released + restock.released,
        returned=line.returned + restock.returned,
    )


# At PayPal ----------------------------------------------------------------------------------------


class RefundStore(Store, Protocol):
    def find_refund(self, refund_id: UUID) -> tuple[OrderRefund, Order] | None: ...

    def fail_refund(self, refund_id: UUID, failure: str) -> None:
        """PayPal will not give this money back; staff see why."""
        ...


def finish_refund(refund_id: UUID, *, store: RefundStore, processor: Processor) -> None:
    """Ask PayPal for a refund, or how one that is pending has ended. Idempotent: the request id is the refund's id.

    Raises Unavailable while there is no definite answer.
    """
    found = store.find_refund(refund_id)
    if found is None:
        return
    refund, order = found
    if refund.state == "pending" and refund.paypal_refund_id is not None:
        seen = processor.find_refund(refund.paypal_refund_id)
        if seen is not None:
            store.settle(order.id, facts=[seen], source="poll")
    elif refund.state == "requested":
        answer = processor.refund(
            refund.capture_id,
            refund_id=refund.id,
            amount=Money(refund.amount_minor, refund.currency),
            number=order.number,
            note=refund.reason,
        )
        if not isinstance(answer, Refused):
            store.settle(order.id, facts=[answer], source="reply")
            return
        store.fail_refund(refund.id, answer.reason)
        log.error("refund_failed", refund_id=refund.id, order_id=order.id, reason=answer.reason)
        if answer.reason in BEHIND_OUR_BACK:
            with suppress(Unavailable):
                look_at_paypal(order, store=store, processor=processor)
