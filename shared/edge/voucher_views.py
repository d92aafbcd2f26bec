"""What staff send and see of vouchers, and what buyers see of theirs."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from shared.edge.moments import Moment, read_moment
from shared.edge.money_view import MoneyView, money
from shared.edge.parsing import Body, View
from shared.kernel.clock import iso
from shared.pricing.vouchers import Problem, Voucher, check_terms, fold_code

Code = Annotated[str, Meta(pattern=r"^\s*[0-9A-Za-z][0-9A-Za-z_-]{0,39}\s*\Z", max_length=60)]
Percent = Annotated[str, Meta(pattern=r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)\Z")]
OffMinor = Annotated[int, Meta(ge=1, le=100_000_000)]
MinimumMinor = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Times = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class VoucherCodeBody(Body, frozen=True, kw_only=True):
    """As the buyer has typed it."""

    code: Annotated[str, Meta(min_length=1, max_length=100)]


class VoucherBody(Body, frozen=True, kw_only=True):
    """A voucher in the shop's currency; `percent` is a decimal, "12.5"; no limit or date means none."""

    code: Code
    kind: Literal["percent", "amount", "free_shipping"]
    percent: Percent | None = None
    amount_minor: OffMinor | None = None
    minimum_minor: MinimumMinor = 0
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    total_limit: Times | None = None
    per_customer_limit: Times | None = None
    active: bool = True

    def voucher(self, voucher_id: UUID, currency: str) -> Voucher:
        """Raises Invalid."""
        made = Voucher(
            id=voucher_id,
            code=fold_code(self.code),
            kind=self.kind,
            currency=currency,
            percent=None if self.percent is None else Decimal(self.percent),
            amount_minor=self.amount_minor,
            minimum_minor=self.minimum_minor,
            starts_at=read_moment(self.starts_at, "/starts_at"),
            ends_at=read_moment(self.ends_at, "/ends_at"),
            total_limit=self.total_limit,
            per_customer_limit=self.per_customer_limit,
            active=self.active,
        )
        check_terms(made)
        return made


class VoucherChangeBody(Body, frozen=True, kw_only=True):
    """What changes of a voucher; what is left out stays, null takes a date or limit away."""

    percent: Percent | UnsetType = UNSET
    amount_minor: OffMinor | UnsetType = UNSET
    minimum_minor: MinimumMinor | UnsetType = UNSET
    starts_at: Moment | UnsetType | None = UNSET
    ends_at: Moment | UnsetType | None = UNSET
    total_limit: Times | UnsetType | None = UNSET
    per_customer_limit: Times | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET

    def changed(self, before: Voucher) -> Voucher:
        """Raises Invalid."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not UNSET}
        if "percent" in given:
            given["percent"] = Decimal(given["percent"])
        for name in ("starts_at", "ends_at"):
            if name in given:
                given[name] = read_moment(given[name], f"/{name}")
        after = replace(before, **given)
        check_terms(after)
        return after


class VoucherView(View, frozen=True, kw_only=True):
    """`redeemed` counts orders that are open or went through; `version` is that of the terms."""

    code: str
    version: int
    kind: Literal["percent", "amount", "free_shipping"]
    currency: str
    percent: str | None
    amount_minor: int | None
    minimum_minor: int
    starts_at: str | None
    ends_at: str | None
    total_limit: int | None
    per_customer_limit: int | None
    active: bool
    redeemed: int


class VouchersPage(View, frozen=True, kw_only=True):
    items: list[VoucherView]
    next_cursor: str | None


class CartVoucherView(View, frozen=True, kw_only=True):
    """The voucher of a cart; `problem` says why it takes nothing off now, null where it does."""

    code: str
    kind: Literal["percent", "amount", "free_shipping"] | None
    percent: str | None
    amount: MoneyView | None
    minimum: MoneyView | None
    problem: Problem | None


def voucher_view(voucher: Voucher) -> VoucherView:
    return VoucherView(
        code=voucher.code,
        version=voucher.version,
        kind=voucher.kind,
        currency=voucher.currency,
        percent=_percent(voucher),
        amount_minor=voucher.amount_minor,
        minimum_minor=voucher.minimum_minor,
        starts_at=iso(voucher.starts_at) if voucher.starts_at else None,
        ends_at=iso(voucher.ends_at) if voucher.ends_at else None,
        total_limit=voucher.total_limit,
        per_customer_limit=voucher.per_customer_limit,
        active=voucher.active,
        redeemed=voucher.redeemed,
    )


def cart_voucher_view(code: str, voucher: Voucher | None, problem: Problem | None) -> CartVoucherView:
    """Of a voucher that is gone only the code is known."""
    if voucher is None:
        return CartVoucherView(code=code, kind=None, percent=None, amount=None, minimum=None, problem="unknown")
    return CartVoucherView(
        code=code,
        kind=voucher.kind,
        percent=_percent(voucher),
        amount=None if voucher.amount_minor is None else money(voucher.amount_minor, voucher.currency),
        minimum=money(voucher.minimum_minor, voucher.currency) if voucher.minimum_minor else None,
        problem=problem,
    )


def _percent(voucher: Voucher) -> str | None:
    return None if voucher.percent is None else f"{voucher.percent.normalize():f}"
