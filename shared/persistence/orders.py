"""Orders in SQL: placed in three round trips, settled in one transaction under their lock."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.cart import carts
from shared.inventory.stock import OutOfStock, ShortLine
from shared.kernel.clock import Clock, parse_iso
from shared.kernel.errors import ShopError
from shared.kernel.idempotency import Answering, Claim
from shared.kernel.messages import Event
from shared.orders import order as order_values
from shared.orders.capturing import Settled, Source
from shared.orders.lockout import CheckoutLocked
from shared.orders.order import (
    Attempt,
    Order,
    OrderMoved,
    OrderNotFound,
    OrderRefund,
    OrdersClosed,
    PaymentInProgress,
    PriceChanged,
    TooManyOpenOrders,
)
from shared.orders.placing import Placed, PlaceOrder, Quote
from shared.orders.refunding import RefundTooLarge
from shared.orders.settling import AttemptReply, Command, Outcome, Wish, settle
from shared.payments import ledger
from shared.payments.processor import Fact
from shared.persistence.database import Database, Transaction, as_json, fields_of
from shared.persistence.idempotency import raise_unless_mine
from shared.persistence.settling import apply_outcome, situation_from_json
from shared.pricing import vouchers
from shared.pricing.vouchers import Voucher, VoucherNotApplicable
from shared.shop import settings as shop_values
from shared.shop.settings import ShopSettings

GUARDS: Mapping[str, Callable[[Mapping[str, Any]], ShopError]] = {
    "CartChanged": lambda data: carts.CartChanged(**data),
    "OutOfStock": lambda data: OutOfStock(
        [ShortLine(line["sku"], line["wanted"], max(line["available"], 0)) for line in data["lines"]]
    ),
    "PriceChanged": lambda data: PriceChanged(data["lines"]),
    "PaymentInProgress": lambda data: PaymentInProgress(**data),
    "OrderMoved": lambda data: OrderMoved(**data),
    "OrdersClosed": lambda data: OrdersClosed(),
    "TooManyOpenOrders": lambda data: TooManyOpenOrders(**data),
    "VoucherNotApplicable": lambda data: VoucherNotApplicable(**data),
    "CheckoutLocked": lambda data: CheckoutLocked(**data),
    "RefundTooLarge": lambda data: RefundTooLarge(**data),
}

# How long a deployment may lie behind its migration.
_DEPLOYED_WITHIN = timedelta(days=2)

_QUOTE = """
select quote_checkout_v3(:scope::text, :route::text, :key::text, :hash::bytea, :token::uuid, :now::timestamptz,
    :until::timestamptz, :cart_id::text, :cart_version::int, :email::text, :network::text,
    :customer_id::uuid) as quote
"""
_PLACE = """
select place_order_v3(:scope::text, :route::text, :key::text, :token::uuid, :order::jsonb, :lines::jsonb,
    :event_id::uuid, :cancel_event_id::uuid, :actor::text, :open_per_email::int,
    :open_per_network::int, :voucher_id::uuid, :voucher_version::int, :now::timestamptz) as placed
"""
_AWAIT_APPROVAL = """
select await_approval_v1(:scope::text, :route::text, :key::text, :token::uuid, :status::int, :body::text,
    :order_id::uuid, :order_status::text, :replaces::text, :paypal_order_id::text, :approve_url::text,
    :published::uuid[], :now::timestamptz) as done
"""


class Orders:
    """What placing, capturing, expiring and refunding need of the database.

    `take_published` gives the ids of events that this request has published already, to be marked in passing.
    """

    def __init__(
        self, database: Database, clock: Clock, take_published: Callable[[], Sequence[UUID]] = lambda: ()
    ) -> None:
        self._database = database
        self._clock = clock
        self._take_published = take_published

    # Placing: three round trips -------------------------------------------------------------------

    def quote(self, command: PlaceOrder, claim: Claim) -> Quote:
        quote = self._database.call(
            _QUOTE,
            scope=claim.scope,
            route=claim.route,
            key=claim.key,
            hash=claim.request_hash,
            token=claim.token,
            now=claim.at,
            until=claim.until,
            cart_id=command.cart_id,
            cart_version=command.cart_version,
            email=command.email,
            network=command.client_network,
            customer_id=command.customer_id,
        )[0]["quote"]
        raise_unless_mine(quote["claim"])
        return Quote(
            cart=carts.from_json(quote["cart"]) if quote["cart"] else None,
            shop=shop_values.from_json(quote["settings"]),
            order=order_values.from_json(quote["order"]) if quote["order"] else None,
            voucher=vouchers.from_json(quote["voucher"]) if quote["voucher"] else None,
            locked_until=parse_iso(quote["locked_until"]) if quote["locked_until"] else None,
        )

    def place(self, draft: Order, claim: Claim, *, shop: ShopSettings, voucher: Voucher | None, actor: str) -> Placed:
        columns = fields_of(draft)
        for elsewhere in ("lines", "refunds", "attempt", "shipments"):
            columns.pop(elsewhere)
        event, cancelled = Event("orders", "order.placed", {}), Event("orders", "order.cancelled", {})
        placed = self._database.call(
            _PLACE,
            scope=claim.scope,
            route=claim.route,
            key=claim.key,
            token=claim.token,
            order=as_json({**columns, "updated_at": draft.placed_at}),
            lines=as_json([fields_of(line) for line in draft.lines]),
            event_id=event.id,
            cancel_event_id=cancelled.id,
            actor=actor,
            open_per_email=shop.open_orders_per_email,
            open_per_network=shop.open_orders_per_network,
            voucher_id=None if voucher is None else voucher.id,
            voucher_version=None if voucher is None else voucher.version,
            now=self._clock.now(),
        )[0]["placed"]
        if placed["placed"]:
            self._database.announce([Event("orders", "order.placed", {"order": placed["order"]}, id=event.id)])
        return Placed(order_values.from_json(placed["order"]), placed["placed"])

    def await_approval(self, order: Order, answering: Answering[Order], *, replaces: str | None) -> None:
        claim = answering.claim
        self._database.call(
            _AWAIT_APPROVAL,
            scope=claim.scope,
            route=claim.route,
            key=claim.key,
            token=claim.token,
            status=answering.status,
            body=answering.render(order),
            order_id=order.id,
            order_status=order.status,
            replaces=replaces,
            paypal_order_id=order.paypal_order_id,
            approve_url=order.approve_url,
            published=list(self._take_published()),
            now=self._clock.now(),
        )

    def give_up(self, order_id: UUID, reason: str) -> Order:
        with suppress(OrderMoved):
            self.settle(order_id, wish=Wish("cancelled", reason), require=_must_be_unopened)
        return self.get(order_id)

    # Reading --------------------------------------------------------------------------------------

    def get(self, order_id: UUID) -> Order:
        found = self._database.find("select order_json_v2(:id::uuid) as found", id=order_id)
        if found is None or found["found"] is None:
            raise OrderNotFound
        return order_values.from_json(found["found"])

    def find_wait(self, order: Order) -> datetime | None:
        found: datetime | None = self._database.call(
            "select checkout_locked_until_v1(:cart_id::text, :email::text, :network::text, :now::timestamptz) as until",
            cart_id=order.cart_id,
            email=order.email,
            network=order.client_network,
            now=self._clock.now(),
        )[0]["until"]
        return found

    def find_by_number(self, number: str) -> Order | None:
        found = self._database.find(
            "select order_json_v2(id) as found from orders where number = :number::text", number=number
        )
        return order_values.from_json(found["found"]) if found else None

    def find_attempt(self, attempt_id: UUID) -> tuple[Attempt, Order] | None:
        found = self._database.find(
            """
            select to_jsonb(a) as attempt, order_json_v2(a.order_id) as found
            from capture_attempts a where a.id = :id::uuid
            """,
            id=attempt_id,
        )
        if found is None:
            return None
        return order_values.attempt_from_json(found["attempt"]), order_values.from_json(found["found"])

    def find_refund(self, refund_id: UUID) -> tuple[OrderRefund, Order] | None:
        found = self._database.find(
            """
            select order_json_v2(r.order_id) as found from refunds r where r.id = :id::uuid
            """,
            id=refund_id,
        )
        if found is None:
            return None
        order = order_values.from_json(found["found"])
        return next(refund for refund in order.refunds if refund.id == refund_id), order

    # Open rows: what a sweep wakes ----------------------------------------------------------------

    def list_due(self, now: datetime, limit: int) -> Sequence[UUID]:
        return self._ids(
            """
            select o.id from orders o
            where o.status = 'pending_payment' and o.hold_expires_at <= :before::timestamptz and not exists (
                select 1 from capture_attempts a where a.order_id = o.id and a.state in ('requested', 'pending',
                    'completed'))
            order by o.hold_expires_at limit :limit::int
            """,
            before=now,
            limit=limit,
        )

    def list_keeping_vouchers(self, limit: int) -> Sequence[UUID]:
        """Orders that code from before there were vouchers let go of, while functions were deployed one by one."""
        return self._ids(
            """
            select o.id from orders o
            where o.voucher_code is not null and o.status in ('expired', 'cancelled')
                and o.updated_at > :since::timestamptz and exists (
                    select 1 from voucher_redemptions r where r.order_id = o.id and r.state = 'redeemed')
            order by o.updated_at limit :limit::int
            """,
            since=self._clock.now() - _DEPLOYED_WITHIN,
            limit=limit,
        )

    def release_voucher(self, order_id: UUID) -> None:
        """Of an order that was let go of; a second time nothing happens. Locks: order, voucher."""

        def in_one_step(tx: Transaction) -> None:
            locked = tx.find(
                "select id from orders where id = :id::uuid and status in ('expired', 'cancelled') for update",
                id=order_id,
            )
            if locked is not None:
                tx.rows("select release_voucher_v1(:id::uuid, :now::timestamptz)", id=order_id, now=self._clock.now())

        self._database.step(in_one_step)

    # These three stamp what they give, so that whoever comes next, or a minute later, begins with other rows.

    def take_unanswered_attempts(self, before: datetime, limit: int) -> Sequence[UUID]:
        return self._ids(
            """
            update capture_attempts set looked_at = :now::timestamptz where id in (
                select id from capture_attempts where state = 'requested' and looked_at <= :before::timestamptz
                order by looked_at limit :limit::int for update skip locked)
            returning id
            """,
            before=before,
            limit=limit,
            now=self._clock.now(),
        )

    def take_open_refunds(self, before: datetime, limit: int) -> Sequence[UUID]:
        return self._ids(
            """
            update refunds set updated_at = :now::timestamptz where id in (
                select id from refunds where state in ('requested', 'pending') and updated_at <= :before::timestamptz
                order by updated_at limit :limit::int for update skip locked)
            returning id
            """,
            before=before,
            limit=limit,
            now=self._clock.now(),
        )

    def take_pending_captures(self, before: datetime, limit: int) -> Sequence[UUID]:
        return self._ids(
            """
            update orders set updated_at = :now::timestamptz where id in (
                select id from orders where status = 'on_hold' and status_reason = 'capture_pending'
                    and updated_at <= :before::timestamptz
                order by updated_at limit :limit::int for update skip locked)
            returning id
            """,
            before=before,
            limit=limit,
            now=self._clock.now(),
        )

    def _ids(self, sql: str, **parameters: Any) -> list[UUID]:
        return [row["id"] for row in self._database.call(sql, **parameters)]

    # Settling -------------------------------------------------------------------------------------

    def settle(
        self,
        order_id: UUID,
        *,
        facts: Sequence[Fact] = (),
        source: Source = "poll",
        reply: AttemptReply | None = None,
        wish: Wish | None = None,
        require: Callable[[Outcome], None] | None = None,
        command: Command | None = None,
        answering: Answering[Order] | None = None,
    ) -> Settled:
        rows = [fields_of(row) for fact in facts for row in ledger.rows_of(fact)]

        def in_one_step(tx: Transaction) -> Settled:
            now = self._clock.now()
            situation = situation_from_json(
                tx.one(
                    "select record_facts_v2(:id::uuid, :facts::jsonb, :source::text, :now::timestamptz) as situation",
                    id=order_id,
                    facts=as_json(rows),
                    source=source,
                    now=now,
                )["situation"]
            )
            outcome = settle(situation, now=now, reply=reply, wish=wish, is_commanded=command is not None)
            if command is not None:
                command(situation, outcome, now)
            if require is not None:
                require(outcome)
            if outcome.order.paid_at is not None:
                # Here: placing owes nothing, and its cold start should not pay for it. And before the stock is taken.
                from shared.persistence.owing import owe_documents

                owe_documents(tx, outcome.order, situation.ledger, now)
            order = apply_outcome(tx, situation.order, outcome, now)
            return Settled(tx.answer(answering, order), outcome.new_attempt)

        return self._database.step(in_one_step)

    def fail_refund(self, refund_id: UUID, failure: str) -> None:
        self._database.call(
            """
            update refunds set state = 'failed', failure = :failure::text, updated_at = :now::timestamptz
            where id = :id::uuid and state in ('requested', 'pending')
            """,
            id=refund_id,
            failure=failure,
            now=self._clock.now(),
        )


def _must_be_unopened(outcome: Outcome) -> None:
    """A losing duplicate never undoes the winner: what another request has opened at PayPal is its buyer's."""
    if outcome.order.paypal_order_id is not None:
        raise OrderMoved(status=outcome.order.status)
