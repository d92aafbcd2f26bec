"""Issuing: each document that an order owes gets its number and its content, in a step of its own.

The paying transaction writes down only that a document is owed. Numbers come from a row that everybody who issues
wants, so it is locked last, by the one statement that also writes the document, and never by a transaction that holds
an order or stock. What was not issued is taken up by the next run; a number that was drawn is on a document, or was
never drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.documents.composing import compose_credit_note, compose_invoice
from shared.documents.documents import Content, Document
from shared.documents.errors import DocumentsMoved
from shared.documents.owing import Owed
from shared.kernel.logs import Log
from shared.orders.order import REFUNDED_OUTSIDE, Order, OrderRefund
from shared.shop.settings import ShopSettings

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Case:
    """The first document that an order owes, and what it is composed of; `issued` are those before it, in order."""

    id: UUID
    owed: Owed
    order: Order
    issued: tuple[Document, ...]
    shop: ShopSettings


class Store(Protocol):
    """Every method is one step."""

    def find_case(self, order_id: UUID) -> Case | None: ...

    def issue(self, document_id: UUID, content: Content, *, before: int, prefix: str) -> str:
        """The number, drawn and written at once, or the one that the document has already.

        Raises DocumentsMoved unless exactly `before` documents of the order are issued.
        """
        ...


def issue_documents(order_id: UUID, *, store: Store) -> list[str]:
    """Give every document that the order owes its number; the numbers. Idempotent, and safe beside another of it."""
    numbers: list[str] = []
    while (case := store.find_case(order_id)) is not None:
        try:
            number = store.issue(case.id, compose(case), before=len(case.issued), prefix=_prefix(case))
        except DocumentsMoved:
            continue  # another run has issued one: what is owed next says something else now
        numbers.append(number)
        log.info("document_issued", kind=case.owed.kind, number=number, order_id=order_id)
    return numbers


def compose(case: Case) -> Content:
    if case.owed.kind == "invoice":
        return compose_invoice(case.order, shop=case.shop)
    asked = _asked(case.owed, case.order.refunds)
    # Rows are taken up in the order in which they were owed, and an invoice is owed first.
    invoice = case.issued[0]
    return compose_credit_note(
        case.owed,
        invoice=invoice.content,
        invoice_number=invoice.number,
        before=[document.content for document in case.issued[1:]],
        shop=case.shop,
        named=_named(asked),
        units={line.sku: line.quantity for line in asked.lines} if asked is not None else {},
        reason=asked.reason if asked is not None else REFUNDED_OUTSIDE,
    )


def _asked(owed: Owed, refunds: Sequence[OrderRefund]) -> OrderRefund | None:
    return next((refund for refund in refunds if refund.paypal_refund_id == owed.refund_id), None)


def _named(refund: OrderRefund | None) -> dict[str, int]:
    """What it was asked for, gross, by SKU; "" is shipping. A refund from outside names nothing."""
    if refund is None:
        return {}
    return {**{line.sku: line.amount_minor for line in refund.lines}, "": refund.shipping_minor}


def _prefix(case: Case) -> str:
    invoicing = case.shop.invoicing
    return invoicing.invoice_prefix if case.owed.kind == "invoice" else invoicing.credit_note_prefix
