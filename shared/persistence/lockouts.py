"""Lockouts in SQL: rows that count refused payments. They are locked last of all, in the order of kind and subject."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.ids import new_id
from shared.orders.lockout import FORGOTTEN_AFTER, Lockout, LockoutNotFound, limit_of
from shared.orders.order import Order
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction
from shared.shop import settings as shop_values

_SUBJECTS = "(values ('cart', :cart_id::text), ('email', lower(:email::text)), ('network', :network::text))"


def count_refusals(tx: Transaction, order: Order, refusals: int, now: datetime) -> None:
    """So many payments of this order were refused, in this step. Locks the rows of its cart, e-mail and network."""
    shop = shop_values.from_json(tx.one("select value from shop_settings where id = 'shop'")["value"])
    subjects = {"cart_id": order.cart_id, "email": order.email, "network": order.client_network}
    # A row that is there is touched, which locks it: one that was lifted, forgotten or swept between the two statements
    # would else count nothing.
    tx.rows(
        f"""
        insert into checkout_lockouts (id, kind, subject, updated_at)
        select id, kind, subject, :now::timestamptz
        from unnest(:ids::uuid[]) with ordinality as i (id, n)
        join (select kind, subject, row_number() over (order by kind, subject) as n
            from {_SUBJECTS} as s (kind, subject)) s using (n)
        order by kind, subject
        on conflict (kind, subject) do update set updated_at = excluded.updated_at
        """,
        ids=[new_id() for _ in range(3)],
        now=now,
        **subjects,
    )
    rows = tx.rows(
        f"""
        select id, kind, subject, refused_at, times, locked_until from checkout_lockouts
        where (kind, subject) in (select kind, subject from {_SUBJECTS} as s (kind, subject))
        order by kind, subject for update
        """,
        **subjects,
    )
    for lockout in map(_lockout, rows):
        for _ in range(refusals):
            lockout = lockout.after_refusal(now, limit=limit_of(lockout.kind, shop))
        tx.rows(
            """
            update checkout_lockouts set refused_at = :refused_at::timestamptz[], times = :times::int,
                locked_until = :locked_until::timestamptz, updated_at = :now::timestamptz
            where id = :id::uuid
            """,
            id=lockout.id,
            refused_at=list(lockout.refused_at),
            times=lockout.times,
            locked_until=lockout.locked_until,
            now=now,
        )


def forget_refusals(tx: Transaction, order: Order) -> None:
    """A payment went through: its cart and e-mail begin anew. Its network does not: others share it."""
    tx.rows(
        """
        delete from checkout_lockouts where id in (
            select id from checkout_lockouts
            where (kind, subject) in (('cart', :cart_id::text), ('email', lower(:email::text)))
            order by kind, subject for update)
        """,
        cart_id=order.cart_id,
        email=order.email,
    )


class Lockouts:
    """What staff see and lift, and what is swept away."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_locked(self, *, limit: int, after: tuple[datetime, UUID] | None = None) -> Sequence[Lockout]:
        """Those that wait now, the longest wait first; behind the one that ends then and has that id."""
        until, lockout_id = after or (None, None)
        rows = self._database.call(
            """
            select id, kind, subject, refused_at, times, locked_until from checkout_lockouts
            where locked_until > :now::timestamptz
                and (:until::timestamptz is null or (locked_until, id) < (:until::timestamptz, :id::uuid))
            order by locked_until desc, id desc limit :limit::int
            """,
            now=self._clock.now(),
            until=until,
            id=lockout_id,
            limit=limit,
        )
        return [_lockout(row) for row in rows]

    def lift(self, lockout_id: UUID, *, actor: str) -> None:
        """Forget its refusals and its waits; with a row in the audit log. Raises LockoutNotFound."""

        def in_one_step(tx: Transaction) -> None:
            lifted = tx.find("delete from checkout_lockouts where id = :id::uuid returning kind, times", id=lockout_id)
            if lifted is None:
                raise LockoutNotFound
            now = self._clock.now()
            audit.append(tx, Entry(now, actor, "lockout.lifted", f"lockout:{lockout_id}", lifted))

        self._database.step(in_one_step)

    def sweep(self, *, now: datetime, most: int = 1000) -> None:
        """Forget those that have kept quiet for long, `most` at a time."""
        self._database.call(
            """
            delete from checkout_lockouts where id in (
                select id from checkout_lockouts
                where updated_at < :before::timestamptz and coalesce(locked_until < :before::timestamptz, true)
                order by updated_at limit :most::int for update skip locked)
            """,
            before=now - FORGOTTEN_AFTER,
            most=most,
        )


def _lockout(row: Row) -> Lockout:
    return Lockout(row["id"], row["kind"], row["subject"], tuple(row["refused_at"]), row["times"], row["locked_until"])
