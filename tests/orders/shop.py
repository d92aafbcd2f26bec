"""A shop on real PostgreSQL, a PayPal that does as it is told, and the short words in which tests of orders are
written.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

from shared.kernel.clock import SystemClock
from shared.kernel.errors import Declined, ShopError, Unavailable
from shared.kernel.idempotency import Answering, Claim
from shared.kernel.money import Money
from shared.orders import cancelling, capturing, expiring, fulfilling, placing, refunding
from shared.orders.fulfilling import Fulfilment
from shared.orders.order import Order
from shared.payments.processor import (
    Approval,
    CaptureFact,
    DisputeFact,
    OrderFact,
    PaymentRequest,
    RefundFact,
    Refused,
    Tracking,
)
from shared.persistence import fulfilment as fulfilment_in_sql
from shared.persistence import orders as orders_in_sql
from shared.persistence import returns as returns_in_sql
from shared.persistence.carts import Carts
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.desk import Desk
from shared.persistence.fulfilment import Fulfilments
from shared.persistence.orders import Orders
from shared.persistence.returns import Returns
from shared.persistence.vouchers import Vouchers
from shared.pricing.vouchers import Voucher
from shared.settings import DatabaseSettings
from shared.shipping.shipments import Shipment, ShipmentLine

T = TypeVar("T")
ADDRESS = {
    "name": "Ada Buyer",
    "line1": "1 Main St",
    "line2": "",
    "city": "Springfield",
    "region": "OR",
    "postal_code": "97477",
    "country": "US",
    "phone": "",
}
SHIPPING_MINOR = 590


class MovingClock:
    """The machine's time, moved on by whoever asks."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead

    def advance(self, **parts: float) -> None:
        self._ahead += timedelta(**parts)

    def go_back(self) -> None:
        """To the machine's time."""
        self._ahead = timedelta()


class ScriptedPayPal:
    """Orders, captures and refunds in memory, each call once per request id, as PayPal keeps them."""

    def __init__(self) -> None:
        self.requests: dict[str, PaymentRequest] = {}
        self.statuses: dict[str, tuple[str, str]] = {}
        self.captures: dict[str, CaptureFact] = {}
        self.refunds: dict[str, RefundFact] = {}
        self.calls: list[tuple[str, str]] = []
        self.next_capture: str = "COMPLETED"
        self.amount: Money | None = None
        self.lost_answers = 0
        self.while_away: Callable[[], None] = lambda: None
        self.away = False
        self.refuses = False
        self.capture_refusal: Refused | None = None
        self.refund_refusals: list[str] = []
        self.next_refund = "COMPLETED"
        self.refusal = "CURRENCY_NOT_SUPPORTED"
        self._of_request: dict[UUID, CaptureFact | RefundFact | Refused] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def open(self, request: PaymentRequest) -> Approval:
        self._answer_or_not("open", str(request.order_id))
        if self.refuses:
            raise Declined(reason=self.refusal)
        with self._lock:
            known = next((k for k, r in self.requests.items() if r.request_id == request.request_id), None)
            paypal_order_id = known or f"PPORDER{uuid4().hex[:10].upper()}"
            self.requests[paypal_order_id] = request
            self.statuses.setdefault(paypal_order_id, ("CREATED", self._moment()))
        self._lose_answer()
        return Approval(paypal_order_id, f"https://paypal.example/approve/{paypal_order_id}", "CREATED")

    def approve(self, paypal_order_id: str | None) -> None:
        assert paypal_order_id is not None
        self.statuses[paypal_order_id] = ("APPROVED", self._moment())

    def capture(self, paypal_order_id: str, *, attempt_id: UUID) -> CaptureFact | Refused:
        self._answer_or_not("capture", str(attempt_id))
        with self._lock:
            answer = self._of_request.get(attempt_id)
            if answer is None:
                answer = self._of_request[attempt_id] = self._capture(paypal_order_id)
        self._lose_answer()
        assert not isinstance(answer, RefundFact)
        return answer

    def _capture(self, paypal_order_id: str) -> CaptureFact | Refused:
        if self.statuses[paypal_order_id][0] != "APPROVED":
            return Refused("ORDER_NOT_APPROVED")
        if self.capture_refusal is not None:
            return self.capture_refusal
        if self.next_capture == "INSTRUMENT_DECLINED":
            return Refused("INSTRUMENT_DECLINED")
        self.statuses[paypal_order_id] = ("COMPLETED", self._moment())
        return self.make_capture(paypal_order_id, self.next_capture)

    def make_capture(self, paypal_order_id: str | None, status: str = "COMPLETED") -> CaptureFact:
        """A capture that nobody here asked for, or the one that was."""
        assert paypal_order_id is not None
        request = self.requests[paypal_order_id]
        made = CaptureFact(
            id=f"CAPTURE{uuid4().hex[:10].upper()}",
            status=status,
            amount=self.amount or Money(request.total_minor, request.currency),
            invoice_id=f"VIT-{request.number}",
            custom_id=str(request.order_id),
            paypal_order_id=paypal_order_id,
            created_at=datetime.now(UTC),
            update_time=self._moment(),
        )
        self.captures[made.id] = made
        return made

    def become(self, capture_id: str, status: str) -> CaptureFact:
        self.captures[capture_id] = replace(self.captures[capture_id], status=status, update_time=self._moment())
        return self.captures[capture_id]

    def make_refund(
        self,
        capture: CaptureFact,
        minor: int | None = None,
        *,
        custom_id: str | None = None,
        status: str = "COMPLETED",
        reversal: bool = False,
    ) -> RefundFact:
        assert capture.amount is not None
        amount = capture.amount if minor is None else Money(minor, capture.amount.currency)
        made = RefundFact(
            id=f"REFUND{uuid4().hex[:10].upper()}",
            capture_id=capture.id,
            status=status,
            amount=amount,
            custom_id=custom_id,
            created_at=datetime.now(UTC),
            update_time=self._moment(),
            reversal=reversal,
        )
        self.refunds[made.id] = made
        return made

    def end_refund(self, refund_id: str, status: str) -> RefundFact:
        self.refunds[refund_id] = replace(self.refunds[refund_id], status=status, update_time=self._moment())
        return self.refunds[refund_id]

    def _left(self, capture_id: str) -> int:
        capture = self.captures[capture_id]
        assert capture.amount is not None
        gone = [r for r in self.refunds.values() if r.capture_id == capture_id and r.status in ("COMPLETED", "PENDING")]
        return capture.amount.minor - sum(refund.amount.minor for refund in gone)

    def refund(
        self, capture_id: str, *, refund_id: UUID, amount: Money, number: str, note: str
    ) -> RefundFact | Refused:
        self._answer_or_not("refund", str(refund_id))
        with self._lock:
            answer = self._of_request.get(refund_id)
            if answer is None:
                answer = self._refund(capture_id, refund_id, amount)
                self._of_request[refund_id] = answer
        self._lose_answer()
        assert not isinstance(answer, CaptureFact)
        return answer

    def track(self, tracking: Tracking) -> Refused | None:
        self._answer_or_not("track", tracking.tracking_number)
        self._lose_answer()
        return None

    def _refund(self, capture_id: str, refund_id: UUID, amount: Money) -> RefundFact | Refused:
        if self.refund_refusals:
            return Refused(self.refund_refusals.pop(0))
        if self._left(capture_id) <= 0:
            return Refused("CAPTURE_FULLY_REFUNDED")
        if amount.minor > self._left(capture_id):
            return Refused("REFUND_AMOUNT_EXCEEDED")
        return self.make_refund(
            self.captures[capture_id], amount.minor, custom_id=str(refund_id), status=self.next_refund
        )

    def find_order(self, paypal_order_id: str) -> OrderFact | None:
        self._answer_or_not("find_order", paypal_order_id)
        if paypal_order_id not in self.requests:
            return None
        request = self.requests[paypal_order_id]
        status, update_time = self.statuses[paypal_order_id]
        captures = tuple(c for c in self.captures.values() if c.paypal_order_id == paypal_order_id)
        refunds = tuple(r for r in self.refunds.values() if r.capture_id in {c.id for c in captures})
        number = f"VIT-{request.number}"
        return OrderFact(paypal_order_id, status, update_time, str(request.order_id), number, captures, refunds)

    def find_capture(self, capture_id: str) -> CaptureFact | None:
        return self.captures.get(capture_id)

    def find_refund(self, refund_id: str) -> RefundFact | None:
        return self.refunds.get(refund_id)

    def find_dispute(self, dispute_id: str) -> DisputeFact | None:
        return None

    def called(self, what: str) -> int:
        return sum(1 for call, _id in self.calls if call == what)

    def _answer_or_not(self, what: str, of: str) -> None:
        with self._lock:
            self.calls.append((what, of))
        self.while_away()
        if self.away:
            raise Unavailable

    def _lose_answer(self) -> None:
        """It was done, and nobody heard."""
        with self._lock:
            if self.lost_answers <= 0:
                return
            self.lost_answers -= 1
        raise Unavailable

    def _moment(self) -> str:
        return f"2026-11-22T10:00:00.{next(self._numbers):06}Z"


class Shop:
    """One database, as many processes as a test starts threads.

    Every cart has a buyer of its own, with an e-mail address and a network, until `email` or `network` names one. What
    is `connected` lends its connections, with all that was prepared on them, to a shop that knows nothing else of it: a
    first order on a new connection takes as long as three later ones.
    """

    def __init__(self, url: str, *, pool_size: int = 8, connected: "Shop | None" = None) -> None:
        self.clock: MovingClock = connected.clock if connected else MovingClock()
        self.clock.go_back()
        self.paypal = ScriptedPayPal()
        self.email: str | None = None
        self.network: str | None = None
        self.database: Database = (
            connected.database
            if connected
            else Database(
                connector(DatabaseSettings("url", pool_size, url), application="tests"),
                size=pool_size,
                clock=self.clock,
                guards={**orders_in_sql.GUARDS, **fulfilment_in_sql.GUARDS, **returns_in_sql.GUARDS},
                wait_s=30,
            )
        )
        self.carts = Carts(self.database, self.clock)
        self.vouchers = Vouchers(self.database, self.clock)
        self.orders = Orders(self.database, self.clock)
        self.fulfilments = Fulfilments(self.database, self.clock)
        self.returns = Returns(self.database, self.clock)
        self.desk = Desk(self.database, self.clock)

    # Stock and carts -----------------------------------------------------------------------------

    def make_stock(self, sku: str, on_hand: int, *, price_minor: int = 1000) -> str:
        """A product with one variant and so many units on hand; the SKU is made this test's own."""
        own = f"{sku}-{uuid4().hex[:8]}"
        now = self.clock.now()

        def write(tx: Any) -> None:
            tx.rows(
                """
                insert into products (id, slug, group_key, name, price_minor, currency, published_at, created_at,
                    updated_at, words, search_text)
                values (:id::uuid, :sku::text, :sku::text, :sku::text, :price::bigint, 'USD', :now::timestamptz,
                    :now::timestamptz, :now::timestamptz, '', '')
                """,
                id=(product := uuid4()),
                sku=own,
                price=price_minor,
                now=now,
            )
            tx.rows(
                """
                insert into variants (sku, product_id, price_minor, currency, updated_at)
                values (:sku::text, :product::uuid, :price::bigint, 'USD', :now::timestamptz)
                """,
                sku=own,
                product=product,
                price=price_minor,
                now=now,
            )
            tx.rows(
                "insert into stock_levels (sku, location, on_hand) values (:sku::text, 'main', :n::int)",
                sku=own,
                n=on_hand,
            )
            if on_hand:
                tx.rows(
                    """
                    insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)
                    values (:now::timestamptz, :sku::text, 'main', 'receive', :n::int, 0, 'test')
                    """,
                    sku=own,
                    n=on_hand,
                    now=now,
                )

        self.database.step(write)
        return own

    def set_price(self, sku: str, price_minor: int) -> None:
        self.database.call("update variants set price_minor = :p::bigint where sku = :s::text", p=price_minor, s=sku)

    def publish(self, sku: str, at: datetime) -> None:
        self.database.call(
            """
            update products set published_at = :at::timestamptz
            where id = (select product_id from variants where sku = :s::text)
            """,
            at=at,
            s=sku,
        )

    def make_cart(self, quantities: dict[str, int]) -> str:
        cart_id = uuid4().hex
        self.carts.create(cart_id, address=ADDRESS)
        for sku, quantity in quantities.items():
            self.carts.set_line(cart_id, sku, quantity)
        return cart_id

    def email_of(self, cart_id: str) -> str:
        return self.email or f"{cart_id}@example.com"

    def network_of(self, cart_id: str) -> str:
        return self.network or f"2001:db8:{cart_id[:4]}:{cart_id[4:8]}::/64"

    def make_voucher(self, code: str, **terms: Any) -> str:
        """A voucher of the shop, by its terms; the code is made this test's own."""
        own = f"{code}-{uuid4().hex[:8].upper()}"
        if not {"percent", "amount_minor", "kind"} & terms.keys():
            terms["percent"] = Decimal(10)
        kind = "percent" if "percent" in terms else "amount" if "amount_minor" in terms else "free_shipping"
        made = Voucher(**{"id": uuid4(), "code": own, "kind": kind, "currency": "USD", **terms})
        self.vouchers.create(lambda _currency: made, actor="staff:1")
        return own

    def use_voucher(self, cart_id: str, code: str) -> str:
        self.carts.set_voucher(cart_id, code)
        return cart_id

    def redeemed(self, code: str) -> int:
        """How often it counts as used."""
        return self.vouchers.get(code).redeemed

    def level(self, sku: str) -> tuple[int, int]:
        """(on hand, held)."""
        found = self.database.find("select on_hand, held from stock_levels where sku = :sku::text", sku=sku)
        assert found is not None
        return found["on_hand"], found["held"]

    def deadlocks(self) -> int:
        """How many the server has seen in this database."""
        self.database.call("select pg_stat_clear_snapshot()")
        return int(
            self.database.call("select deadlocks::int as n from pg_stat_database where datname = current_database()")[
                0
            ]["n"]
        )

    # Orders ---------------------------------------------------------------------------------------

    def place(self, cart_id: str, **by: Any) -> Order:
        return self.placed(cart_id, **by).order

    def placed(
        self,
        cart_id: str,
        *,
        version: int | None = None,
        key: str | None = None,
        email: str | None = None,
        network: str | None = None,
        customer_id: UUID | None = None,
    ) -> placing.Placed:
        version = self.carts.get(cart_id).cart.version if version is None else version
        claim = self.claim(cart_id, key or uuid4().hex)
        return placing.place_order(
            placing.PlaceOrder(
                cart_id, version, email or self.email_of(cart_id), network or self.network_of(cart_id), customer_id
            ),
            claim=claim,
            answering=lambda status: Answering(claim, status, lambda order: order.number),
            return_url=lambda order: "https://shop.example/return",
            cancel_url=lambda order: "https://shop.example/cancel",
            store=self.orders,
            cashier=self.paypal,
            clock=self.clock,
        )

    def claim(self, scope: str, key: str) -> Claim:
        now = self.clock.now()
        return Claim(scope, "POST /v1/checkouts", key, b"same request", uuid4(), now, now + timedelta(seconds=70))

    def order(self, quantities: dict[str, int]) -> Order:
        """An order that waits for its buyer at PayPal."""
        return self.place(self.make_cart(quantities))

    def approved_order(self, quantities: dict[str, int]) -> Order:
        order = self.order(quantities)
        self.paypal.approve(order.paypal_order_id)
        return order

    def paid_order(self, quantities: dict[str, int]) -> Order:
        return self.capture(self.approved_order(quantities))

    def capture(self, order: Order) -> Order:
        return capturing.capture_order(order.id, store=self.orders, processor=self.paypal, clock=self.clock)

    def draft(self, order: Order, quantities: dict[str, int]) -> Shipment:
        lines = [ShipmentLine(sku, quantity) for sku, quantity in quantities.items()]
        return fulfilling.draft_shipment(order.number, lines, store=self.fulfilments, actor="staff:1").shipment

    def ship(self, shipment: Shipment, *, carrier: str = "DHL", number: str = "JJD0001") -> Fulfilment:
        return fulfilling.ship(shipment.id, carrier, number, store=self.fulfilments, actor="staff:1")

    def deliver(self, shipment: Shipment) -> Fulfilment:
        return fulfilling.deliver(shipment.id, store=self.fulfilments, actor="staff:1")

    def shipped_order(self, quantities: dict[str, int]) -> Order:
        """All of it is on its way, in one parcel."""
        order = self.paid_order(quantities)
        self.ship(self.draft(order, quantities))
        return self.orders.get(order.id)

    def delivered_order(self, quantities: dict[str, int]) -> Order:
        order = self.shipped_order(quantities)
        self.deliver(order.shipments[0])
        return self.orders.get(order.id)

    # At the desk ----------------------------------------------------------------------------------

    def ask_refund(
        self,
        order: Order,
        units: dict[str, int] | None = None,
        *,
        restock: bool = False,
        shipping_minor: int = 0,
        amount_minor: int = 0,
    ) -> Order:
        lines = tuple(refunding.AskedLine(sku, count, restock) for sku, count in (units or {}).items())
        asked = refunding.AskRefund(uuid4(), lines, shipping_minor, amount_minor, "as agreed", "staff:1")
        return self.desk.change(order.number, refunding.ask_refund(asked))

    def cancel(self, order: Order, *, is_staff: bool = True) -> Order:
        actor = "staff:1" if is_staff else "buyer"
        command = cancelling.cancel_order(refund_id=uuid4(), reason="staff", actor=actor, is_staff=is_staff)
        return self.desk.change(order.number, command)

    def finish_refunds(self, order: Order) -> Order:
        """What the tasks of an order's open refunds do."""
        for refund in self.orders.get(order.id).refunds:
            if refund.is_open:
                refunding.finish_refund(refund.id, store=self.orders, processor=self.paypal)
        return self.orders.get(order.id)

    def audit(self, order: Order) -> list[tuple[str, str]]:
        """(actor, action) of what was done to an order."""
        rows = self.database.call(
            "select actor, action from audit_log where subject = :subject::text order by at, id",
            subject=f"order:{order.number}",
        )
        return [(row["actor"], row["action"]) for row in rows]

    def retry(self, order: Order) -> Order:
        claim = self.claim(str(order.id), uuid4().hex)
        self.database.call(
            """
            select state from claim_key_v1(:scope::text, :route::text, :key::text, :hash::bytea, :token::uuid,
                :at::timestamptz, :until::timestamptz)
            """,
            scope=claim.scope,
            route=claim.route,
            key=claim.key,
            hash=claim.request_hash,
            token=claim.token,
            at=claim.at,
            until=claim.until,
        )
        return placing.reopen_payment(
            self.orders.get(order.id),
            answering=Answering(claim, 200, lambda order: order.number),
            return_url="https://shop.example/return",
            cancel_url="https://shop.example/cancel",
            store=self.orders,
            cashier=self.paypal,
            clock=self.clock,
        )

    def expire(self) -> None:
        for order_id in self.orders.list_due(self.clock.now(), 1000):
            expiring.expire_order(order_id, store=self.orders, processor=self.paypal)

    def events(self, order: Order) -> list[str]:
        return [
            row["name"]
            for row in self.database.call(
                """
                select name from outbox where destination = 'topic:orders'
                    and payload -> 'order' ->> 'id' = :id::text order by position
                """,
                id=str(order.id),
            )
        ]

    def movements(self, order: Order) -> list[tuple[str, int, int]]:
        return [
            (row["kind"], row["delta_on_hand"], row["delta_held"])
            for row in self.database.call(
                """
                select kind, delta_on_hand, delta_held from stock_movements where order_id = :id::uuid order by id
                """,
                id=order.id,
            )
        ]


def at_once(works: Sequence[Callable[[], T]]) -> tuple[list[T], list[ShopError]]:
    """All of them at the same moment; what they gave, and what they refused."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T | ShopError:
        gate.wait(timeout=30)
        try:
            return work()
        except ShopError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        ended = list(pool.map(run, works))
    return [e for e in ended if not isinstance(e, ShopError)], [e for e in ended if isinstance(e, ShopError)]
