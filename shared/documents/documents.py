"""A document: its number, and the content that it was issued with. Nothing of it changes once it has a number."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.documents.owing import Kind
from shared.kernel.clock import parse_iso


@dataclass(frozen=True, slots=True)
class Party:
    name: str
    address: tuple[str, ...]
    tax_id: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """`net_minor` + `tax_minor` = `gross_minor`; `rate` is a decimal, 0.0725 for 7.25 %. Shipping has no SKU.

    An invoice's line has quantity and unit price. A credit note's says what of the invoice's line is credited, and
    has a quantity where units were.
    """

    sku: str | None
    name: str
    rate: str
    net_minor: int
    tax_minor: int
    gross_minor: int
    quantity: int | None = None
    unit_price_minor: int | None = None
    discount_minor: int = 0


@dataclass(frozen=True, slots=True)
class TaxPart:
    """What of the document is taxed at one rate."""

    rate: str
    net_minor: int
    tax_minor: int
    gross_minor: int


@dataclass(frozen=True, slots=True)
class Content:
    """All that a document says. Amounts are minor units of `currency`, and positive in a credit note too.

    `subtotal_minor` to `total_minor` of an invoice are the frozen order's; of a credit note, the sums of its lines.
    """

    kind: Kind
    order_number: str
    placed_at: datetime
    paid_at: datetime
    currency: str
    locale: str
    prices_include_tax: bool
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    taxes: tuple[TaxPart, ...]
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    invoice_number: str | None = None
    refund_id: str | None = None
    reason: str = ""
    footer: str = ""

    @property
    def net_minor(self) -> int:
        return self.total_minor - self.tax_minor


@dataclass(frozen=True, slots=True)
class Document:
    """An issued document; numbers of one kind and year have no gap."""

    id: UUID
    kind: Kind
    number: str
    issued_at: datetime
    content: Content


def content_to_json(content: Content) -> dict[str, Any]:
    return asdict(content)


def content_from_json(value: Mapping[str, Any]) -> Content:
    """What a later version may have written besides is not known here (DESIGN.md rule 15)."""
    return Content(
        **{
            **_known(Content, value),
            "placed_at": parse_iso(value["placed_at"]),
            "paid_at": parse_iso(value["paid_at"]),
            "seller": _party(value["seller"]),
            "buyer": _party(value["buyer"]),
            "lines": tuple(Line(**_known(Line, line)) for line in value["lines"]),
            "taxes": tuple(TaxPart(**_known(TaxPart, part)) for part in value["taxes"]),
        }
    )


def _known(shape: type[Content | Line | TaxPart], value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in shape.__dataclass_fields__ if name in value}


def _party(value: Mapping[str, Any]) -> Party:
    return Party(value["name"], tuple(value["address"]), value["tax_id"])
