from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from uuid import uuid4

import pytest

from shared.kernel.errors import Unavailable
from shared.kernel.ids import new_id
from shared.notices.mailing import CONSUMER, GRACE
from shared.notices.mails import Draft, Mail, NoAnswer
from tests.notices.conftest import KEYS, Notices, Simulator, make_order, make_refund


class KilledError(BaseException):
    """The process ends here."""


class FailingMailer:
    """Raises what it is told, and counts."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.calls = 0

    def send(self, mail: Mail) -> str:
        self.calls += 1
        raise self.error


def test_a_paid_order_is_mailed_once_and_followed_until_it_is_delivered(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order()

    assert notices.announce(order) == "accepted"
    assert notices.states() == ["accepted"]
    notices.hear(sendgrid.endpoint.posts_about(order.email, "delivered"))

    [mail] = sendgrid.inbox(order.email)
    [row] = notices.rows()
    assert mail["subject"] == "Order 7K3MZ9QX2B: thank you, your payment has arrived"
    assert mail["custom_args"] == {"mail_id": str(row["id"]), "event_id": str(row["event_id"])}
    assert (row["state"], row["attempts"], row["next_attempt_at"]) == ("delivered", 1, None)


def test_the_link_of_a_mail_opens_its_order_and_the_stored_mail_does_not(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order()

    notices.announce(order)

    [mail] = sendgrid.inbox(order.email)
    token = mail["text"].partition("http://127.0.0.1:8080/orders/7K3MZ9QX2B#k=")[2].split()[0]
    assert KEYS.opens(token, "order", order.id)
    assert f'href="http://127.0.0.1:8080/orders/7K3MZ9QX2B#k={token}"' in mail["html"]
    [row] = notices.rows()
    assert token not in row["text_body"] + row["html_body"]
    assert row["text_body"].count("#k=ORDER-TOKEN") == 1


def test_an_event_that_is_pushed_five_times_at_once_makes_one_mail(notices: Notices, sendgrid: Simulator) -> None:
    order, event_id = make_order(), uuid4()

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(lambda _: notices.announce(order, event_id=event_id), range(5)))

    assert sorted(map(str, outcomes)) == ["accepted", "untouched", "untouched", "untouched", "untouched"]
    assert len(sendgrid.inbox(order.email)) == 1
    assert notices.states() == ["accepted"]


@pytest.mark.parametrize("names", list(permutations(["payment.refused", "order.paid", "order.cancelled"])))
def test_events_in_any_order_and_repeated_make_one_mail_each(
    names: tuple[str, ...], notices: Notices, sendgrid: Simulator
) -> None:
    order = make_order()
    events = {name: uuid4() for name in names}

    for name in [*names, *reversed(names)]:
        notices.announce(order, name, events[name])

    assert len(sendgrid.inbox(order.email)) == 3
    assert sorted(row["template"] for row in notices.rows()) == ["order_cancelled", "order_paid", "payment_refused"]


def test_an_order_that_was_placed_or_replaced_is_not_mailed(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order(status="cancelled", status_reason="replaced")

    assert notices.announce(order, "order.cancelled") is None
    assert notices.announce(make_order(email=order.email), "order.placed") is None
    assert notices.announce(make_order(email=order.email), "order.on_hold") is None

    assert sendgrid.inbox(order.email) == []
    assert notices.rows() == []


def test_money_of_a_replaced_order_that_goes_back_is_told_all_the_same(notices: Notices, sendgrid: Simulator) -> None:
    """The buyer has paid it after all, at PayPal: the order tells nothing, its money does."""
    order = make_order(status="cancelled", status_reason="replaced")

    assert notices.announce(order, "payment.returned") == "accepted"

    assert [row["template"] for row in notices.rows()] == ["payment_returned"]


def test_an_event_that_nobody_thought_of_is_an_error(notices: Notices) -> None:
    with pytest.raises(LookupError):
        notices.announce(make_order(), "order.teleported")

    assert notices.rows() == []


def test_a_vendor_that_is_down_for_an_hour_costs_time_and_no_mail(notices: Notices, sendgrid: Simulator) -> None:
    orders = [make_order() for _ in range(5)]
    sendgrid.faults.add("sendgrid", "error", probability=1.0)

    assert [notices.announce(order) for order in orders] == ["put_off"] * 5
    for _ in range(60):
        notices.clock.advance(minutes=1)
        notices.sweep()
    [fault] = sendgrid.faults.list()
    sendgrid.faults.clear()
    for _ in range(15):
        notices.clock.advance(minutes=1)
        notices.sweep()

    assert [len(sendgrid.inbox(order.email)) for order in orders] == [1, 1, 1, 1, 1]
    assert notices.states() == ["accepted"] * 5
    assert 20 <= fault["fired"] <= 45  # each mail at 0, 1, 3, 7, 15, 30, 45 and 60 minutes or a little later


def test_a_vendor_that_hangs_up_for_an_hour_costs_time_and_no_mail(notices: Notices, sendgrid: Simulator) -> None:
    """Each call is lost without an effect, and nobody can know that: so there are ten minutes of silence first."""
    order = make_order()
    sendgrid.faults.add("sendgrid", "lose", probability=1.0)

    assert notices.announce(order) == "unanswered"
    for _ in range(60):
        notices.clock.advance(minutes=1)
        notices.sweep()
    [fault] = sendgrid.faults.list()
    sendgrid.faults.clear()
    for _ in range(20):
        notices.clock.advance(minutes=1)
        notices.sweep()

    assert fault["fired"] == 3  # at 0, 10 and 30 minutes; the next one is at 70
    assert len(sendgrid.inbox(order.email)) == 1
    assert notices.states() == ["accepted"]


def test_a_mail_that_was_accepted_in_silence_is_settled_by_its_event_and_not_repeated(
    notices: Notices, sendgrid: Simulator
) -> None:
    order, event_id = make_order(), uuid4()
    sendgrid.faults.add("sendgrid", "timeout_after_effect")

    assert notices.announce(order, event_id=event_id) == "unanswered"
    assert notices.states() == ["sending"]
    notices.hear(sendgrid.endpoint.posts_about(order.email, "delivered"))
    for _ in range(24):
        notices.clock.advance(hours=1)
        notices.sweep()
    notices.announce(order, event_id=event_id)

    assert [fault["fired"] for fault in sendgrid.faults.list()] == [1]
    assert len(sendgrid.inbox(order.email)) == 1
    assert notices.states() == ["delivered"]


def test_a_mail_that_nothing_is_heard_of_is_repeated_once_after_ten_minutes(
    notices: Notices, sendgrid: Simulator
) -> None:
    order, event_id = make_order(), uuid4()
    sendgrid.faults.add("sendgrid", "timeout_after_effect")

    assert notices.announce(order, event_id=event_id) == "unanswered"
    notices.clock.advance(minutes=9, seconds=59)
    assert notices.announce(order, event_id=event_id) == "untouched"
    assert notices.sweep() == []
    assert len(sendgrid.inbox(order.email)) == 1

    notices.clock.advance(seconds=1)
    assert notices.sweep() == ["accepted"]
    for _ in range(24):
        notices.clock.advance(hours=1)
        assert notices.sweep() == []

    assert len(sendgrid.inbox(order.email)) == 2
    [row] = notices.rows()
    assert (row["state"], row["attempts"], row["unanswered"]) == ("accepted", 2, 1)


def test_a_process_that_dies_before_the_call_leaves_a_mail_that_the_next_push_sends(
    notices: Notices, sendgrid: Simulator
) -> None:
    order, event_id = make_order(), uuid4()
    subject, text, html = notices.writer.write("order_paid", order)
    draft = Draft(new_id(), event_id, "order_paid", order.email, order.id, subject, text, html)
    notices.mails.write(draft, consumer=CONSUMER, at=notices.clock.now())

    assert notices.announce(order, event_id=event_id) == "accepted"
    assert len(sendgrid.inbox(order.email)) == 1


def test_the_sweep_sends_what_a_dead_process_wrote_down(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order()
    subject, text, html = notices.writer.write("order_paid", order)
    draft = Draft(new_id(), uuid4(), "order_paid", order.email, order.id, subject, text, html)
    notices.mails.write(draft, consumer=CONSUMER, at=notices.clock.now())

    assert notices.sweep() == ["accepted"]
    assert len(sendgrid.inbox(order.email)) == 1


def test_a_process_that_dies_within_its_call_leaves_a_mail_that_is_sent_after_its_grace(
    notices: Notices, sendgrid: Simulator
) -> None:
    order, event_id = make_order(), uuid4()
    working, notices.mailer = notices.mailer, FailingMailer(KilledError())
    with pytest.raises(KilledError):
        notices.announce(order, event_id=event_id)
    notices.mailer = working

    assert notices.announce(order, event_id=event_id) == "untouched"
    notices.clock.advance(minutes=10)
    assert notices.sweep() == ["accepted"]
    assert len(sendgrid.inbox(order.email)) == 1


def test_a_refusal_is_final_and_says_which_field_it_was(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order(email="ada at home")

    assert notices.announce(order) == "refused"
    notices.clock.advance(days=1)
    assert notices.sweep() == []

    [row] = notices.rows()
    assert (row["state"], row["failure"]) == ("failed", "400 personalizations.0.to.0.email")


def test_a_mail_that_bounces_has_failed(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order(email=f"bounce-{uuid4().hex}@buyer.example")

    assert notices.announce(order) == "accepted"
    notices.hear(sendgrid.endpoint.posts_about(order.email, "bounce"))

    [row] = notices.rows()
    assert row["state"] == "failed"
    assert row["failure"].startswith("bounce: 550 5.1.1")


def test_a_vendor_that_never_answers_is_given_up_and_seen(notices: Notices) -> None:
    notices.mailer = mailer = FailingMailer(NoAnswer())

    notices.announce(make_order())
    for _ in range(48):
        notices.clock.advance(minutes=30)
        notices.sweep()

    [row] = notices.rows()
    assert mailer.calls == 6
    assert (row["state"], row["failure"]) == ("failed", "the vendor never answered")


def test_the_wait_of_the_vendor_is_kept(notices: Notices) -> None:
    notices.mailer = FailingMailer(Unavailable(retry_after_s=1800))

    notices.announce(make_order())

    [row] = notices.rows()
    assert row["next_attempt_at"] == notices.clock.now() + timedelta(minutes=30)


def test_a_sweep_stops_when_the_vendor_is_down_and_the_rest_keeps_its_turn(notices: Notices) -> None:
    notices.mailer = mailer = FailingMailer(Unavailable())
    for _ in range(5):
        notices.announce(make_order())
    notices.clock.advance(minutes=1)
    mailer.calls = 0

    assert notices.sweep() == ["put_off"] * 3
    assert notices.sweep() == ["put_off"] * 2
    assert mailer.calls == 5


def test_an_attempt_that_ends_too_late_does_not_disturb_the_one_that_took_its_place(notices: Notices) -> None:
    order = make_order()
    notices.mailer = FailingMailer(NoAnswer())
    notices.announce(order)
    [row] = notices.rows()
    notices.clock.advance(minutes=10)
    second = notices.mails.claim(row["id"], at=notices.clock.now(), grace=GRACE)

    later = notices.clock.now()
    notices.mails.put_off(row["id"], attempt=1, until=later, failure="503", at=later)
    notices.mails.refuse(row["id"], attempt=1, failure="400", at=later)

    assert second is not None
    assert second.attempt == 2
    [row] = notices.rows()
    assert (row["state"], row["failure"]) == ("sending", None)
    assert row["next_attempt_at"] == later + 2 * GRACE


def test_an_answer_that_comes_after_the_event_takes_nothing_back(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order()
    sendgrid.faults.add("sendgrid", "timeout_after_effect")
    notices.announce(order)
    notices.hear(sendgrid.endpoint.posts_about(order.email, "delivered"))
    [row] = notices.rows()

    notices.mails.accept(row["id"], message_id="late", at=notices.clock.now())
    notices.mails.put_off(row["id"], attempt=1, until=notices.clock.now(), failure="", at=notices.clock.now())

    assert notices.states() == ["delivered"]


def test_money_that_is_on_its_way_back_is_told(notices: Notices, sendgrid: Simulator) -> None:
    order = make_order(
        status="expired", refunds=(make_refund("late", 134385), make_refund("late", 100, state="failed"))
    )

    notices.announce(order, "payment.returned")

    [mail] = sendgrid.inbox(order.email)
    assert "We are giving back $1,343.85 through PayPal." in mail["text"]


def test_an_event_whose_mail_is_long_gone_makes_no_other(notices: Notices, sendgrid: Simulator) -> None:
    order, event_id = make_order(), uuid4()
    notices.announce(order, event_id=event_id)
    notices.database.call("delete from mails")

    assert notices.announce(order, event_id=event_id) == "untouched"
    assert len(sendgrid.inbox(order.email)) == 1
    assert notices.rows() == []
