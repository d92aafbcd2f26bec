"""How calls go over the wire: tokens, kept connections, and what counts as no answer."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest

from shared.gateways.https_calls import Origin
from shared.gateways.paypal import PayPal
from shared.kernel.errors import Unavailable
from shared.kernel.money import Money
from shared.payments.processor import Refused
from tests.payments.conftest import Script, hang_up, make_request, settings_for

ORDER = {"id": "5O190127TN364715T", "status": "CREATED", "purchase_units": []}


def test_one_token_serves_many_calls_over_one_connection(script: Script, scripted: PayPal) -> None:
    script.token("T1")
    for _ in range(3):
        script.say(200, ORDER)

    for _ in range(3):
        scripted.find_order("5O190127TN364715T")

    assert script.paths() == ["POST /v1/oauth2/token"] + ["GET /v2/checkout/orders/5O190127TN364715T"] * 3
    assert script.heard[0].headers["authorization"] == "Basic c2hvcDpzZWNyZXQ="
    assert script.heard[0].body == b"grant_type=client_credentials"
    assert {call.headers["authorization"] for call in script.heard[1:]} == {"Bearer T1"}
    assert len({call.connection for call in script.heard}) == 1


def test_a_token_is_renewed_shortly_before_it_ends(script: Script, scripted: PayPal) -> None:
    script.token("T1", expires_in=60)
    script.say(200, ORDER)
    script.token("T2")
    script.say(200, ORDER)

    scripted.find_order("5O190127TN364715T")
    scripted.find_order("5O190127TN364715T")

    assert [call.headers["authorization"] for call in script.heard if call.method == "GET"] == [
        "Bearer T1",
        "Bearer T2",
    ]


def test_a_revoked_token_is_renewed_once(script: Script, scripted: PayPal) -> None:
    script.token("T1")
    script.say(401, {"name": "AUTHENTICATION_FAILURE"})
    script.token("T2")
    script.say(200, ORDER)

    found = scripted.find_order("5O190127TN364715T")

    assert found is not None
    assert script.heard[-1].headers["authorization"] == "Bearer T2"


def test_a_second_refusal_of_the_token_is_no_answer(script: Script, scripted: PayPal) -> None:
    script.token("T1")
    script.say(401, {"name": "AUTHENTICATION_FAILURE"})
    script.token("T2")
    script.say(401, {"name": "AUTHENTICATION_FAILURE"})

    with pytest.raises(Unavailable):
        scripted.capture("5O190127TN364715T", attempt_id=uuid4())

    assert len(script.heard) == 4


def test_wrong_credentials_are_no_answer(script: Script, scripted: PayPal) -> None:
    script.say(401, {"error": "invalid_client"})

    with pytest.raises(Unavailable):
        scripted.find_order("5O190127TN364715T")


@pytest.mark.parametrize("status", [301, 403, 408, 409, 429, 500, 502, 503, 504])
def test_what_settles_nothing_leaves_the_outcome_open(script: Script, scripted: PayPal, status: int) -> None:
    script.token()
    script.say(status, {"name": "SOMETHING"}, Location=f"{script.url}/elsewhere")

    with pytest.raises(Unavailable):
        scripted.capture("5O190127TN364715T", attempt_id=uuid4())

    assert len(script.heard) == 2


def test_a_success_that_cannot_be_read_leaves_the_outcome_open(script: Script, scripted: PayPal) -> None:
    script.token()
    script.say(201, b"<html>")

    with pytest.raises(Unavailable):
        scripted.capture("5O190127TN364715T", attempt_id=uuid4())


def test_a_success_without_a_capture_leaves_the_outcome_open(script: Script, scripted: PayPal) -> None:
    script.token()
    script.say(201, {"id": "5O190127TN364715T", "status": "PAYER_ACTION_REQUIRED", "purchase_units": [{}]})

    with pytest.raises(Unavailable):
        scripted.capture("5O190127TN364715T", attempt_id=uuid4())


def test_a_completion_that_is_under_way_leaves_the_outcome_open(script: Script, scripted: PayPal) -> None:
    script.token()
    script.say(422, {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "ORDER_COMPLETION_IN_PROGRESS"}]})

    with pytest.raises(Unavailable):
        scripted.capture("5O190127TN364715T", attempt_id=uuid4())


def test_a_busy_paypal_says_when_to_come_back(script: Script, scripted: PayPal) -> None:
    script.token()
    script.say(429, {"name": "RATE_LIMIT_REACHED"}, Retry_After="17")

    with pytest.raises(Unavailable) as refused:
        scripted.find_order("5O190127TN364715T")

    assert refused.value.retry_after_s == 17


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "TRANSACTION_DISPUTED"}]}, "TRANSACTION_DISPUTED"),
        ({"name": "UNPROCESSABLE_ENTITY", "details": []}, "UNPROCESSABLE_ENTITY"),
        ({"details": "odd"}, "HTTP_422"),
        ([], "HTTP_422"),
    ],
)
def test_a_refusal_is_named_by_its_issue(script: Script, scripted: PayPal, answer: object, reason: str) -> None:
    script.token()
    script.say(422, answer)

    refused = scripted.refund("3C679366HH908993F", refund_id=uuid4(), amount=Money(1, "USD"), number="N", note="")

    assert refused == Refused(reason)


def test_a_call_that_was_not_answered_is_not_repeated_behind_its_callers_back(script: Script, scripted: PayPal) -> None:
    script.token()
    script.answers.append(hang_up)

    with pytest.raises(Unavailable):
        scripted.capture("5O190127TN364715T", attempt_id=uuid4())

    assert script.paths() == ["POST /v1/oauth2/token", "POST /v2/checkout/orders/5O190127TN364715T/capture"]


def test_a_read_on_a_connection_that_has_died_is_repeated_on_a_new_one(script: Script, scripted: PayPal) -> None:
    script.token()
    script.answers.append(hang_up)
    script.say(200, ORDER)

    assert scripted.find_order("5O190127TN364715T") is not None
    assert len(script.heard) == 3


def test_a_connection_is_kept_unless_the_answer_ends_it(script: Script) -> None:
    script.say(200, {}, Connection="close")
    script.say(200, {})
    script.say(200, {})

    with closing(Origin(script.url)) as origin:
        origin.call("GET", "/1", headers={})
        origin.call("POST", "/2", headers={}, body=b"")
        origin.call("POST", "/3", headers={}, body=b"")

    assert script.paths() == ["GET /1", "POST /2", "POST /3"]
    assert script.heard[0].connection != script.heard[1].connection == script.heard[2].connection


def test_a_kept_connection_that_the_other_side_has_closed_meanwhile_is_not_used() -> None:
    """Not even for a call that must not be repeated: it is seen before anything is sent."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as other_side:

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        with closing(Origin(f"http://127.0.0.1:{server.getsockname()[1]}")) as origin:
            for path in ("/1", "/2"):
                answered = other_side.submit(answer_once)
                assert origin.call("POST", path, headers={}, body=b"").body == b"{}"
                answered.result()


def test_nobody_listening_is_no_answer() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        with closing(PayPal(settings_for(url))) as paypal, pytest.raises(Unavailable):
            paypal.open(make_request())


def test_silence_ends_after_the_time_for_an_answer() -> None:
    with _silent_server() as url:
        began = time.monotonic()

        with pytest.raises(Unavailable):
            Origin(url, read_timeout_s=0.1).call("GET", "/", headers={}, repeatable=True)

        assert 0.1 <= time.monotonic() - began < 3


def test_an_answer_without_end_is_no_answer(script: Script) -> None:
    script.say(200, b"x" * 2000)

    with pytest.raises(Unavailable):
        Origin(script.url, answer_limit=1000).call("GET", "/", headers={})


@pytest.mark.parametrize("odd", ["", ".", "..", "a/b", "../../v1/oauth2", "a?b", "a%2Fb", "a#b", "x" * 65, "ä", "a\n"])
def test_no_id_of_a_stranger_becomes_another_path(script: Script, scripted: PayPal, odd: str) -> None:

    found = [
        scripted.find_order(odd),
        scripted.find_capture(odd),
        scripted.find_refund(odd),
        scripted.find_dispute(odd),
    ]

    assert found == [None] * 4
    assert scripted.capture(odd, attempt_id=uuid4()) == Refused("INVALID_RESOURCE_ID")
    assert script.heard == []


def test_an_order_that_is_read_without_its_details_is_still_read(script: Script, scripted: PayPal) -> None:
    """S40: older objects have no custom_id, an official sample has a month 19, units may lack anything."""
    script.token()
    script.say(
        200,
        {
            "id": "5O190127TN364715T",
            "status": "COMPLETED",
            "create_time": "2018-19-12T22:20:32.000Z",
            "purchase_units": [
                {
                    "invoice_id": "VIT-1",
                    "payments": {
                        "captures": [{"id": "3C679366HH908993F", "status": "COMPLETED", "create_time": "odd"}]
                    },
                }
            ],
        },
    )

    order = scripted.find_order("5O190127TN364715T")

    assert order is not None
    assert (order.custom_id, order.invoice_id, order.update_time) == (None, "VIT-1", "2018-19-12T22:20:32.000Z")
    (capture,) = order.captures
    assert (capture.amount, capture.created_at, capture.invoice_id) == (None, None, "VIT-1")
    assert capture.paypal_order_id == "5O190127TN364715T"


def test_an_email_that_paypal_would_refuse_is_left_out(script: Script, scripted: PayPal) -> None:
    script.token()

    for email in ("ada@example.com", "ada@[127.0.0.1]", '"a b"@example.com'):
        script.say(201, {**ORDER, "links": [{"rel": "payer-action", "href": "https://paypal.example/approve"}]})
        scripted.open(make_request(email=email))

    sent = [json.loads(call.body)["payment_source"]["paypal"].get("email_address") for call in script.heard[1:]]
    assert sent == ["ada@example.com", None, None]


def test_an_order_is_asked_for_with_the_shops_own_marks(script: Script, scripted: PayPal) -> None:
    script.token()
    script.say(201, {**ORDER, "links": [{"rel": "payer-action", "href": "https://paypal.example/approve"}]})
    request = make_request(lines=((1250, 2),), discount_minor=250, shipping_minor=490)

    opened = scripted.open(request)

    call = script.heard[1]
    body = json.loads(call.body)
    assert opened.approve_url == "https://paypal.example/approve"
    assert call.headers["paypal-request-id"] == str(request.order_id)
    assert body["intent"] == "CAPTURE"
    assert body["payment_source"]["paypal"]["experience_context"] == {
        "shipping_preference": "SET_PROVIDED_ADDRESS",
        "user_action": "PAY_NOW",
        "return_url": request.return_url,
        "cancel_url": request.cancel_url,
    }
    (unit,) = body["purchase_units"]
    assert unit["custom_id"] == str(request.order_id)
    assert unit["invoice_id"] == f"VIT-{request.number}"
    assert unit["amount"] == {
        "currency_code": "USD",
        "value": "27.40",
        "breakdown": {
            "item_total": {"currency_code": "USD", "value": "25.00"},
            "discount": {"currency_code": "USD", "value": "2.50"},
            "shipping": {"currency_code": "USD", "value": "4.90"},
        },
    }


@contextmanager
def _silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
