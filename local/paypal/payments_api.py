"""Payments v2 (captures, refunds) and disputes v1: what a shop reads back, and the refund it asks for."""

import re
from decimal import Decimal
from typing import Any

from aiohttp import web

from local.paypal import happenings, ids, request_ids, resources
from local.paypal.books import Document, Entries
from local.paypal.money import CURRENCIES, Money, amount_of, has_too_many_decimals, money
from local.paypal.problems import Problem, detail, invalid, not_found, unprocessable
from local.paypal.simulator import SIMULATOR, read_json, reply, wants_representation

REFUND = "payments.refund"
# PayPal's user agreement: a payment can be refunded within 180 days.
REFUND_WITHIN_S = 180 * 24 * 3600


async def show_capture(request: web.Request) -> web.Response:
    """GET /v2/payments/captures/{id}"""
    simulator = request.app[SIMULATOR]
    with simulator.books.open() as entries:
        made = _get(entries, "capture", request.match_info["id"])
    return reply(resources.capture(made, simulator.links))


async def show_refund(request: web.Request) -> web.Response:
    """GET /v2/payments/refunds/{id}"""
    simulator = request.app[SIMULATOR]
    with simulator.books.open() as entries:
        found = _get(entries, "refund", request.match_info["id"])
    return reply(resources.refund_of(found, simulator.links))


async def show_dispute(request: web.Request) -> web.Response:
    """GET /v1/customer/disputes/{id}"""
    simulator = request.app[SIMULATOR]
    with simulator.books.open() as entries:
        found = _get(entries, "dispute", request.match_info["id"])
    return reply(resources.dispute(found, simulator.links))


async def refund(request: web.Request) -> web.Response:
    """POST /v2/payments/captures/{id}/refund"""
    simulator = request.app[SIMULATOR]
    request_id = request.headers.get("PayPal-Request-Id")
    request_ids.check(request_id)
    body = await read_json(request, empty={})
    check_refund(body)
    with simulator.books.open() as entries:
        known = request_ids.recall(entries, REFUND, request_id)
        ordained = None if known is not None else happenings.take_next_refund(entries, request.match_info["id"])
    if ordained is not None and ordained != "PENDING":
        raise unprocessable(ordained)
    with simulator.books.open() as entries:
        if known is not None:
            made_before = _get(entries, "refund", known)
        else:
            made = _get(entries, "capture", request.match_info["id"])
            amount = refundable_amount(entries, made, body.get("amount"))
            _check_invoice(entries, body.get("invoice_id"))
            given = {name: body[name] for name in ("custom_id", "invoice_id", "note_to_payer") if name in body}
            status = ordained or "COMPLETED"
            made_before = happenings.add_refund(entries, made, amount, simulator.links, given=given, status=status)
            request_ids.keep(entries, REFUND, request_id, made_before["id"])
    simulator.courier.wake()
    render = resources.refund_of if wants_representation(request) else resources.minimal_refund
    return reply(render(made_before, simulator.links), 201 if known is None else 200)


def check_refund(body: Any) -> None:
    """The schema. Raises Problem (400)."""
    if not isinstance(body, dict):
        raise invalid([detail("INVALID_PARAMETER_SYNTAX", "/")])
    details = []
    for name, longest in (("custom_id", 127), ("invoice_id", 127), ("note_to_payer", 255)):
        value = body.get(name)
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= longest):
            details.append(detail("INVALID_STRING_LENGTH", f"/{name}", value=value))
    amount = body.get("amount")
    if amount is not None:
        if not isinstance(amount, dict):
            details.append(detail("INVALID_PARAMETER_SYNTAX", "/amount"))
        else:
            details += [
                detail("MISSING_REQUIRED_PARAMETER", f"/amount/{name}")
                for name in ("currency_code", "value")
                if not isinstance(amount.get(name), str)
            ]
            number = amount.get("value")
            if isinstance(number, str) and not re.fullmatch(r"-?([0-9]+|[0-9]*[.][0-9]+)", number):
                details.append(detail("INVALID_PARAMETER_SYNTAX", "/amount/value", value=number))
    if details:
        raise invalid(details)


def refundable_amount(entries: Entries, made: Document, asked: Money | None) -> Money:
    """What a refund of this capture moves: what is asked for, or all that is left. Raises Problem (422)."""
    currency = made["amount"]["currency_code"]
    if asked is not None:
        value = amount_of(asked)
        if asked["currency_code"] not in CURRENCIES:
            raise unprocessable("INVALID_CURRENCY_CODE", "/amount/currency_code", value=asked["currency_code"])
        if asked["currency_code"] != currency:
            raise unprocessable(
                "REFUND_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code", value=asked["currency_code"]
            )
        if has_too_many_decimals(currency, value):
            whole = "DECIMALS_NOT_SUPPORTED" if not has_too_many_decimals("USD", value) else "DECIMAL_PRECISION"
            raise unprocessable(whole, "/amount/value", value=asked["value"])
        if value <= 0:
            raise unprocessable("CANNOT_BE_ZERO_OR_NEGATIVE", "/amount/value", value=asked["value"])
    if made["status"] == "PENDING":
        raise unprocessable("PENDING_CAPTURE")
    if made["status"] in ("DECLINED", "FAILED"):
        raise unprocessable("REFUND_NOT_ALLOWED")
    left = happenings.refundable(entries, made)
    if left <= 0:
        raise unprocessable("CAPTURE_FULLY_REFUNDED")
    amount = money(currency, left) if asked is None else money(currency, amount_of(asked))
    _check_disputes(entries, made, partial=amount_of(amount) < amount_of(made["amount"]))
    if amount_of(amount) > left:
        raise unprocessable("REFUND_AMOUNT_EXCEEDED", "/amount/value", value=amount["value"])
    if entries.now - ids.epoch(made["create_time"]) > REFUND_WITHIN_S:
        raise unprocessable("REFUND_TIME_LIMIT_EXCEEDED")
    return money(currency, Decimal(amount["value"]))


def _check_invoice(entries: Entries, invoice_id: str | None) -> None:
    # As for payments: the account blocks an invoice number that was used before.
    row = (
        invoice_id
        and entries.connection.execute(
            "select 1 from objects where kind = 'refund' and json_extract(body, '$.invoice_id') = ? limit 1",
            (invoice_id,),
        ).fetchone()
    )
    if row:
        raise Problem(422, [detail("DUPLICATE_INVOICE_ID", "/invoice_id", value=invoice_id, kind="refund")])


def _check_disputes(entries: Entries, made: Document, *, partial: bool) -> None:
    for dispute in entries.children("dispute", made["id"]):
        if dispute["status"] == "RESOLVED":
            continue
        if dispute["dispute_channel"] == "EXTERNAL":
            raise unprocessable("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK")
        # PayPal's own words forbid partial refunds only; a full one is still taken.
        if partial:
            raise unprocessable("TRANSACTION_DISPUTED")


def _get(entries: Entries, kind: str, object_id: str) -> Document:
    found = entries.find(kind, object_id)
    if found is None:
        raise not_found(f"{kind}_id", object_id)
    return found
