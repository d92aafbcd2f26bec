"""Dead letters and open rows as staff handle them, with the desk's own rights and those of the consumer."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from local.database import Address
from shared.kernel.messages import Event, Message, Task
from shared.outbox.dead_letters import (
    DeadLetterDiscarded,
    DeadLetterNotFound,
    DeadLetterReplayed,
    DeadMessage,
    NotSendable,
)
from shared.outbox.open_rows import Kind, OpenRowNotFound, RowAtWork, RowFinal
from shared.persistence.audit import AuditLog
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.dead_letters import DeadLetters
from shared.persistence.open_rows import OpenRows
from shared.settings import DatabaseSettings
from tests.orders.shop import at_once
from tests.outbox.conftest import StandingClock
from tools.scratch_database import ScratchServer

STAFF = "staff:5f0e9c1e-7c0a-4b1b-8a70-3a52ad7a3f10"


@dataclass
class House:
    """The owner's look at the tables, and what the desk and the consumer may do; `announced` is sent after a commit."""

    owner: Database
    desk: DeadLetters
    rows: OpenRows
    consumer: DeadLetters
    clock: StandingClock
    announced: list[Message]

    def bury(self, event: Event | None = None, *, message_id: str = "m-1", payload: str = "{}") -> UUID:
        message = DeadMessage(
            message_id, event.id if event else None, event.name if event else None, 1 if event else None, payload, 10
        )
        self.consumer.keep(message, subscription="notify-orders", topic="orders")
        row = self.owner.find("select id from dead_letters where message_id = :m::text", m=message_id)
        assert row is not None
        found: UUID = row["id"]
        return found

    def outbox(self) -> list[tuple[UUID, str, str, Any, bool]]:
        rows = self.owner.call("select id, destination, name, payload, published_at from outbox order by position")
        return [(r["id"], r["destination"], r["name"], r["payload"], r["published_at"] is not None) for r in rows]

    def audit(self, subject: str) -> list[str]:
        return [entry.action for entry in AuditLog(self.owner).list_entries(subject, limit=10)]

    def mail(self, state: str, **more: Any) -> UUID:
        mail_id = uuid4()
        values = {"due": self.clock.now() if state in ("queued", "sending") else None, "failure": None, **more}
        self.owner.call(
            """
            insert into mails (id, event_id, template, recipient, subject, text_body, html_body, state, created_at,
                updated_at, next_attempt_at, failure)
            values (:id::uuid, :event::uuid, 'order_paid', 'ada@example.com', '', '', '', :state::text,
                :at::timestamptz, :at::timestamptz, :due::timestamptz, :failure::text)
            """,
            id=mail_id,
            event=uuid4(),
            state=state,
            at=self.clock.now(),
            **values,
        )
        return mail_id

    def unpublished(self, name: str = "order.paid", destination: str = "topic:orders") -> UUID:
        row_id = uuid4()
        self.owner.call(
            """
            insert into outbox (id, destination, name, payload, created_at, leased_until)
            values (:id::uuid, :destination::text, :name::text, '{"order": {"number": "7ZZZZZZZZZ"}}',
                :at::timestamptz, :at::timestamptz + interval '30 s')
            """,
            id=row_id,
            destination=destination,
            name=name,
            at=self.clock.now(),
        )
        return row_id


@pytest.fixture
def house(postgres: ScratchServer, fresh_database: Address) -> Iterator[House]:
    clock = StandingClock()
    announced: list[Message] = []

    def of(address: Address, *, desk: bool = False) -> Database:
        connect = connector(DatabaseSettings("url", 2, address.url), application="test")
        return Database(connect, size=2, clock=clock, committed=announced.extend if desk else lambda messages: None)

    owner = of(fresh_database)
    desk, notify = of(postgres.login(fresh_database, "desk"), desk=True), of(postgres.login(fresh_database, "notify"))
    with closing(owner), closing(desk), closing(notify):
        yield House(
            owner, DeadLetters(desk, clock), OpenRows(desk, clock), DeadLetters(notify, clock), clock, announced
        )


# Dead letters ------------------------------------------------------------------------------------------


def test_a_dead_letter_is_kept_once_however_often_it_is_brought(house: House) -> None:
    letter_id = house.bury(message_id="m-1")
    house.bury(message_id="m-1", payload="something else")
    house.bury(message_id="m-2")

    letters = house.desk.list_letters(state="open", subscription="notify-orders", limit=10)

    assert sorted(letter.message_id for letter in letters) == ["m-1", "m-2"]
    assert house.desk.get(letter_id).payload == "{}"


def test_an_event_that_is_sent_again_keeps_its_id_and_opens_its_row(house: House) -> None:
    event = Event("orders", "order.paid", {"order": {"number": "7ZZZZZZZZZ"}})
    house.owner.step(lambda tx: tx.emit(event))
    house.owner.call("update outbox set published_at = :at::timestamptz", at=house.clock.now())
    letter_id = house.bury(event, payload='{"order": {"number": "7ZZZZZZZZZ"}}')
    house.clock.advance(hours=1)

    replayed = house.desk.replay(letter_id, actor=STAFF)

    assert (replayed.state, replayed.replays, replayed.closed_at) == ("replayed", 1, house.clock.now())
    assert house.outbox() == [(event.id, "topic:orders", "order.paid", event.payload, False)]
    assert house.announced == [event]
    assert house.audit(f"dead-letter:{letter_id}") == ["dead-letter.replayed"]
    assert house.desk.replay(letter_id, actor=STAFF).replays == 2


def test_an_event_whose_row_is_long_purged_gets_one_again(house: House) -> None:
    event = Event("orders", "order.paid", {"order": {"number": "7ZZZZZZZZZ"}})
    letter_id = house.bury(event, payload='{"order": {"number": "7ZZZZZZZZZ"}}')

    house.desk.replay(letter_id, actor=STAFF)

    assert house.outbox() == [(event.id, "topic:orders", "order.paid", event.payload, False)]


def test_what_was_sent_again_cannot_be_put_away(house: House) -> None:
    event = Event("orders", "order.paid", {"order": {"number": "7ZZZZZZZZZ"}})
    letter_id = house.bury(event, payload='{"order": {"number": "7ZZZZZZZZZ"}}')
    replayed = house.desk.replay(letter_id, actor=STAFF)

    with pytest.raises(DeadLetterReplayed):
        house.desk.discard(letter_id, reason="never mind", actor=STAFF)

    assert house.desk.get(letter_id) == replace(replayed, payload='{"order": {"number": "7ZZZZZZZZZ"}}')
    assert house.audit(f"dead-letter:{letter_id}") == ["dead-letter.replayed"]
    again = house.bury(event, message_id="m-2", payload='{"order": {"number": "7ZZZZZZZZZ"}}')
    assert house.desk.discard(again, reason="never mind", actor=STAFF).state == "discarded"


def test_what_is_no_event_can_only_be_put_away_and_stays_away(house: House) -> None:
    letter_id = house.bury(payload="gibberish")

    with pytest.raises(NotSendable):
        house.desk.replay(letter_id, actor=STAFF)
    assert (house.desk.get(letter_id).state, house.outbox(), house.announced) == ("open", [], [])

    discarded = house.desk.discard(letter_id, reason="somebody's test", actor=STAFF)
    assert (discarded.state, discarded.reason) == ("discarded", "somebody's test")
    with pytest.raises(DeadLetterDiscarded):
        house.desk.replay(letter_id, actor=STAFF)
    with pytest.raises(DeadLetterDiscarded):
        house.desk.discard(letter_id, reason="again", actor=STAFF)
    with pytest.raises(DeadLetterNotFound):
        house.desk.discard(uuid4(), reason="nothing", actor=STAFF)
    assert house.audit(f"dead-letter:{letter_id}") == ["dead-letter.discarded"]
    assert house.desk.list_letters(state="open", subscription=None, limit=10) == []


# Open rows ---------------------------------------------------------------------------------------------


def _begin_everything(house: House) -> dict[Kind, UUID]:
    """One open row of each kind, each a minute younger than the one before, and a finished one beside it."""
    order_id, made = uuid4(), dict[Kind, UUID]()
    house.owner.call(
        """
        insert into orders (id, number, cart_id, cart_version, status, email, client_network, currency,
            subtotal_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
            prices_include_tax, placed_at, hold_expires_at, updated_at)
        values (:id::uuid, '7ZZZZZZZZZ', 'cart', 1, 'paid', 'ada@example.com', '127.0.0.0/24', 'USD', 1000, 0, 0, 1000,
            '{}', '{}', false, :at::timestamptz, :at::timestamptz, :at::timestamptz)
        """,
        id=order_id,
        at=house.clock.now(),
    )
    made["outbox"] = house.unpublished()
    house.owner.call("update outbox set published_at = :at::timestamptz where id = :id::uuid",
                     at=house.clock.now(), id=house.unpublished())  # fmt: skip
    for kind, sql in (
        (
            "capture-attempts",
            "insert into capture_attempts (id, order_id, state, requested_at, looked_at) values "
            "(:id::uuid, :order::uuid, 'requested', :at::timestamptz, :at::timestamptz), "
            "(:other::uuid, :order::uuid, 'refused', :at::timestamptz, :at::timestamptz)",
        ),
        (
            "refunds",
            "insert into refunds (id, order_id, capture_id, kind, amount_minor, currency, reason, state, "
            "requested_at, requested_by, updated_at) values "
            "(:id::uuid, :order::uuid, 'C1', 'staff', 100, 'USD', '', 'pending', :at::timestamptz, 'shop', now()), "
            "(:other::uuid, :order::uuid, 'C1', 'staff', 100, 'USD', '', 'completed', :at::timestamptz, 'shop', now())",
        ),
        (
            "trackings",
            "insert into shipments (id, order_id, state, carrier, tracking_number, created_at, created_by, shipped_at, "
            "updated_at, paypal_state, paypal_looked_at) values (:id::uuid, :order::uuid, 'in_transit', 'UPS', '1Z', "
            ":at::timestamptz, 'shop', :at::timestamptz, now(), 'due', now()), "
            "(:other::uuid, :order::uuid, 'in_transit', 'UPS', '2', :at::timestamptz, 'shop', :at::timestamptz, now(), "
            "'told', now())",
        ),
        (
            "documents",
            "insert into documents (id, order_id, kind, refund_id, amount_minor, currency, owed_at, year, serial, "
            "number, issued_at, content) values (:id::uuid, :order::uuid, 'invoice', null, 1000, 'USD', "
            ":at::timestamptz, null, null, null, null, null), (:other::uuid, :order::uuid, 'credit_note', 'R1', 100, "
            "'USD', :at::timestamptz, 2026, 1, 'CN-2026-000001', :at::timestamptz, '{}')",
        ),
        (
            "webhook-events",
            "insert into webhook_events (id, provider, transmission_id, event_id, event_type, body, received_at, "
            "state, next_attempt_at, order_ids) values (:id::uuid, 'paypal', 't1', 'e1', 'CAPTURED', '', "
            ":at::timestamptz, 'waiting', :at::timestamptz, array[:order::uuid]), "
            "(:other::uuid, 'paypal', 't2', 'e2', 'X', '', :at::timestamptz, 'applied', :at::timestamptz, '{}')",
        ),
    ):
        house.clock.advance(minutes=1)
        row_id = uuid4()
        house.owner.call(sql, id=row_id, other=uuid4(), order=order_id, at=house.clock.now())
        made[kind] = row_id  # type: ignore[index]
    house.clock.advance(minutes=1)
    made["mails"] = house.mail("queued")
    house.mail("delivered")
    return made


def test_what_is_open_is_listed_with_the_oldest_first_and_what_is_finished_is_not(house: House) -> None:
    made = _begin_everything(house)

    rows = house.rows.list_rows(kind=None, limit=10)

    assert [(row.kind, row.id) for row in rows] == list(made.items())
    assert [row.state for row in rows] == ["unpublished", "requested", "pending", "due", "owed", "waiting", "queued"]
    assert [row.order_number for row in rows] == ["7ZZZZZZZZZ"] * 5 + [None] * 2
    assert rows[-1].since - rows[0].since == timedelta(minutes=6)
    for kind, row_id in made.items():
        assert [row.id for row in house.rows.list_rows(kind=kind, limit=10)] == [row_id]


def test_pages_of_open_rows_follow_each_other_over_all_kinds(house: House) -> None:
    made = _begin_everything(house)
    for _ in range(3):
        house.mail("failed", failure="400 to")  # at one moment
    seen = []
    after = None
    while page := house.rows.list_rows(kind=None, limit=2, after=after):
        seen += [row.id for row in page]
        after = (page[-1].since, page[-1].kind, page[-1].id)

    assert len(seen) == len(set(seen)) == len(made) + 3
    assert seen[:4] == list(made.values())[:4]


def test_waking_a_row_of_a_payment_sends_the_task_of_the_sweep(house: House) -> None:
    made = _begin_everything(house)
    before = len(house.outbox())
    wanted: dict[Kind, tuple[str, dict[str, str]]] = {
        "capture-attempts": ("/jobs/payments/capture", {"attempt_id": str(made["capture-attempts"])}),
        "refunds": ("/jobs/payments/refund", {"refund_id": str(made["refunds"])}),
        "trackings": ("/jobs/payments/track", {"shipment_id": str(made["trackings"])}),
        "documents": ("/jobs/payments/issue-documents", {}),
        "webhook-events": ("/jobs/payments/apply-webhook", {"webhook_event_id": str(made["webhook-events"])}),
    }

    for kind in wanted:
        house.rows.wake(kind, made[kind], actor=STAFF)

    sent = [(task.path, task.payload) for task in house.announced if isinstance(task, Task)]
    assert sent == list(wanted.values())
    assert [(row[2], row[3]) for row in house.outbox()[before:]] == list(wanted.values())
    assert house.audit(f"refunds:{made['refunds']}") == ["open-row.woken"]


def test_waking_a_message_sends_it_now_whoever_has_leased_it(house: House) -> None:
    row_id = house.unpublished("/jobs/payments/capture", "queue:payments")

    house.rows.wake("outbox", row_id, actor=STAFF)

    (task,) = house.announced
    assert isinstance(task, Task)
    assert (task.id, task.queue, task.path) == (row_id, "payments", "/jobs/payments/capture")
    assert house.owner.call("select leased_until from outbox") == [{"leased_until": None}]


def test_waking_a_mail_makes_it_due_unless_that_could_send_it_twice(house: House) -> None:
    later = house.clock.now() + timedelta(hours=1)
    queued, refused, sending, bounced = (
        house.mail("queued", due=later),
        house.mail("failed", failure="400 to"),
        house.mail("sending", due=later),
        house.mail("failed", failure="bounce"),
    )
    house.owner.call(
        "insert into mail_events (id, mail_id, event, vendor_message_id, at, recorded_at) "
        "values ('e', :id::uuid, 'bounce', 'v', now(), now())",
        id=bounced,
    )

    woken = [house.rows.wake("mails", mail_id, actor=STAFF) for mail_id in (queued, refused)]
    with pytest.raises(RowAtWork):
        house.rows.wake("mails", sending, actor=STAFF)
    with pytest.raises(RowFinal):
        house.rows.wake("mails", bounced, actor=STAFF)

    assert [(row.state, row.due_at) for row in woken] == [("queued", house.clock.now())] * 2
    states = house.owner.call("select state, next_attempt_at from mails where id = any (:ids::uuid[]) order by state",
                              ids=[sending, bounced])  # fmt: skip
    assert states == [{"state": "failed", "next_attempt_at": None}, {"state": "sending", "next_attempt_at": later}]


def test_a_mail_that_bounced_is_over_and_one_that_the_vendor_refused_is_open(house: House) -> None:
    """Else what can neither be woken nor put away would fill the list, the oldest first."""
    refused, bounced = house.mail("failed", failure="400 to"), house.mail("failed", failure="bounce")
    house.owner.call(
        "insert into mail_events (id, mail_id, event, vendor_message_id, at, recorded_at) "
        "values ('e', :id::uuid, 'bounce', 'v', now(), now())",
        id=bounced,
    )

    assert [row.id for row in house.rows.list_rows(kind=None, limit=10)] == [refused]
    assert [row.id for row in house.rows.list_rows(kind="mails", limit=10)] == [refused]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_is_finished_or_was_never_there_cannot_be_woken(house: House, kind: Kind) -> None:
    with pytest.raises(OpenRowNotFound):
        house.rows.wake(kind, uuid4(), actor=STAFF)

    assert (house.outbox(), house.announced) == ([], [])


@pytest.mark.parametrize("round_", range(5))
def test_staff_who_send_and_discard_the_same_letter_at_once_leave_one_truth(house: House, round_: int) -> None:
    event = Event("orders", "order.paid", {"order": {"number": "7ZZZZZZZZZ"}})
    letter_id = house.bury(event, payload='{"order": {"number": "7ZZZZZZZZZ"}}')

    done, refused = at_once(
        [
            lambda: house.desk.replay(letter_id, actor=STAFF),
            lambda: house.desk.discard(letter_id, reason="not ours", actor=STAFF),
        ]
    )

    letter, log = house.desk.get(letter_id), house.audit(f"dead-letter:{letter_id}")
    first, refusal, reason = {
        "discarded": ("dead-letter.discarded", DeadLetterDiscarded, "not ours"),
        "replayed": ("dead-letter.replayed", DeadLetterReplayed, None),
    }[letter.state]  # whichever came first
    assert ([type(error) for error in refused], len(done)) == ([refusal], 1)
    assert (letter.reason, log) == (reason, [first])
    assert [row[0] for row in house.outbox()] == [event.id] * letter.replays


def test_two_who_wake_the_same_refund_at_once_make_two_tasks_of_one_row(house: House) -> None:
    """A task is a wake-up: the row decides what is left to do."""
    refund_id = _begin_everything(house)["refunds"]
    before = len(house.outbox())

    woken, refused = at_once([lambda: house.rows.wake("refunds", refund_id, actor=STAFF)] * 2)

    assert (len(woken), refused) == (2, [])
    assert [row[3] for row in house.outbox()[before:]] == [{"refund_id": str(refund_id)}] * 2
    assert house.audit(f"refunds:{refund_id}") == ["open-row.woken"] * 2
