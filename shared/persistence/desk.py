"""The desk in SQL: what staff read of orders in a statement each, and what they do to one, under its lock."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.orders.order import Order, OrderNotFound
from shared.orders.settling import Command, settle
from shared.payments.ledger import Ledger, read_json
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction
from shared.persistence.owing import owe_documents
from shared.persistence.settling import apply_outcome, situation_from_json

_LIST = """
select o.id, o.number, o.status, o.status_reason, o.email, o.currency, o.total_minor, o.captured_minor,
    o.refunded_minor, o.reversed_minor, o.disputed, o.late, o.placed_at, o.paid_at, o.bound_capture_id,
    case when o.captured_minor = 0
        then (select jsonb_agg(to_jsonb(f) order by f.id) from payment_facts f where f.order_id = o.id)
    end as facts_in_another_currency,
    (select count(*) from refunds r where r.order_id = o.id and {failed}) as failed_refunds
from orders o where {narrowed}
order by o.placed_at desc, o.id limit :limit::int
"""
# A refund that failed, and that nobody has taken up again.
_FAILED = """r.state in ('failed', 'cancelled') and not exists (select 1 from refunds a where a.retries = r.id)"""
_NARROWED = {
    "status": "o.status = :status::text",
    "number": "o.number = :number::text",
    "email": "o.email = :email::text",
    # Words and no parameter, so that the index orders_disputed is known to fit.
    "is disputed": "o.disputed",
    "is not disputed": "not o.disputed",
    # From the few that failed to their orders, by the index refunds_failed.
    "failed_refunds": f"o.id in (select r.order_id from refunds r where {_FAILED})",
    # The first half bounds the index, the second tells apart what has the same moment.
    "before": """o.placed_at <= :before_at::timestamptz
        and (o.placed_at < :before_at::timestamptz or o.id > :before_id::uuid)""",
}

_SHOW = """
select order_json_v2(o.id) as found, refundable_v1(o.bound_capture_id) as refundable_minor,
    (select coalesce(jsonb_agg(to_jsonb(a) order by a.requested_at, a.id), '[]') from capture_attempts a
        where a.order_id = o.id) as attempts,
    (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]') from payment_facts f
        where f.order_id = o.id) as facts,
    (select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]') from stock_movements m
        where m.order_id = o.id) as movements,
    (select coalesce(jsonb_agg(to_jsonb(n) order by n.at, n.id), '[]') from order_notes n
        where n.order_id = o.id) as notes,
    (select coalesce(jsonb_agg(to_jsonb(l) order by l.at, l.id), '[]') from audit_log l
        where l.subject = 'order:' || o.number) as audit
from orders o where o.number = :number::text
"""

_NOTE = """
insert into order_notes (id, order_id, at, author, words)
select :id::uuid, o.id, :at::timestamptz, :author::text, :words::text from orders o where o.number = :number::text
returning at, author, words
"""


class Desk:
    """What staff see of orders, and do to them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_orders(
        self,
        *,
        status: str | None = None,
        number: str | None = None,
        email: str | None = None,
        disputed: bool | None = None,
        failed_refunds: bool = False,
        before: tuple[datetime, UUID] | None = None,
        limit: int,
    ) -> Sequence[Row]:
        """The newest first, those behind the order of that moment and id. Flat rows."""
        asked = {"status": status, "number": number, "email": email}
        given: Row = {name: value for name, value in asked.items() if value is not None}
        narrowed = [_NARROWED[name] for name in given]
        if disputed is not None:
            narrowed.append(_NARROWED["is disputed" if disputed else "is not disputed"])
        if failed_refunds:
            narrowed.append(_NARROWED["failed_refunds"])
        if before is not None:
            narrowed.append(_NARROWED["before"])
            given |= {"before_at": before[0], "before_id": before[1]}
        # Fewer than a hundred texts, all made of the constants above.
        text = _LIST.format(failed=_FAILED, narrowed=" and ".join(narrowed) or "true")
        return self._database.call(text, limit=limit, **given)

    def show(self, number: str) -> Row:
        """All that is known of an order. Raises OrderNotFound."""
        found = self._database.find(_SHOW, number=number)
        if found is None:
            raise OrderNotFound
        return found

    def add_note(self, number: str, words: str, *, actor: str, answering: Answering[Row] | None = None) -> Row:
        """Raises OrderNotFound."""

        def in_one_step(tx: Transaction) -> Row:
            now = self._clock.now()
            note = tx.find(_NOTE, id=new_id(), number=number, at=now, author=actor, words=words)
            if note is None:
                raise OrderNotFound
            audit.append(tx, Entry(now, actor, "note.written", f"order:{number}"))
            return tx.answer(answering, note)

        return self._database.step(in_one_step)

    def change(
        self,
        number: str,
        command: Command,
        *,
        answering: Answering[Order] | Callable[[Order, Ledger], Answering[Order] | None] | None = None,
    ) -> Order:
        """Settle the order and do the command, in one transaction under the locks of cart, order and stock.

        `answering` may depend on what has become of the order, and on its ledger. Raises OrderNotFound, and whatever
        the command refuses with; then nothing has changed.
        """

        def in_one_step(tx: Transaction) -> Order:
            now = self._clock.now()
            locked = tx.find("select lock_order_v1(id) as situation from orders where number = :n::text", n=number)
            order = do_command(tx, locked, command, now)
            if callable(answering):
                return tx.answer(answering(order, read_json(locked["situation"]["facts"] if locked else ())), order)
            return tx.answer(answering, order)

        return self._database.step(in_one_step)


def do_command(tx: Transaction, locked: Row | None, command: Command, now: datetime) -> Order:
    """Settle an order that lock_order_v1 has locked, as `situation`, and do the command. Raises OrderNotFound, and
    whatever the command refuses with.
    """
    situation = situation_from_json(locked["situation"] if locked else None)
    outcome = settle(situation, now=now, is_commanded=True)
    command(situation, outcome, now)
    if outcome.order.paid_at is not None:
        owe_documents(tx, outcome.order, situation.ledger, now)
    return apply_outcome(tx, situation.order, outcome, now)
