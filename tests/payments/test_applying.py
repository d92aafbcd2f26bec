"""What a stored webhook makes of an order: what PayPal says when it is asked, never what the body says."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.database import Address
from shared.kernel.errors import NotFound, Unavailable
from shared.kernel.messages import Task
from shared.kernel.money import Money
from shared.payments.applying import apply_event, find_subject, sweep_events
from shared.payments.processor import (
    Approval,
    CaptureFact,
    DisputeFact,
    Fact,
    OrderFact,
    PaymentRequest,
    RefundFact,
    Refused,
)
from shared.payments.webhooks import WebhookEvent
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.webhooks import WebhookEvents
from shared.settings import DatabaseSettings
from tests.payments.conftest import StandingClock

ORDER_ID = UUID("0f3a1c52-6ac1-4bd1-9d1f-2d3c9a1f2b3c")
WHEN = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
CAPTURE = CaptureFact(
    "3C679366HH908993F",
    "COMPLETED",
    Money(3499, "USD"),
    "VIT-7Z2K9Q4M1X",
    str(ORDER_ID),
    "5O190127TN364715T",
    WHEN,
    "u1",
)
ORDER = OrderFact("5O190127TN364715T", "APPROVED", "u1", str(ORDER_ID), "VIT-7Z2K9Q4M1X", (), ())
REFUND = RefundFact("1Y107995YT783435V", CAPTURE.id, "COMPLETED", Money(99, "USD"), None, WHEN, "u2")
DISPUTE = DisputeFact("PP-000-042-663-135", "OPEN", None, (CAPTURE.id,), Money(300, "USD"), "u3")


@dataclass
class PayPalThatKnows:
    """Answers what it was given, counts what it is asked, and is away when it is told to be."""

    objects: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    away: bool = False

    def knows(self, *facts: Fact) -> None:
        self.objects.update({fact.id: fact for fact in facts})

    def _find(self, object_id: str) -> Any:
        self.asked.append(object_id)
        if self.away:
            raise Unavailable
        return self.objects.get(object_id)

    find_order = find_capture = find_refund = find_dispute = _find

    def open(self, request: PaymentRequest) -> Approval:
        raise AssertionError("nothing is opened by a webhook")

    def capture(self, paypal_order_id: str, *, attempt_id: UUID) -> CaptureFact | Refused:
        raise AssertionError("nothing is captured here")

    def refund(
        self, capture_id: str, *, refund_id: UUID, amount: Money, number: str, note: str
    ) -> RefundFact | Refused:
        raise AssertionError("nothing is refunded here")


@dataclass
class Orders:
    """What settling is given, by order; it knows the orders that it was told of."""

    known: set[UUID] = field(default_factory=lambda: {ORDER_ID})
    followed: list[tuple[UUID, list[Fact]]] = field(default_factory=list)

    def follow(self, order_id: UUID, facts: Sequence[Fact]) -> None:
        if order_id not in self.known:
            raise NotFound
        self.followed.append((order_id, list(facts)))


class Shop:
    def __init__(self, database: Database, clock: StandingClock) -> None:
        self.database = database
        self.clock = clock
        self.events = WebhookEvents(database)
        self.paypal = PayPalThatKnows()
        self.orders = Orders()

    def keep(self, event_type: str, resource: object, *, body: str | None = None) -> UUID:
        event = WebhookEvent(
            id=uuid4(),
            transmission_id=str(uuid4()),
            event_id=f"WH-{uuid4()}",
            event_type=event_type,
            body=body if body is not None else json.dumps({"event_type": event_type, "resource": resource}),
            received_at=self.clock.now(),
        )
        assert self.events.keep(event)
        return event.id

    def apply(self, event_id: UUID) -> tuple[str, str | None, int]:
        """State, verdict, and attempts after applying."""
        apply_event(
            event_id,
            events=self.events,
            processor=self.paypal,
            follow=self.orders.follow,
            invoice_prefix="VIT-",
            clock=self.clock,
        )
        return self.state_of(event_id)

    def state_of(self, event_id: UUID) -> tuple[str, str | None, int]:
        row = self.database.find(
            "select state, verdict, attempts from webhook_events where id = :id::uuid", id=event_id
        )
        assert row is not None
        return row["state"], row["verdict"], row["attempts"]

    def tasks(self) -> list[Any]:
        rows = self.database.call("select destination, name, payload from outbox order by position")
        return [(row["destination"], row["name"], row["payload"]["webhook_event_id"]) for row in rows]


@pytest.fixture
def shop(webhooks_database: Address) -> Iterator[Shop]:
    clock = StandingClock()
    connect = connector(DatabaseSettings("url", 2, webhooks_database.url), application="test")
    with closing(Database(connect, size=2, clock=clock)) as database:
        yield Shop(database, clock)


# Which object an event is about -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "subject"),
    [
        ("checkout_checkout_buyer-approved__hookdeck", None),
        ("checkout_order_approved__hookdeck", ("order", "5O190127TN364715T")),
        ("checkout_order_completed__hookdeck", ("order", "5O190127TN364715T")),
        ("checkout_order_saved__hookdeck", ("order", "9NK63094MA726991F")),
        ("checkout_order_voided__hookdeck", ("order", "9NK63094MA726991F")),
        ("checkout_payment_approval_reversed__docs_ideal", ("order", "5O190127TN364715T")),
        ("customer_dispute_created__hookdeck", ("dispute", "PP-000-042-663-135")),
        ("customer_dispute_resolved__simulator_sample", ("dispute", "PP-000-042-663-135")),
        ("payment_capture_completed__simulator", ("capture", "12A34567BC123456S")),
        ("payment_capture_declined__simulator", ("capture", "7U133281TB3277326")),
        ("payment_capture_pending__simulator", ("capture", "02T21492PP3782704")),
        ("payment_capture_refunded__simulator", ("refund", "1Y107995YT783435V")),
        ("payment_capture_reversed__simulator", ("refund", "09E71677NS257044M")),
        ("payment_sale_completed__hookdeck", None),
        ("payments_payment_created__hookdeck", None),
    ],
)
def test_every_recorded_event_names_its_object(shared_data: Path, file: str, subject: tuple[str, str] | None) -> None:
    recorded = json.loads((shared_data / "vectors" / "paypal" / "events" / f"{file}.json").read_text())
    event = WebhookEvent(uuid4(), "t", "e", recorded["event_type"], json.dumps(recorded["body"]), WHEN)

    found = find_subject(event)

    assert (found and (found.kind, found.id)) == subject


@pytest.mark.parametrize(
    "body",
    ["", "[]", "null", "{}", '{"resource": []}', '{"resource": {"id": 7}}', '{"resource": {"id": ""}}', "{" * 100000],
)
def test_an_event_that_names_nothing_is_of_no_concern(shop: Shop, body: str) -> None:
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", None, body=body)

    assert shop.apply(event_id) == ("ignored", "of no concern", 1)
    assert (shop.paypal.asked, shop.orders.followed) == ([], [])


# What is read back counts -------------------------------------------------------------------------------------------


def test_a_capture_is_followed_as_paypal_has_it(shop: Shop) -> None:
    shop.paypal.knows(CAPTURE)
    event_id = shop.keep(
        "PAYMENT.CAPTURE.DENIED",
        {"id": CAPTURE.id, "status": "DECLINED", "amount": {"currency_code": "USD", "value": "1.00"}},
    )

    assert shop.apply(event_id) == ("applied", "capture COMPLETED", 1)
    assert shop.orders.followed == [(ORDER_ID, [CAPTURE])]


def test_an_approval_is_followed_as_paypal_has_it(shop: Shop) -> None:
    shop.paypal.knows(ORDER)
    event_id = shop.keep("CHECKOUT.ORDER.APPROVED", {"id": ORDER.id, "status": "APPROVED"})

    assert shop.apply(event_id) == ("applied", "order APPROVED", 1)
    assert shop.orders.followed == [(ORDER_ID, [ORDER])]


def test_a_refund_finds_its_order_through_its_capture(shop: Shop) -> None:
    shop.paypal.knows(CAPTURE, REFUND)
    event_id = shop.keep("PAYMENT.CAPTURE.REVERSED", {"id": REFUND.id, "status": "COMPLETED"})

    assert shop.apply(event_id) == ("applied", "capture COMPLETED, refund COMPLETED", 1)
    assert shop.orders.followed == [(ORDER_ID, [CAPTURE, REFUND])]


def test_a_dispute_goes_to_the_order_of_each_of_its_captures(shop: Shop) -> None:
    other_order = uuid4()
    other = CaptureFact("9NK63094MA726991F", "COMPLETED", Money(1, "USD"), "VIT-2", str(other_order), None, WHEN, "u")
    dispute = DisputeFact("PP-1", "OPEN", None, (CAPTURE.id, other.id), None, "u3")
    shop.paypal.knows(CAPTURE, other, dispute)
    shop.orders.known.add(other_order)
    event_id = shop.keep("CUSTOMER.DISPUTE.CREATED", {"dispute_id": "PP-1"})

    assert shop.apply(event_id)[0] == "applied"
    assert shop.orders.followed == [
        (ORDER_ID, [DisputeFact("PP-1", "OPEN", None, (CAPTURE.id,), None, "u3")]),
        (other_order, [DisputeFact("PP-1", "OPEN", None, (other.id,), None, "u3")]),
    ]


@pytest.mark.parametrize(
    ("event_type", "resource"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", {"id": "NOBODYKNOWS1"}),
        ("PAYMENT.CAPTURE.REFUNDED", {"id": "NOBODYKNOWS2"}),
        ("CHECKOUT.ORDER.APPROVED", {"id": "NOBODYKNOWS3"}),
        ("CHECKOUT.PAYMENT-APPROVAL.REVERSED", {"order_id": "NOBODYKNOWS4"}),
        ("CUSTOMER.DISPUTE.CREATED", {"dispute_id": "NOBODYKNOWS5"}),
    ],
)
def test_what_paypal_does_not_know_moves_nothing(shop: Shop, event_type: str, resource: dict[str, str]) -> None:
    """A notice may be faster than PayPal's own copies, so a 404 is looked at again for an hour, and no longer."""
    event_id = shop.keep(event_type, resource)

    assert shop.apply(event_id) == ("waiting", "no such object yet", 1)
    shop.clock.moment += timedelta(minutes=59)
    assert shop.apply(event_id) == ("waiting", "no such object yet", 2)
    shop.clock.moment += timedelta(minutes=1)
    assert shop.apply(event_id) == ("ignored", "no such object", 3)
    assert shop.orders.followed == []


def test_an_object_that_paypal_shows_a_little_later_is_followed(shop: Shop) -> None:
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})
    assert shop.apply(event_id) == ("waiting", "no such object yet", 1)
    woken = sweep_events(events=shop.events, clock=shop.clock)

    shop.clock.moment += timedelta(minutes=2)
    shop.paypal.knows(CAPTURE)

    assert (woken, sweep_events(events=shop.events, clock=shop.clock)) == (0, 1)
    assert shop.apply(event_id) == ("applied", "capture COMPLETED", 2)
    assert shop.orders.followed == [(ORDER_ID, [CAPTURE])]


def test_an_order_that_never_becomes_known_is_waited_for_three_days(shop: Shop) -> None:
    shop.paypal.knows(CAPTURE)
    shop.orders.known.clear()
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})

    shop.clock.moment += timedelta(days=3, seconds=-1)
    assert shop.apply(event_id) == ("waiting", "order not known yet", 1)
    shop.clock.moment += timedelta(seconds=1)
    assert shop.apply(event_id) == ("ignored", "no such order", 2)
    assert shop.apply(event_id) == ("ignored", "no such order", 2)


@pytest.mark.parametrize(
    ("invoice_id", "custom_id"),
    [
        (None, str(ORDER_ID)),
        ("OTHER-7Z2K9Q4M1X", str(ORDER_ID)),
    ],
)
def test_a_payment_that_this_shop_did_not_open_is_reported_and_not_touched(
    shop: Shop, invoice_id: str | None, custom_id: str | None
) -> None:
    """S40: signed, foreign, ignored."""
    shop.paypal.knows(CaptureFact("3C679366HH908993F", "COMPLETED", None, invoice_id, custom_id, None, None, ""))
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})

    assert shop.apply(event_id) == ("ignored", "foreign", 1)
    assert shop.orders.followed == []


@pytest.mark.parametrize("custom_id", [None, "cart 7"])
def test_a_payment_with_our_prefix_that_names_no_order_waits_for_reconciliation(
    shop: Shop, custom_id: str | None
) -> None:
    """S24."""
    shop.paypal.knows(CaptureFact("3C679366HH908993F", "COMPLETED", None, "VIT-7Z2K9Q4M1X", custom_id, None, None, ""))
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})

    assert shop.apply(event_id) == ("waiting", "order not known yet", 1)
    assert shop.orders.followed == []


def test_a_fact_that_the_ledger_has_is_not_asked_for_again(shop: Shop) -> None:
    shop.database.call(
        """
        insert into payment_facts (kind, object_id, status, recorded_at, source)
        values ('capture', :id::text, 'COMPLETED', :at::timestamptz, 'reply')
        """,
        id=CAPTURE.id,
        at=WHEN,
    )
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})

    assert shop.apply(event_id) == ("applied", "known already", 1)
    assert (shop.paypal.asked, shop.orders.followed) == ([], [])


# Later --------------------------------------------------------------------------------------------------------------


def test_an_event_that_comes_before_its_order_is_applied_later(shop: Shop) -> None:
    """S35."""
    shop.paypal.knows(CAPTURE)
    shop.orders.known.clear()
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})

    assert shop.apply(event_id) == ("waiting", "order not known yet", 1)
    shop.orders.known.add(ORDER_ID)
    shop.clock.moment += timedelta(minutes=2)
    assert sweep_events(events=shop.events, clock=shop.clock) == 1

    assert shop.tasks() == [("queue:payments", "/jobs/payments/apply-webhook", str(event_id))]
    assert shop.apply(event_id) == ("applied", "capture COMPLETED", 2)
    assert shop.orders.followed == [(ORDER_ID, [CAPTURE])]


def test_an_event_stays_open_while_paypal_is_away(shop: Shop) -> None:
    shop.paypal.knows(CAPTURE)
    shop.paypal.away = True
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})

    with pytest.raises(Unavailable):
        shop.apply(event_id)

    assert shop.state_of(event_id) == ("received", None, 1)
    shop.paypal.away = False
    assert shop.apply(event_id) == ("applied", "capture COMPLETED", 2)


def test_an_event_is_applied_once(shop: Shop) -> None:
    shop.paypal.knows(CAPTURE)
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})

    shop.apply(event_id)
    shop.apply(event_id)

    assert shop.state_of(event_id) == ("applied", "capture COMPLETED", 1)
    assert shop.orders.followed == [(ORDER_ID, [CAPTURE])]


def test_an_event_that_was_never_stored_is_nothing_to_do(shop: Shop) -> None:
    apply_event(
        uuid4(),
        events=shop.events,
        processor=shop.paypal,
        follow=shop.orders.follow,
        invoice_prefix="VIT-",
        clock=shop.clock,
    )

    assert shop.paypal.asked == []


def test_the_sweep_wakes_what_is_due_and_leaves_it_time(shop: Shop) -> None:
    shop.paypal.away = True
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})

    def woken_after(**wait: float) -> int:
        shop.clock.moment += timedelta(**wait)
        return sweep_events(events=shop.events, clock=shop.clock)

    # Its own task has two minutes; a task of the sweep ten; each try waits twice as long as the last, up to 64 minutes.
    assert [woken_after(minutes=1), woken_after(minutes=1), woken_after(minutes=9), woken_after(minutes=1)] == [
        0,
        1,
        0,
        1,
    ]
    waits = []
    for _ in range(8):
        with pytest.raises(Unavailable):
            shop.apply(event_id)
        row = shop.database.find("select next_attempt_at from webhook_events where id = :id::uuid", id=event_id)
        assert row is not None
        waits.append((row["next_attempt_at"] - shop.clock.now()) / timedelta(minutes=1))
    assert waits == [2, 4, 8, 16, 32, 64, 64, 64]


def test_a_repeat_at_the_same_moment_is_stored_once_with_one_task(shop: Shop) -> None:
    event = WebhookEvent(uuid4(), "t-1", "WH-1", "CHECKOUT.ORDER.APPROVED", "{}", shop.clock.now())
    same_transmission = WebhookEvent(uuid4(), "t-1", "WH-2", "CHECKOUT.ORDER.APPROVED", "{}", shop.clock.now())
    same_event = WebhookEvent(uuid4(), "t-2", "WH-1", "CHECKOUT.ORDER.APPROVED", "{}", shop.clock.now())

    def keep(event: WebhookEvent) -> bool:
        return shop.events.keep(event, Task("payments", "/p", {"webhook_event_id": str(event.id)}))

    assert [keep(event), keep(same_transmission), keep(same_event)] == [True, False, False]
    assert shop.tasks() == [("queue:payments", "/p", str(event.id))]
