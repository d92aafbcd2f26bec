"""The webhook inbox as staff use it: pages of what came, and one of it applied again. With the desk's own rights."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from local.database import Address
from shared.payments.inbox import NotReplayable, RefusalCount, Wanted, WebhookEventNotFound
from shared.persistence.audit import AuditLog
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.webhook_inbox import WebhookInbox
from shared.settings import DatabaseSettings
from tests.payments.conftest import StandingClock
from tests.payments.test_applying import CAPTURE, ORDER_ID, REFUND, Shop
from tools.scratch_database import ScratchServer

STAFF = "staff:5f0e9c1e-7c0a-4b1b-8a70-3a52ad7a3f10"


@pytest.fixture
def shop(webhooks_database: Address) -> Iterator[Shop]:
    clock = StandingClock()
    connect = connector(DatabaseSettings("url", 2, webhooks_database.url), application="test")
    with closing(Database(connect, size=2, clock=clock)) as database:
        yield Shop(database, clock)


@pytest.fixture
def inbox(shop: Shop, postgres: ScratchServer, webhooks_database: Address) -> Iterator[WebhookInbox]:
    login = postgres.login(webhooks_database, "desk")
    connect = connector(DatabaseSettings("url", 2, login.url), application="desk")
    with closing(Database(connect, size=2, clock=shop.clock)) as database:
        yield WebhookInbox(database, shop.clock)


def test_the_newest_come_first_page_by_page_and_a_list_has_no_bodies(shop: Shop, inbox: WebhookInbox) -> None:
    kept = []
    for minutes in (0, 1, 1, 2, 3):  # two at the same moment
        shop.clock.moment += timedelta(minutes=minutes)
        kept.append(shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id}))
    at_once = sorted(kept[1:3]) if inbox.get(kept[1]).received_at == inbox.get(kept[2]).received_at else kept[2:0:-1]

    first = inbox.list_events(Wanted(), limit=2)
    second = inbox.list_events(Wanted(), limit=2, before=(first[-1].received_at, first[-1].id))
    third = inbox.list_events(Wanted(), limit=2, before=(second[-1].received_at, second[-1].id))

    assert [event.id for event in [*first, *second, *third]] == [kept[4], kept[3], *at_once, kept[0]]
    assert {event.body for event in first} == {None}


def test_a_list_is_narrowed_to_what_is_asked_for(shop: Shop, inbox: WebhookInbox) -> None:
    shop.paypal.knows(CAPTURE)
    applied = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})
    ignored = shop.keep("CATALOG.PRODUCT.CREATED", {"id": "PROD-1"})
    open_still = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})
    assert [shop.apply(event)[0] for event in (applied, ignored)] == ["applied", "ignored"]

    def found(wanted: Wanted) -> set[UUID]:
        return {event.id for event in inbox.list_events(wanted, limit=10)}

    assert found(Wanted(state="received")) == {open_still}
    assert found(Wanted(event_type="CATALOG.PRODUCT.CREATED")) == {ignored}
    assert found(Wanted(provider="paypal", state="applied")) == {applied}
    assert found(Wanted(provider="shippo")) == set()


def test_an_applied_event_knows_its_orders(shop: Shop, inbox: WebhookInbox) -> None:
    """Read back, or known from the ledger: either way it is found by its order."""
    shop.paypal.knows(CAPTURE)
    by_reading = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})
    shop.apply(by_reading)
    shop.database.call(
        "insert into payment_facts (kind, object_id, status, order_id, recorded_at, source) "
        "values ('refund', :id::text, 'COMPLETED', :order::uuid, now(), 'reply')",
        id=REFUND.id,
        order=ORDER_ID,
    )
    by_ledger = shop.keep("PAYMENT.CAPTURE.REFUNDED", {"id": REFUND.id, "status": "COMPLETED"})
    assert shop.apply(by_ledger) == ("applied", "known already", 1)

    rows = shop.database.call(
        "select order_ids from webhook_events where id = any (:ids::uuid[])", ids=[by_reading, by_ledger]
    )

    assert [row["order_ids"] for row in rows] == [[ORDER_ID], [ORDER_ID]]


def test_an_event_that_is_replayed_is_read_back_although_the_ledger_knows_it(shop: Shop, inbox: WebhookInbox) -> None:
    shop.paypal.knows(CAPTURE)
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})
    shop.apply(event_id)
    shop.database.call(
        "insert into payment_facts (kind, object_id, status, order_id, recorded_at, source) "
        "values ('capture', :id::text, 'COMPLETED', :order::uuid, now(), 'webhook')",
        id=CAPTURE.id,
        order=ORDER_ID,
    )
    shop.database.call("delete from outbox")
    shop.database.call("delete from audit_log")

    replayed = inbox.replay(event_id, actor=STAFF)

    assert (replayed.state, replayed.applied_at, replayed.replays) == ("received", None, 1)
    assert replayed.next_attempt_at == shop.clock.now() + timedelta(minutes=10)
    assert shop.tasks() == [("queue:payments", "/jobs/payments/apply-webhook", str(event_id))]
    (entry,) = AuditLog(shop.database).list_entries(f"webhook-event:{event_id}", limit=10)
    assert (entry.actor, entry.action) == (STAFF, "webhook.replayed")
    assert dict(entry.detail) == {
        "event_type": "PAYMENT.CAPTURE.COMPLETED",
        "was": "applied",
        "verdict": "capture COMPLETED",
    }
    assert shop.apply(event_id) == ("applied", "capture COMPLETED", 2)
    assert shop.paypal.asked == [CAPTURE.id] * 2
    assert shop.orders.followed == [(ORDER_ID, [CAPTURE])] * 2


def test_what_was_ignored_may_be_of_concern_when_it_is_replayed(shop: Shop, inbox: WebhookInbox) -> None:
    """PayPal answered 404 for longer than we are patient: a capture of ours was taken for nobody's."""
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id, "status": "COMPLETED"})
    shop.clock.moment += timedelta(hours=1)
    assert shop.apply(event_id) == ("ignored", "no such object", 1)
    shop.paypal.knows(CAPTURE)

    inbox.replay(event_id, actor=STAFF)

    assert shop.apply(event_id) == ("applied", "capture COMPLETED", 2)


def test_what_nobody_could_read_is_not_replayed_and_nothing_is_written(shop: Shop, inbox: WebhookInbox) -> None:
    event_id = shop.keep("PAYMENT.CAPTURE.COMPLETED", {"id": CAPTURE.id})
    shop.database.call(
        "update webhook_events set state = 'ignored', verdict = 'unreadable' where id = :id::uuid", id=event_id
    )
    before = inbox.get(event_id)
    shop.database.call("delete from outbox")

    with pytest.raises(NotReplayable):
        inbox.replay(event_id, actor=STAFF)
    with pytest.raises(WebhookEventNotFound):
        inbox.replay(uuid4(), actor=STAFF)

    assert inbox.get(event_id) == before
    assert shop.tasks() == []


def test_refusals_are_counted_by_day_and_reason(shop: Shop, inbox: WebhookInbox) -> None:
    for reason in ("bad-signature", "bad-signature", "no-headers"):
        shop.events.count_refusal("paypal", reason, shop.clock.now())
    shop.clock.moment += timedelta(days=1)
    shop.events.count_refusal("paypal", "bad-signature", shop.clock.now())

    first = inbox.list_refusals(limit=2)
    rest = inbox.list_refusals(limit=2, before=(first[-1].day, first[-1].provider, first[-1].reason))

    assert [*first, *rest] == [
        RefusalCount(date(2026, 11, 23), "paypal", "bad-signature", 1),
        RefusalCount(date(2026, 11, 22), "paypal", "no-headers", 1),
        RefusalCount(date(2026, 11, 22), "paypal", "bad-signature", 2),
    ]
