"""PayPal's list of what it has told, read by the gateway."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.gateways.paypal import PayPal
from shared.kernel.errors import Unavailable
from shared.payments.webhooks import parse
from tests.payments.conftest import Script, Simulator

SINCE = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)
UNTIL = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_every_event_is_read_page_by_page_as_it_would_have_been_delivered(simulator: Simulator, paypal: PayPal) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    mark = uuid4().hex
    told = [
        simulator.happen("PAYMENT.CAPTURE.COMPLETED", {"id": f"{mark[:14].upper()}{n}", "invoice_id": mark})["id"]
        for n in range(5)
    ]

    read, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        until = datetime.now(UTC) + timedelta(minutes=1)
        page = paypal.list_events(since=since, until=until, cursor=cursor, limit=2)
        read += [event for event in page.events if event.id in told]
        cursor, pages = page.next, pages + 1

    assert [event.id for event in read] == list(reversed(told))
    assert pages >= 3
    assert {event.event_type for event in read} == {"PAYMENT.CAPTURE.COMPLETED"}
    assert [(parse(event.body) or {})["resource"]["invoice_id"] for event in read] == [mark] * 5
    assert (
        paypal.list_events(since=SINCE - timedelta(days=9), until=SINCE - timedelta(days=8), cursor=None).events == ()
    )


def test_of_the_link_to_the_next_page_only_its_query_is_used(script: Script, scripted: PayPal) -> None:
    """The token goes to PayPal alone, whatever a list says."""
    script.token("T1")
    link = {"rel": "next", "href": "https://elsewhere.example/v1/steal?page_size=50&next_page_token=abc"}
    script.say(200, {"events": [{"id": "WH-1", "event_type": "A.B"}, {"id": "WH-2"}, "odd"], "links": [link]})
    script.say(200, {"events": [], "links": []})

    first = scripted.list_events(since=SINCE, until=UNTIL, cursor=None)
    second = scripted.list_events(since=SINCE, until=UNTIL, cursor=first.next)

    assert [(event.id, event.event_type) for event in first.events] == [("WH-1", "A.B")]
    assert (second.events, second.next) == ((), None)
    asked = "page_size=50&start_time=2026-11-19T12%3A00%3A00.000Z&end_time=2026-11-22T12%3A00%3A00.000Z"
    assert script.paths()[1:] == [
        f"GET /v1/notifications/webhooks-events?{asked}",
        "GET /v1/notifications/webhooks-events?page_size=50&next_page_token=abc",
    ]


@pytest.mark.parametrize(("status", "retry_after_s"), [(429, 120), (503, 120), (400, 2), (404, 2)])
def test_a_list_that_is_refused_is_no_list(script: Script, scripted: PayPal, status: int, retry_after_s: int) -> None:
    script.token("T1")
    script.say(status, {"name": "RATE_LIMIT_REACHED"}, retry_after="120")

    with pytest.raises(Unavailable) as error:
        scripted.list_events(since=SINCE, until=UNTIL, cursor=None)

    assert error.value.retry_after_s == retry_after_s
