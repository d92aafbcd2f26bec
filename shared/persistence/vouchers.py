"""Vouchers as staff keep them: their terms, every change in the audit log. Orders redeem them in SQL functions."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction
from shared.pricing.vouchers import UnknownVoucher, Voucher, VoucherInUse, VoucherStale, VoucherTaken, fold_code

_COLUMNS = """id, code, kind, currency, percent, amount_minor, minimum_minor, starts_at, ends_at, total_limit,
    per_customer_limit, active, version, redeemed"""
_TERMS = (
    "percent", "amount_minor", "minimum_minor", "starts_at", "ends_at", "total_limit", "per_customer_limit", "active",
)  # fmt: skip


class Vouchers:
    """Codes are folded. Raises UnknownVoucher."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, code: str) -> Voucher:
        found = self._database.find(f"select {_COLUMNS} from vouchers where code = :code::text", code=fold_code(code))
        if found is None:
            raise UnknownVoucher
        return _voucher(found)

    def list_vouchers(self, *, after: str, limit: int) -> Sequence[Voucher]:
        """By code (C collation), those behind `after`."""
        rows = self._database.call(
            f"select {_COLUMNS} from vouchers where code > :after::text order by code limit :limit::int",
            after=after,
            limit=limit,
        )
        return [_voucher(row) for row in rows]

    def create(
        self, make: Callable[[str], Voucher], *, actor: str, answering: Answering[Voucher] | None = None
    ) -> Voucher:
        """What `make` makes of the shop's currency. Raises VoucherTaken."""

        def in_one_step(tx: Transaction) -> Voucher:
            currency = tx.one("select value ->> 'currency' as currency from shop_settings where id = 'shop'")[
                "currency"
            ]
            voucher, now = make(currency), self._clock.now()
            written = tx.rows(
                """
                insert into vouchers (id, code, kind, currency, percent, amount_minor, minimum_minor, starts_at,
                    ends_at, total_limit, per_customer_limit, active, created_at, updated_at)
                values (:id::uuid, :code::text, :kind::text, :currency::text, :percent::numeric, :amount_minor::bigint,
                    :minimum_minor::bigint, :starts_at::timestamptz, :ends_at::timestamptz, :total_limit::int,
                    :per_customer_limit::int, :active::boolean, :now::timestamptz, :now::timestamptz)
                on conflict (code) do nothing returning id
                """,
                id=voucher.id,
                code=voucher.code,
                kind=voucher.kind,
                currency=voucher.currency,
                now=now,
                **_terms(voucher),
            )
            if not written:
                raise VoucherTaken(code=voucher.code)
            self._note(tx, now, actor, "voucher.created", voucher, {name: v for name, v in _told(voucher).items() if v})
            return tx.answer(answering, voucher)

        return self._database.step(in_one_step)

    def change(self, code: str, changed: Callable[[Voucher], Voucher], *, actor: str, if_match: int | None) -> Voucher:
        """Its terms after `changed`; orders that were placed keep theirs. Raises what it raises, VoucherStale."""

        def in_one_step(tx: Transaction) -> Voucher:
            before = self._lock(tx, code)
            if if_match is not None and if_match != before.version:
                raise VoucherStale(version=before.version)
            after = changed(before)
            if after == before:
                return before
            now = self._clock.now()
            written = tx.one(
                f"""
                update vouchers set percent = :percent::numeric, amount_minor = :amount_minor::bigint,
                    minimum_minor = :minimum_minor::bigint, starts_at = :starts_at::timestamptz,
                    ends_at = :ends_at::timestamptz, total_limit = :total_limit::int,
                    per_customer_limit = :per_customer_limit::int, active = :active::boolean, version = version + 1,
                    updated_at = :now::timestamptz
                where id = :id::uuid returning {_COLUMNS}
                """,
                id=before.id,
                now=now,
                **_terms(after),
            )
            was, became = _told(before), _told(after)
            names = [name for name in became if was[name] != became[name]]
            detail = {name: {"was": was[name], "now": became[name]} for name in names}
            self._note(tx, now, actor, "voucher.changed", before, detail)
            return _voucher(written)

        return self._database.step(in_one_step)

    def delete(self, code: str, *, actor: str) -> None:
        """Raises VoucherInUse where an order has ever redeemed it."""

        def in_one_step(tx: Transaction) -> None:
            voucher = self._lock(tx, code)
            used = tx.find(
                "select order_id from voucher_redemptions where voucher_id = :id::uuid limit 1", id=voucher.id
            )
            if used is not None:
                raise VoucherInUse
            tx.rows("delete from vouchers where id = :id::uuid", id=voucher.id)
            self._note(tx, self._clock.now(), actor, "voucher.deleted", voucher, {})

        self._database.step(in_one_step)

    def _lock(self, tx: Transaction, code: str) -> Voucher:
        found = tx.find(f"select {_COLUMNS} from vouchers where code = :code::text for update", code=fold_code(code))
        if found is None:
            raise UnknownVoucher
        return _voucher(found)

    def _note(
        self, tx: Transaction, now: datetime, actor: str, action: str, voucher: Voucher, detail: Mapping[str, object]
    ) -> None:
        audit.append(tx, Entry(now, actor, action, f"voucher:{voucher.code}", detail))


def _terms(voucher: Voucher) -> dict[str, object]:
    return {name: getattr(voucher, name) for name in _TERMS}


def _told(voucher: Voucher) -> dict[str, object]:
    """Its terms as the audit log keeps them."""
    told = {"kind": voucher.kind, **_terms(voucher)}
    return {name: str(value) if name in ("percent", "starts_at", "ends_at") and value else value
            for name, value in told.items()}  # fmt: skip


def _voucher(row: Row) -> Voucher:
    return Voucher(**row)
