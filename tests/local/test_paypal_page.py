"""The page where a buyer approves or cancels, and the control routes that do what its buttons do."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

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


@pytest.fixture(scope="module")
def shop() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def paypal(shop: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayPalProcess]:
    with paypal_process(tmp_path_factory.mktemp("paypal"), shop) as simulator:
        yield simulator


def press(paypal: PayPalProcess, order_id: str, choice: str, prefix: str = "") -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return paypal.call("POST", f"{prefix}/checkoutnow?token={order_id}", f"choice={choice}".encode(), form)


def test_the_page_says_what_is_paid_to_whom_and_that_it_is_a_simulator(paypal: PayPalProcess) -> None:
    lamps = {"name": "Lamp & shade", "quantity": "2", "unit_amount": money("5.50")}
    request = order_of("10.00", invoice_id="VIT-<1>", items=[lamps])
    request["purchase_units"][0]["amount"]["breakdown"] = {"item_total": money("11.00"), "discount": money("1.00")}
    order_id = paypal.create(request).json["id"]

    page = paypal.call("GET", f"/checkoutnow?token={order_id}")
    text = page.body.decode()

    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Simulator: no money moves here" in text
    assert "10.00 USD" in text
    assert "<td>2 × Lamp &amp; shade</td><td>11.00 USD</td>" in text
    assert "<td>−1.00 USD</td>" in text
    assert "VIT-&lt;1&gt;" in text
    assert re.findall(r"name=choice value=(\w+)", text) == ["completed", "pending", "declined", "cancel"]


@pytest.mark.parametrize("prefix", ["", "/_local/paypal"])
def test_approving_leads_back_to_the_shop_with_token_and_payer(
    paypal: PayPalProcess, shop: Receiver, prefix: str
) -> None:
    order_id = paypal.make_order()
    assert paypal.call("GET", f"{prefix}/checkoutnow?token={order_id}").status == 200

    pressed = press(paypal, order_id, "completed", prefix)

    back = urlsplit(pressed.headers["location"])
    assert pressed.status == 303
    assert f"{back.scheme}://{back.netloc}{back.path}" == "http://shop.example/return"
    query = parse_qs(back.query)
    assert set(query) == {"order", "token", "PayerID"}
    assert query["token"] == [order_id]
    assert re.fullmatch(r"[2-9A-HJ-NP-Z]{13}", query["PayerID"][0])
    assert paypal.call_api("GET", f"/v2/checkout/orders/{order_id}").json["payer"]["payer_id"] == query["PayerID"][0]
    wait_until(lambda: len(shop.about(order_id)) == 1)


@pytest.mark.parametrize(
    ("choice", "status", "outcome"),
    [("completed", 201, "COMPLETED"), ("pending", 201, "PENDING"), ("declined", 422, "")],
)
def test_each_button_decides_how_the_capture_ends(
    paypal: PayPalProcess, choice: str, status: int, outcome: str
) -> None:
    order_id = paypal.make_order()

    press(paypal, order_id, choice)
    captured = paypal.capture(order_id)

    assert captured.status == status
    if outcome:
        assert capture_of(captured.json)["status"] == outcome
    else:
        assert captured.issues == ["INSTRUMENT_DECLINED"]


def test_cancelling_leads_back_and_changes_nothing(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id = paypal.make_order()
    before = paypal.call_api("GET", f"/v2/checkout/orders/{order_id}").json

    pressed = press(paypal, order_id, "cancel")

    assert (pressed.status, pressed.headers["location"]) == (303, f"http://shop.example/cancel?token={order_id}")
    assert paypal.call_api("GET", f"/v2/checkout/orders/{order_id}").json == before
    assert shop.about(order_id) == []


def test_a_finished_payment_is_not_offered_again(paypal: PayPalProcess) -> None:
    order_id, _ = paypal.make_capture()

    assert "finished" in paypal.call("GET", f"/checkoutnow?token={order_id}").body.decode()
    assert press(paypal, order_id, "completed").status == 409
    assert paypal.call("GET", "/checkoutnow?token=NONE").status == 404


def test_an_order_without_a_return_url_ends_on_a_page_of_its_own(paypal: PayPalProcess) -> None:
    request = order_of()
    del request["application_context"]["return_url"]
    order_id = paypal.create(request).json["id"]

    pressed = press(paypal, order_id, "completed")

    assert (pressed.status, "go back to the shop" in pressed.body.decode()) == (200, True)
    assert paypal.capture(order_id).status == 201


def test_the_control_routes_do_what_the_buttons_do(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()

    cancelled = paypal.call("POST", f"/_local/paypal/orders/{order_id}/cancel")
    approved = paypal.approve(order_id, "pending")
    unknown = paypal.approve(order_id, "perhaps")
    missing = paypal.approve("NONE")
    captured = paypal.capture(order_id)
    late = paypal.approve(order_id)

    assert cancelled.json["redirect_url"] == f"http://shop.example/cancel?token={order_id}"
    assert (cancelled.json["status"], approved.json["status"]) == ("CREATED", "APPROVED")
    assert approved.json["redirect_url"].startswith(f"http://shop.example/return?order=1&token={order_id}&PayerID=")
    assert capture_of(captured.json)["status"] == "PENDING"
    assert [answer.status for answer in (unknown, missing, late)] == [422, 404, 409]


def test_the_process_says_that_it_lives(paypal: PayPalProcess) -> None:
    assert paypal.call("GET", "/_local/health").json == {"status": "ok"}
