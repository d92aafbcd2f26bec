"""PayPal-Request-Id, faults and kills: whatever happens on the way, one request id moves money once."""

import http.client
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local.vendor_processes import (
    Answer,
    PayPalProcess,
    Receiver,
    capture_of,
    money,
    order_of,
    paypal_process,
    wait_until,
)
from tests.numbers import KILLS

LOST = (ConnectionError, http.client.HTTPException)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def process(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayPalProcess]:
    with paypal_process(tmp_path_factory.mktemp("paypal"), receiver) as simulator:
        yield simulator


@pytest.fixture
def paypal(process: PayPalProcess) -> Iterator[PayPalProcess]:
    # Signed in before a test counts its calls: another may have moved the clock beyond the token.
    process.call_api("GET", "/v2/checkout/orders/NONE")
    yield process
    asked = process.faults.list()
    process.faults.clear()
    assert all(fault["fired"] for fault in asked), "a fault was asked for and never fired"


def captures(paypal: PayPalProcess, order_id: str) -> list[str]:
    """The ids of all captures of an order, as the ledger has them."""
    return [
        made["id"]
        for made in paypal.ledger()["captures"]
        if made["supplementary_data"]["related_ids"]["order_id"] == order_id
    ]


def test_the_same_id_gets_the_same_order_once_201_then_200(paypal: PayPalProcess) -> None:
    first = paypal.create(order_of("7.00"), request_id="same-order")
    again = paypal.create(order_of("7.00"), request_id="same-order")
    paypal.approve(first.json["id"])
    later = paypal.create(order_of("7.00"), request_id="same-order")

    assert [answer.status for answer in (first, again, later)] == [201, 200, 200]
    assert first.json == again.json
    assert (later.json["id"], later.json["status"]) == (first.json["id"], "APPROVED")


def test_without_an_id_the_repeat_is_a_second_order(paypal: PayPalProcess) -> None:
    assert paypal.create(order_of()).json["id"] != paypal.create(order_of()).json["id"]


def test_one_id_serves_each_operation_once(paypal: PayPalProcess) -> None:
    order_id = paypal.create(order_of(), request_id="one-id").json["id"]
    paypal.approve(order_id)

    captured = paypal.capture(order_id, request_id="one-id")
    refunded = paypal.refund(capture_of(captured.json)["id"], request_id="one-id")

    assert (captured.status, refunded.status) == (201, 201)
    assert capture_of(captured.json)["id"] != refunded.json["id"]


def test_a_repeated_capture_shows_the_latest_status(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id, "pending")
    pending = paypal.capture(order_id, request_id="latest")
    paypal.happen("PAYMENT.CAPTURE.COMPLETED", {"order_id": order_id})

    repeat = paypal.capture(order_id, request_id="latest")

    assert (pending.status, capture_of(pending.json)["status"]) == (201, "PENDING")
    assert (repeat.status, capture_of(repeat.json)["status"]) == (200, "COMPLETED")


def test_a_decline_is_repeated_to_its_id_and_a_new_id_may_try_again(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id, "declined")
    first = paypal.capture(order_id, request_id="decline-1")
    paypal.approve(order_id)

    repeat = paypal.capture(order_id, request_id="decline-1")
    fresh = paypal.capture(order_id, request_id="decline-2")

    assert [answer.issues for answer in (first, repeat)] == [["INSTRUMENT_DECLINED"], ["INSTRUMENT_DECLINED"]]
    assert fresh.status == 201
    assert len(captures(paypal, order_id)) == 1


def test_what_was_refused_without_effect_is_judged_afresh(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()

    early = paypal.capture(order_id, request_id="early")
    paypal.approve(order_id)

    assert early.issues == ["ORDER_NOT_APPROVED"]
    assert paypal.capture(order_id, request_id="early").status == 201


def test_an_id_longer_than_108_is_refused(paypal: PayPalProcess) -> None:
    answer = paypal.create(order_of(), request_id="x" * 109)

    assert (answer.status, answer.issues) == (400, ["INVALID_STRING_LENGTH"])


def test_orders_forget_an_id_after_6_hours_and_payments_after_45_days(paypal: PayPalProcess) -> None:
    first = paypal.create(order_of(), request_id="kept").json["id"]
    _, capture_id = paypal.make_capture()
    refund = paypal.refund(capture_id, {"amount": money("1.00")}, request_id="kept").json["id"]

    paypal.clock.advance(6 * 3600 - 60)
    within = paypal.create(order_of(), request_id="kept").json["id"]
    paypal.clock.advance(120)
    after = paypal.create(order_of(), request_id="kept").json["id"]
    paypal.clock.advance(44 * 24 * 3600)
    refund_within = paypal.refund(capture_id, {"amount": money("1.00")}, request_id="kept").json["id"]
    paypal.clock.advance(24 * 3600)
    refund_after = paypal.refund(capture_id, {"amount": money("1.00")}, request_id="kept").json["id"]

    assert within == first
    assert after != first
    assert refund_within == refund
    assert refund_after != refund


def test_a_token_ends_with_its_time(paypal: PayPalProcess) -> None:
    issued = paypal.sign_in().json
    headers = {"Authorization": f"Bearer {issued['access_token']}"}
    before = paypal.call("POST", "/v2/checkout/orders", order_of(), headers)

    paypal.clock.advance(issued["expires_in"] + 1)

    assert before.status == 201
    assert paypal.call("POST", "/v2/checkout/orders", order_of(), headers).status == 401


def test_a_time_out_after_the_effect_then_the_same_id_is_one_capture(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id)
    paypal.faults.add("paypal", "timeout_after_effect", path="/v2/checkout/orders/")

    with pytest.raises(LOST):
        paypal.capture(order_id, request_id="timed-out")
    made = captures(paypal, order_id)
    repeat = paypal.capture(order_id, request_id="timed-out")

    assert repeat.status == 200
    assert [capture_of(repeat.json)["id"]] == made
    assert captures(paypal, order_id) == made


def test_a_time_out_after_the_effect_then_another_id_is_already_captured(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id)
    paypal.faults.add("paypal", "timeout_after_effect", path="/v2/checkout/orders/")

    with pytest.raises(LOST):
        paypal.capture(order_id, request_id="timed-out-1")

    assert paypal.capture(order_id, request_id="timed-out-2").issues == ["ORDER_ALREADY_CAPTURED"]


def test_a_lost_call_has_no_effect(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id)
    paypal.faults.add("paypal", "lose", path="/v2/checkout/orders/")

    with pytest.raises(LOST):
        paypal.capture(order_id, request_id="lost")

    assert captures(paypal, order_id) == []
    assert paypal.capture(order_id, request_id="lost").status == 201


@pytest.mark.parametrize(("method", "status"), [("POST", 500), ("GET", 503)])
def test_an_error_is_paypals_own_and_has_no_effect(paypal: PayPalProcess, method: str, status: int) -> None:
    before = len(paypal.ledger()["orders"])
    paypal.faults.add("paypal", "error", path="/v2/checkout/orders")

    answer = paypal.call_api(
        method, "/v2/checkout/orders/NONE" if method == "GET" else "/v2/checkout/orders", order_of()
    )

    assert answer.status == status
    assert answer.json["name"] in ("INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE")
    assert len(paypal.ledger()["orders"]) == before


def test_a_call_that_is_repeated_on_the_way_counts_once_with_an_id_and_twice_without(paypal: PayPalProcess) -> None:
    paypal.faults.add("paypal", "repeat", path="/v2/checkout/orders", count=2)
    before = len(paypal.ledger()["orders"])

    with_id = paypal.create(order_of(), request_id="on-the-way")
    between = len(paypal.ledger()["orders"])
    paypal.create(order_of())

    assert with_id.status == 200
    assert between - before == 1
    assert len(paypal.ledger()["orders"]) - between == 2


def test_two_at_once_with_one_id_are_one_order_and_the_second_waits(paypal: PayPalProcess) -> None:
    paypal.faults.add("paypal", "delay", path="/v2/checkout/orders")
    answers = at_once(8, lambda: paypal.create(order_of(), request_id="at-once"))

    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1


def test_a_slow_call_holds_up_nobody_else(paypal: PayPalProcess) -> None:
    paypal.faults.add("paypal", "delay", path="/v2/checkout/orders")
    done: list[str] = []

    def buy_slowly() -> None:
        paypal.create(order_of())
        done.append("slow")

    slow = threading.Thread(target=buy_slowly)
    slow.start()
    wait_until(lambda: paypal.faults.list()[0]["fired"] == 1)

    paypal.create(order_of())
    done.append("other")
    slow.join()

    assert done == ["other", "slow"]


def test_the_books_keep_every_request_with_its_id_and_what_was_answered(paypal: PayPalProcess) -> None:
    paypal.create(order_of(), request_id="in-the-books")

    last = paypal.ledger()["requests"][-1]

    assert (last["method"], last["path"], last["status"]) == ("POST", "/v2/checkout/orders", 201)
    assert last["headers"]["paypal-request-id"] == "in-the-books"
    assert last["headers"]["authorization"] == "Bearer"


def test_nothing_that_was_answered_is_forgotten_by_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    with paypal_process(tmp_path, receiver) as paypal:
        order_id = paypal.create(order_of(), request_id="kill-order").json["id"]
        paypal.approve(order_id)
        captured = paypal.capture(order_id, request_id="kill-capture")

        paypal.kill()
        paypal.start()

        repeat = paypal.capture(order_id, request_id="kill-capture")
        assert (captured.status, repeat.status) == (201, 200)
        assert capture_of(repeat.json)["id"] == capture_of(captured.json)["id"]
        told = {"CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "CHECKOUT.ORDER.COMPLETED"}
        # One that was delivered and not yet noted when the kill came is delivered again.
        wait_until(lambda: {notice.json["event_type"] for notice in receiver.about(order_id)} == told)


@pytest.mark.timeout(120 + 20 * KILLS)
def test_kills_in_the_middle_of_captures_move_money_once_each(tmp_path: Path, receiver: Receiver) -> None:
    """A shop that repeats each call with its id until it is answered, while the simulator is killed again and again."""
    with paypal_process(tmp_path, receiver) as paypal:
        paypal.call_api("GET", "/v2/checkout/orders/NONE")
        stop = threading.Event()
        finished: list[str] = []
        lost = 0

        def insist(act: Callable[[], Answer]) -> Answer:
            nonlocal lost
            while True:
                try:
                    return act()
                except (*LOST, OSError):
                    lost += 1

        def shop() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                key = f"kills-{number}"
                order_id = insist(lambda key=key: paypal.create(order_of(), request_id=key)).json["id"]  # type: ignore[misc]
                insist(lambda order_id=order_id: paypal.approve(order_id))  # type: ignore[misc]
                insist(lambda order_id=order_id, key=key: paypal.capture(order_id, request_id=key))  # type: ignore[misc]
                finished.append(order_id)

        thread = threading.Thread(target=shop)
        thread.start()
        for _ in range(KILLS):
            target = len(finished) + 2
            wait_until(lambda target=target: len(finished) >= target)  # type: ignore[misc]
            paypal.kill()
            paypal.start()
        stop.set()
        thread.join()

        made = [capture["supplementary_data"]["related_ids"]["order_id"] for capture in paypal.ledger()["captures"]]
        assert lost > 0
        assert sorted(made) == sorted(finished)
        wait_until(lambda: paypal.pending()["pending"] == 0)
        told = {notice.json["resource"]["id"] for notice in receiver.of("PAYMENT.CAPTURE.COMPLETED")}
        assert {capture["id"] for capture in paypal.ledger()["captures"]} <= told


def at_once(count: int, act: Callable[[], Answer]) -> list[Answer]:
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(act())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
