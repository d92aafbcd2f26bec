"""Carts: who has the id has the cart."""

import hashlib
import hmac
from typing import Any

import msgspec
from msgspec import UNSET

from functions.checkout.wiring import clock, database, token_keys
from shared.accounts.email import parse_email
from shared.cart.carts import CartFull, CartNotFound, CartVersionStale, UnknownItem
from shared.edge.buying_views import (
    BuyerBody,
    CartBody,
    CartView,
    LineBody,
    ShippingOptionBody,
    ShippingOptionsView,
    cart_view,
    shipping_option_view,
)
from shared.edge.calls import Call, Reply
from shared.edge.routing import Routes
from shared.edge.voucher_views import VoucherCodeBody
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.persistence.carts import CartOfShop, Carts
from shared.pricing.vouchers import UnknownVoucher

routes = Routes()


@first_use
def carts() -> Carts:
    return Carts(database(), clock)


@routes.post("/v1/carts", body=CartBody, answers={201: CartView}, completing=lambda call, cart: _name_cart(call, cart))
def create_cart(call: Call[CartBody]) -> Reply:
    """A new, empty cart. Its id is its key: who has it has the cart."""
    cart_id = _cart_id(call, token_keys().current)
    email = parse_email(call.body.email) if call.body.email is not None else None
    address = call.body.shipping_address.as_json() if call.body.shipping_address is not None else None
    carts().create(cart_id, email=email, address=address, answering=call.answering(201, _nameless_cart))
    return Reply(201)


def _cart_id(call: Call[Any], kid: str) -> str:
    """128 bits that only this key of this caller gives: a repeat finds its cart, and no table keeps the secret."""
    claim = call.claim
    assert claim is not None  # the route is idempotent
    text = f"cart:{claim.scope}:{claim.key}:{claim.request_hash.hex()}"
    return hmac.digest(token_keys().keys[kid], text.encode(), hashlib.sha256)[:16].hex()


def _nameless_cart(found: CartOfShop) -> CartView:
    """The answer that is stored: in place of the cart's id stands that of the key that made it."""
    return msgspec.structs.replace(cart_view(found.cart, found.shop, found.voucher, found.at), id=token_keys().current)


def _name_cart(call: Call[Any], cart: dict[str, Any]) -> None:
    cart["id"] = _cart_id(call, cart["id"])


@routes.get("/v1/carts/<cart_id>", answers={200: CartView}, errors=[CartNotFound])
def get_cart(call: Call[None]) -> Reply:
    """A cart against today's prices and stock."""
    return _cart_reply(carts().get(call.path["cart_id"]))


@routes.patch(
    "/v1/carts/<cart_id>",
    body=BuyerBody,
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale, Invalid],
    if_match="optional",
)
def change_buyer(call: Call[BuyerBody]) -> Reply:
    """Who buys, and where it goes. If-Match names the version that is meant."""
    body = call.body
    found = carts().set_buyer(
        call.path["cart_id"],
        email=None if body.email is UNSET else parse_email(body.email),
        address=None if body.shipping_address is UNSET else body.shipping_address.as_json(),
        if_match=call.if_match,
    )
    return _cart_reply(found)


@routes.put(
    "/v1/carts/<cart_id>/lines/<path:sku>",
    body=LineBody,
    answers={200: CartView},
    errors=[CartNotFound, UnknownItem, CartVersionStale, CartFull],
    if_match="optional",
)
def set_line(call: Call[LineBody]) -> Reply:
    """So many units of a SKU, at today's price."""
    found = carts().set_line(call.path["cart_id"], call.path["sku"], call.body.quantity, if_match=call.if_match)
    return _cart_reply(found)


@routes.delete(
    "/v1/carts/<cart_id>/lines/<path:sku>",
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale],
    if_match="optional",
)
def remove_line(call: Call[None]) -> Reply:
    """The SKU is in the cart no longer."""
    return _cart_reply(carts().remove_line(call.path["cart_id"], call.path["sku"], if_match=call.if_match))


@routes.get("/v1/carts/<cart_id>/shipping-options", answers={200: ShippingOptionsView}, errors=[CartNotFound])
def list_shipping_options(call: Call[None]) -> Reply:
    """How the goods can travel, and for how much."""
    shop = carts().get(call.path["cart_id"]).shop
    options = [shipping_option_view(option, shop.currency) for option in shop.shipping_options]
    return Reply(200, ShippingOptionsView(items=options))


@routes.put(
    "/v1/carts/<cart_id>/shipping-option",
    body=ShippingOptionBody,
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale, Invalid],
    if_match="optional",
)
def set_shipping_option(call: Call[ShippingOptionBody]) -> Reply:
    """How the goods are to travel."""
    return _cart_reply(carts().set_shipping_option(call.path["cart_id"], call.body.id, if_match=call.if_match))


@routes.put(
    "/v1/carts/<cart_id>/voucher",
    body=VoucherCodeBody,
    answers={200: CartView},
    errors=[CartNotFound, UnknownVoucher, CartVersionStale],
    if_match="optional",
)
def set_voucher(call: Call[VoucherCodeBody]) -> Reply:
    """A voucher for this cart; where it does not apply now, the cart says why."""
    return _cart_reply(carts().set_voucher(call.path["cart_id"], call.body.code, if_match=call.if_match))


@routes.delete(
    "/v1/carts/<cart_id>/voucher",
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale],
    if_match="optional",
)
def remove_voucher(call: Call[None]) -> Reply:
    """The cart has no voucher any longer."""
    return _cart_reply(carts().remove_voucher(call.path["cart_id"], if_match=call.if_match))


def _cart_reply(found: CartOfShop) -> Reply:
    return Reply(200, cart_view(found.cart, found.shop, found.voucher, found.at), {"ETag": f'"{found.cart.version}"'})
