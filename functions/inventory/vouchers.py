"""Vouchers: codes, their terms, and how often they were redeemed."""

from functions.inventory.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.paging import PageQuery, cursor_after, read_cursor
from shared.edge.routing import Routes
from shared.edge.voucher_views import VoucherBody, VoucherChangeBody, VouchersPage, VoucherView, voucher_view
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.kernel.ids import new_id
from shared.persistence.vouchers import Vouchers
from shared.pricing.vouchers import UnknownVoucher, VoucherInUse, VoucherStale, VoucherTaken

routes = Routes()


@first_use
def vouchers() -> Vouchers:
    return Vouchers(parts.database(), parts.clock)


@routes.get("/v1/admin/vouchers", query=PageQuery, answers={200: VouchersPage}, permission="vouchers:read")
def list_vouchers(call: Call[None]) -> Reply:
    """Every voucher, by code."""
    found = read_cursor(call, 1)
    listed = vouchers().list_vouchers(after=found[0] if found else "", limit=call.query.limit)
    cursor = cursor_after(call, listed, lambda voucher: (voucher.code,))
    return Reply(200, VouchersPage(items=[voucher_view(voucher) for voucher in listed], next_cursor=cursor))


@routes.post(
    "/v1/admin/vouchers",
    body=VoucherBody,
    answers={201: VoucherView},
    errors=[VoucherTaken, Invalid],
    permission="vouchers:write",
)
def create_voucher(call: Call[VoucherBody]) -> Reply:
    """A voucher in the shop's currency."""
    voucher_id, answering = new_id(), call.answering(201, voucher_view)
    vouchers().create(lambda currency: call.body.voucher(voucher_id, currency), actor=call.actor, answering=answering)
    return Reply(201)


@routes.get(
    "/v1/admin/vouchers/<code>", answers={200: VoucherView}, errors=[UnknownVoucher], permission="vouchers:read"
)
def get_voucher(call: Call[None]) -> Reply:
    """One voucher, with how often it was redeemed."""
    voucher = vouchers().get(call.path["code"])
    return Reply(200, voucher_view(voucher), {"ETag": f'"{voucher.version}"'})


@routes.patch(
    "/v1/admin/vouchers/<code>",
    body=VoucherChangeBody,
    answers={200: VoucherView},
    errors=[UnknownVoucher, VoucherStale, Invalid],
    permission="vouchers:write",
    if_match="optional",
)
def change_voucher(call: Call[VoucherChangeBody]) -> Reply:
    """Change its terms; If-Match names the version that is meant. Orders that were placed keep theirs."""
    voucher = vouchers().change(call.path["code"], call.body.changed, actor=call.actor, if_match=call.if_match)
    return Reply(200, voucher_view(voucher), {"ETag": f'"{voucher.version}"'})


@routes.delete(
    "/v1/admin/vouchers/<code>", answers={204: None}, errors=[UnknownVoucher, VoucherInUse], permission="vouchers:write"
)
def delete_voucher(call: Call[None]) -> Reply:
    """Only while no order has redeemed it; afterwards it can be switched off."""
    vouchers().delete(call.path["code"], actor=call.actor)
    return Reply(204)
