"""Carts: what a buyer has gathered, held against today's catalogue and stock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from shared.kernel.errors import Conflict, Invalid, NotFound, Stale

Problem = Literal["unavailable", "other_currency", "short", "price_changed"]
MAX_LINES = 100


@dataclass(frozen=True, slots=True)
class CartLine:
    """`price_minor` is the price of today (None: no longer in the catalogue), `seen_price_minor` what the buyer
    agreed to; `currency` is that of today's price.
    """

    sku: str
    quantity: int
    name: str
    options: Mapping[str, Any]
    slug: str | None
    seen_price_minor: int
    price_minor: int | None
    currency: str | None
    tax_class: str
    sellable: bool
    available: int

    def problem(self, currency: str) -> Problem | None:
        """Why this line cannot be ordered as it stands; None when it can."""
        if not self.sellable or self.price_minor is None:
            return "unavailable"
        if self.currency != currency:
            return "other_currency"
        if self.available <= 0:
            return "unavailable"
        if self.available < self.quantity:
            return "short"
        if self.price_minor != self.seen_price_minor:
            return "price_changed"
        return None

    @property
    def unit_price_minor(self) -> int:
        return self.seen_price_minor if self.price_minor is None else self.price_minor


@dataclass(frozen=True, slots=True)
class Cart:
    id: str
    version: int
    currency: str
    email: str | None
    shipping_address: Mapping[str, str] | None
    shipping_option: str | None
    lines: tuple[CartLine, ...]
    voucher_code: str | None = None
    customer_id: UUID | None = None


class CartNotFound(NotFound):
    sentence = "There is no such cart."


class UnknownItem(NotFound):
    sentence = "There is no such item."


class CartChanged(Conflict):
    """The cart is no longer at the version that the caller means; `version` is the one it is at."""

    sentence = "The cart has changed since you looked at it."


class CartVersionStale(Stale):
    sentence = "The cart has changed since you looked at it."


class CartFull(Invalid):
    sentence = f"A cart holds at most {MAX_LINES} different items."


def from_json(value: Mapping[str, Any]) -> Cart:
    """A cart from what `cart_json_v1` gives."""
    return Cart(
        id=value["id"],
        version=value["version"],
        currency=value["currency"],
        email=value["email"],
        shipping_address=value["shipping_address"],
        shipping_option=value["shipping_option"],
        lines=tuple(
            CartLine(
                sku=line["sku"],
                quantity=line["quantity"],
                name=line["product_name"] or line["name"],
                options=line["options"],
                slug=line["slug"],
                seen_price_minor=line["seen_price_minor"],
                price_minor=line["price_minor"],
                currency=line["currency"],
                tax_class=line["tax_class"] or "standard",
                sellable=line["sellable"],
                available=max(line["available"], 0),
            )
            for line in value["lines"]
        ),
        voucher_code=value["voucher_code"],
        customer_id=UUID(value["customer_id"]) if value["customer_id"] else None,
    )
