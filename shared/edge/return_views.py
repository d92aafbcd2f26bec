"""What buyers and staff send and see of returns (DESIGN.md section 5)."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Body, Query, View
from shared.edge.texts import LINES, SEEN_LINE
from shared.kernel.clock import iso
from shared.orders.returning import Returnable
from shared.orders.returns import (
    ListedReturn,
    Receipt,
    Return,
    Returning,
    ReturnLine,
)
from shared.shop.settings import ShopSettings

OrderNumber = Annotated[str, Meta(min_length=1, max_length=20)]
Sku = Annotated[str, Meta(min_length=1, max_length=64)]
Quantity = Annotated[int, Meta(ge=1, le=999)]
Words = Annotated[str, Meta(max_length=2000, pattern=LINES)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=SEEN_LINE)]
Condition = Annotated[str, Meta(min_length=1, max_length=60, pattern=SEEN_LINE)]


class OrderQuery(Query, frozen=True, kw_only=True):
    order_number: OrderNumber


class AdminReturnsQuery(Query, frozen=True, kw_only=True):
    status: Literal["requested", "approved", "rejected", "received", "closed"] | None = None
    order_number: OrderNumber | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class ReturnLineBody(Body, frozen=True, kw_only=True):
    """`reason` is one of the shop's (GET /v1/returns names them)."""

    sku: Sku
    quantity: Quantity
    reason: Annotated[str, Meta(min_length=1, max_length=60)]


class ReturnBody(Body, frozen=True, kw_only=True):
    order_number: OrderNumber
    lines: Annotated[list[ReturnLineBody], Meta(min_length=1, max_length=200)]
    note: Words = ""

    def return_lines(self) -> tuple[ReturnLine, ...]:
        return tuple(ReturnLine(line.sku, line.quantity, line.reason) for line in self.lines)


class RejectionBody(Body, frozen=True, kw_only=True):
    """The buyer reads the reason."""

    reason: Reason


class ReceiptBody(Body, frozen=True, kw_only=True):
    """Units that came, in staff's own words for their condition; `restock` puts them on the shelf again."""

    sku: Sku
    quantity: Quantity
    condition: Condition
    restock: bool


class ReceptionBody(Body, frozen=True, kw_only=True):
    """What really came; an empty list where nothing did."""

    lines: Annotated[list[ReceiptBody], Meta(max_length=400)]

    def receipts(self) -> list[Receipt]:
        return [Receipt(line.sku, line.quantity, line.condition, line.restock) for line in self.lines]


class ReturnRefundBody(Body, frozen=True, kw_only=True):
    """Beside the units that came, so much of the shipping and so much freely. The buyer reads `reason`."""

    shipping_minor: Annotated[int, Meta(ge=0, le=100_000_000_000)] = 0
    amount_minor: Annotated[int, Meta(ge=0, le=100_000_000_000)] = 0
    reason: Annotated[str, Meta(min_length=1, max_length=255, pattern=SEEN_LINE)] = "Your return"


class ReturnLineView(View, frozen=True, kw_only=True):
    sku: str
    quantity: int
    reason: str
    received: int


class ReceiptView(View, frozen=True, kw_only=True):
    sku: str
    quantity: int
    condition: str
    restock: bool


class ReturnView(View, frozen=True, kw_only=True):
    """`rejection` is why it was rejected."""

    id: str
    order_number: str
    status: str
    lines: list[ReturnLineView]
    note: str
    requested_at: str
    decided_at: str | None
    rejection: str | None
    received_at: str | None
    closed_at: str | None


class AdminReturnView(ReturnView, frozen=True, kw_only=True):
    """`refund_id`: the refund of what was received, once it was asked for."""

    order_status: str
    requested_by: str
    receipts: list[ReceiptView]
    refund_id: str | None


class ReturnableView(View, frozen=True, kw_only=True):
    """Units that may be sent back until then; null: the time begins when they have arrived."""

    sku: str
    quantity: int
    until: str | None


class OwnReturnsView(View, frozen=True, kw_only=True):
    """An order's returns, the oldest first, and what a form for a new one needs."""

    items: list[ReturnView]
    returnable: list[ReturnableView]
    reasons: list[str]
    window_days: int


class AdminReturnsPage(View, frozen=True, kw_only=True):
    items: list[AdminReturnView]
    next_cursor: str | None


def return_view(found: Returning) -> ReturnView:
    return ReturnView(**_shown(found.order.number, found.goods))


def admin_return_view(found: Returning) -> AdminReturnView:
    return listed_return_view(ListedReturn(found.order.number, found.order.status, found.goods))


def listed_return_view(found: ListedReturn) -> AdminReturnView:
    goods = found.goods
    return AdminReturnView(
        **_shown(found.order_number, goods),
        order_status=found.order_status,
        requested_by=goods.requested_by,
        receipts=[
            ReceiptView(
                sku=receipt.sku, quantity=receipt.quantity, condition=receipt.condition, restock=receipt.restock
            )
            for receipt in goods.receipts
        ],
        refund_id=str(goods.refund_id) if goods.refund_id else None,
    )


def own_returns_view(returns: list[Returning], returnable: list[Returnable], settings: ShopSettings) -> OwnReturnsView:
    return OwnReturnsView(
        items=[return_view(found) for found in returns],
        returnable=[
            ReturnableView(sku=line.sku, quantity=line.quantity, until=iso(line.until) if line.until else None)
            for line in returnable
        ],
        reasons=list(settings.return_reasons),
        window_days=settings.return_window_days,
    )


def _shown(order_number: str, goods: Return) -> dict[str, Any]:
    received = goods.received_units()
    return {
        "id": str(goods.id),
        "order_number": order_number,
        "status": goods.state,
        "lines": [
            ReturnLineView(sku=line.sku, quantity=line.quantity, reason=line.reason, received=received.get(line.sku, 0))
            for line in goods.lines
        ],
        "note": goods.note,
        "requested_at": iso(goods.requested_at),
        "decided_at": iso(goods.decided_at) if goods.decided_at else None,
        "rejection": goods.rejection,
        "received_at": iso(goods.received_at) if goods.received_at else None,
        "closed_at": iso(goods.closed_at) if goods.closed_at else None,
    }
