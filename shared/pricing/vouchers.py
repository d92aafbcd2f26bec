"""Vouchers: what they take off, when they apply, and to whom. How often one was redeemed is guarded in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.kernel.errors import Conflict, Field, Invalid, NotFound, Stale
from shared.kernel.money import charge_step_minor

Kind = Literal["percent", "amount", "free_shipping"]
# `unknown`: deleted or switched off. `changed`: staff have changed its terms while the order was placed.
Problem = Literal["unknown", "currency", "not_yet", "ended", "minimum", "used_up", "used_by_customer", "changed"]


@dataclass(frozen=True, slots=True)
class Voucher:
    """`percent` (25 is a quarter) or `amount_minor` of what the lines cost, or free shipping.

    A limit of None is none. `redeemed` and `used_by_customer` count orders that are open or went through; who asks for
    a cart leaves out the order that this cart has open. A customer is an e-mail address, folded, and an account.
    """

    id: UUID
    code: str
    kind: Kind
    currency: str
    percent: Decimal | None = None
    amount_minor: int | None = None
    minimum_minor: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    total_limit: int | None = None
    per_customer_limit: int | None = None
    active: bool = True
    version: int = 1
    redeemed: int = 0
    used_by_customer: int = 0

    def problem(self, *, subtotal_minor: int, currency: str, at: datetime) -> Problem | None:
        """Why it takes nothing off this cart; None where it applies."""
        if not self.active:
            return "unknown"
        if self.currency != currency:
            return "currency"
        if self.starts_at is not None and at < self.starts_at:
            return "not_yet"
        if self.ends_at is not None and at >= self.ends_at:
            return "ended"
        if self.total_limit is not None and self.redeemed >= self.total_limit:
            return "used_up"
        if self.per_customer_limit is not None and self.used_by_customer >= self.per_customer_limit:
            return "used_by_customer"
        return "minimum" if subtotal_minor < self.minimum_minor else None

    def discount_minor(self, subtotal_minor: int) -> int:
        """What it takes off lines that cost so much: never more, and in amounts that can be charged.

        A percentage of the whole is rounded once, ROUND_HALF_UP; 25 % of 19.99 are 5.00.
        """
        step = charge_step_minor(self.currency)
        if self.kind == "percent":
            exact = Decimal(subtotal_minor) * (self.percent or 0) / 100 / step
            return min(int(exact.quantize(Decimal(1), ROUND_HALF_UP)) * step, subtotal_minor)
        return min(self.amount_minor or 0, subtotal_minor)

    @property
    def frees_shipping(self) -> bool:
        return self.kind == "free_shipping"


class UnknownVoucher(NotFound):
    sentence = "There is no such voucher."


class VoucherNotApplicable(Conflict):
    """`problem` says why it takes nothing off this order: a Problem."""

    sentence = "This voucher cannot be used for this order. Please look at your cart again."


class VoucherTaken(Conflict):
    sentence = "There is a voucher with this code already."


class VoucherInUse(Conflict):
    """It was redeemed, so it stays for the books; switched off it takes nothing off any more."""

    sentence = "This voucher was used in orders. Switch it off instead."


class VoucherStale(Stale):
    sentence = "The voucher has changed since you looked at it."


def fold_code(code: str) -> str:
    """As it is kept: buyers type it as they like."""
    return code.strip().upper()


def check_terms(voucher: Voucher) -> None:
    """Raises Invalid where the parts of a voucher contradict each other."""
    step = charge_step_minor(voucher.currency)
    bad: list[Field] = []
    if (voucher.percent is not None) != (voucher.kind == "percent"):
        bad.append(Field("/percent", "A percent voucher has one, no other has."))
    elif voucher.percent is not None and not 0 < voucher.percent <= 100:
        bad.append(Field("/percent", "More than 0, 100 at most."))
    if (voucher.amount_minor is not None) != (voucher.kind == "amount"):
        bad.append(Field("/amount_minor", "An amount voucher has one, no other has."))
    elif voucher.amount_minor is not None and voucher.amount_minor % step:
        bad.append(Field("/amount_minor", f"{voucher.currency} is charged in whole units: a multiple of {step}."))
    if voucher.starts_at is not None and voucher.ends_at is not None and voucher.starts_at >= voucher.ends_at:
        bad.append(Field("/ends_at", "Ends before it starts."))
    if bad:
        raise Invalid(bad)


def from_json(value: Mapping[str, Any]) -> Voucher:
    """A voucher from what `voucher_json_v1` gives."""
    return Voucher(
        id=UUID(value["id"]),
        code=value["code"],
        kind=value["kind"],
        currency=value["currency"],
        percent=None if value["percent"] is None else Decimal(value["percent"]),
        amount_minor=value["amount_minor"],
        minimum_minor=value["minimum_minor"],
        starts_at=parse_iso(value["starts_at"]) if value["starts_at"] else None,
        ends_at=parse_iso(value["ends_at"]) if value["ends_at"] else None,
        total_limit=value["total_limit"],
        per_customer_limit=value["per_customer_limit"],
        active=value["active"],
        version=value["version"],
        redeemed=value["redeemed"],
        used_by_customer=value["used_by_customer"],
    )
