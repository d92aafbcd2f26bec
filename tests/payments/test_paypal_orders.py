"""The gateway against the simulator, which holds itself to PayPal's published schemas and rules."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.gateways.paypal import PayPal
from shared.gateways.paypal_money import NotPayableByPayPal
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.money import Money
from shared.payments.processor import CaptureFact, RefundFact, Refused
from tests.numbers import PROPERTY_EXAMPLES
from tests.payments.conftest import Simulator, make_request


def _paid(paypal: PayPal, simulator: Simulator) -> CaptureFact:
    opened = paypal.open(make_request())
    simulator.approve(opened.paypal_order_id)
    captured = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())
    assert isinstance(captured, CaptureFact)
    return captured


def test_an_order_is_opened_approved_captured_and_read_back(paypal: PayPal, simulator: Simulator) -> None:
    request = make_request(discount_minor=100, shipping_minor=490, tax_minor=311)

    opened = paypal.open(request)
    waiting = paypal.find_order(opened.paypal_order_id)
    simulator.approve(opened.paypal_order_id)
    approved = paypal.find_order(opened.paypal_order_id)
    captured = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())

    assert opened.status == "PAYER_ACTION_REQUIRED"
    assert opened.paypal_order_id in opened.approve_url
    assert waiting is not None
    assert (waiting.status, waiting.captures) == ("PAYER_ACTION_REQUIRED", ())
    assert approved is not None
    assert approved.status == "APPROVED"
    assert isinstance(captured, CaptureFact)
    assert captured.status == "COMPLETED"
    assert captured.amount == Money(2500 + 999 - 100 + 490 + 311, "USD")
    assert captured.custom_id == str(request.order_id)
    assert captured.invoice_id == f"VIT-{request.number}"
    assert captured.paypal_order_id == opened.paypal_order_id
    assert paypal.find_capture(captured.id) == captured
    done = paypal.find_order(opened.paypal_order_id)
    assert done is not None
    assert (done.status, done.custom_id) == ("COMPLETED", str(request.order_id))
    assert done.captures == (captured,)


def test_an_order_says_where_the_goods_go_and_that_the_buyer_pays_now(paypal: PayPal, simulator: Simulator) -> None:
    request = make_request(name="L" * 130)

    opened = paypal.open(request)

    order = next(
        order for order in simulator.control("/_local/paypal/ledger")["orders"] if order["id"] == opened.paypal_order_id
    )
    unit = order["purchase_units"][0]
    assert order["intent"] == "CAPTURE"
    assert unit["shipping"]["name"] == {"full_name": "Ada Buyer"}
    assert unit["shipping"]["address"] == {
        "address_line_1": "1 Main St", "admin_area_2": "Berlin", "postal_code": "10115", "country_code": "DE",
    }  # fmt: skip
    assert [item["name"] for item in unit["items"]] == ["L" * 127, "L" * 127]
    assert [item["quantity"] for item in unit["items"]] == ["2", "1"]
    assert not any("tax" in item for item in unit["items"])


def test_opening_twice_gives_the_same_order(paypal: PayPal) -> None:
    request = make_request()

    assert paypal.open(request).paypal_order_id == paypal.open(request).paypal_order_id


def test_an_order_that_was_approved_meanwhile_leads_its_buyer_back_to_the_shop(
    paypal: PayPal, simulator: Simulator
) -> None:
    request = make_request()
    opened = paypal.open(request)
    simulator.approve(opened.paypal_order_id)

    again = paypal.open(request)

    assert again.approve_url == f"http://127.0.0.1:8080/checkout/return?order=1&token={opened.paypal_order_id}"


@given(
    currency=st.sampled_from(["USD", "EUR", "JPY", "HUF", "TWD"]),
    lines=st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 99)), min_size=1, max_size=5),
    shipping=st.integers(1, 5000),
    tax=st.integers(0, 5000),
    off=st.integers(0, 100),
)
@settings(
    max_examples=PROPERTY_EXAMPLES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_paypals_own_sums_always_agree(
    paypal: PayPal, currency: str, lines: list[tuple[int, int]], shipping: int, tax: int, off: int
) -> None:
    """ITEM_TOTAL_MISMATCH, TAX_TOTAL_MISMATCH, AMOUNT_MISMATCH and DECIMAL_PRECISION never come back."""
    unit = 100 if currency in ("HUF", "TWD") else 1
    prices = tuple((price * unit, quantity) for price, quantity in lines)
    subtotal = sum(price * quantity for price, quantity in prices)
    request = make_request(
        currency=currency,
        lines=prices,
        shipping_minor=shipping * unit,
        tax_minor=tax * unit,
        discount_minor=subtotal // unit * off // 100 * unit,
    )

    assert paypal.open(request).status == "PAYER_ACTION_REQUIRED"


def test_an_amount_that_paypal_cannot_take_is_never_sent(paypal: PayPal, simulator: Simulator) -> None:
    before = len(simulator.requests("/v2/checkout/orders"))

    with pytest.raises(NotPayableByPayPal):
        paypal.open(make_request(currency="HUF", lines=((125050, 1),)))
    with pytest.raises(NotPayableByPayPal):
        paypal.open(make_request(currency="KWD"))

    assert len(simulator.requests("/v2/checkout/orders")) == before


def test_sums_that_are_wrong_on_our_side_are_our_mistake(paypal: PayPal) -> None:
    request = make_request()
    wrong = replace(request, total_minor=request.total_minor + 1)

    with pytest.raises(ValueError, match="do not make its total"):
        paypal.open(wrong)


def test_an_address_that_paypal_refuses_is_declined(paypal: PayPal) -> None:
    request = make_request()
    wrong = replace(request, address={**request.address, "city": ""})

    with pytest.raises(Declined) as refused:
        paypal.open(wrong)

    assert refused.value.data == {"reason": "CITY_REQUIRED"}


def test_a_capture_is_done_once_per_attempt(paypal: PayPal, simulator: Simulator) -> None:
    opened = paypal.open(make_request())
    simulator.approve(opened.paypal_order_id)
    attempt = uuid4()

    first = paypal.capture(opened.paypal_order_id, attempt_id=attempt)
    again = paypal.capture(opened.paypal_order_id, attempt_id=attempt)

    assert first == again
    calls = simulator.requests(f"/v2/checkout/orders/{opened.paypal_order_id}/capture")
    assert [call["headers"]["paypal-request-id"] for call in calls] == [str(attempt)] * 2


def test_an_order_that_another_attempt_has_captured_answers_its_capture(paypal: PayPal, simulator: Simulator) -> None:
    opened = paypal.open(make_request())
    simulator.approve(opened.paypal_order_id)
    first = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())

    other = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())

    assert other == first


def test_an_order_that_nobody_approved_is_a_refusal_that_its_buyer_can_cure(paypal: PayPal) -> None:
    opened = paypal.open(make_request())

    refused = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())

    assert refused == Refused("ORDER_NOT_APPROVED")


def test_a_declined_card_is_a_refusal_and_another_approval_pays(paypal: PayPal, simulator: Simulator) -> None:
    opened = paypal.open(make_request())
    simulator.approve(opened.paypal_order_id, "declined")

    refused = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())
    simulator.approve(opened.paypal_order_id)
    captured = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())

    assert refused == Refused("INSTRUMENT_DECLINED")
    assert isinstance(captured, CaptureFact)
    assert captured.status == "COMPLETED"


def test_a_pending_capture_is_a_fact(paypal: PayPal, simulator: Simulator) -> None:
    opened = paypal.open(make_request())
    simulator.approve(opened.paypal_order_id, "pending")

    captured = paypal.capture(opened.paypal_order_id, attempt_id=uuid4())

    assert isinstance(captured, CaptureFact)
    assert captured.status == "PENDING"


def test_an_order_that_does_not_exist_is_refused_and_not_found(paypal: PayPal) -> None:
    refused = paypal.capture("5O190127TN364715T", attempt_id=uuid4())

    assert refused == Refused("INVALID_RESOURCE_ID")
    assert paypal.find_order("5O190127TN364715T") is None
    assert paypal.find_capture("5O190127TN364715T") is None
    assert paypal.find_refund("5O190127TN364715T") is None
    assert paypal.find_dispute("PP-000-000-000-000") is None


def test_a_refund_is_done_once_and_names_our_own_row(paypal: PayPal, simulator: Simulator) -> None:
    captured = _paid(paypal, simulator)
    refund_id = UUID("0f3a1c52-6ac1-4bd1-9d1f-2d3c9a1f2b3c")

    def ask() -> RefundFact | Refused:
        return paypal.refund(
            captured.id, refund_id=refund_id, amount=Money(999, "USD"), number="7Z2K9Q4M1X", note="One lamp came back."
        )

    first, again = ask(), ask()

    assert isinstance(first, RefundFact)
    assert again == first
    assert (first.capture_id, first.status, first.amount) == (captured.id, "COMPLETED", Money(999, "USD"))
    assert (first.custom_id, first.reversal) == (str(refund_id), False)
    assert paypal.find_refund(first.id) == first
    order = paypal.find_order(captured.paypal_order_id or "")
    assert order is not None
    assert [capture.status for capture in order.captures] == ["PARTIALLY_REFUNDED"]
    assert order.refunds == (first,)


def test_a_refund_of_more_than_is_left_is_refused(paypal: PayPal, simulator: Simulator) -> None:
    captured = _paid(paypal, simulator)

    refused = paypal.refund(
        captured.id, refund_id=uuid4(), amount=Money(3500, "USD"), number="7Z2K9Q4M1X", note="too much"
    )

    assert refused == Refused("REFUND_AMOUNT_EXCEEDED")


def test_a_reversal_is_told_from_a_refund(paypal: PayPal, simulator: Simulator) -> None:
    captured = _paid(paypal, simulator)
    simulator.happen(
        "PAYMENT.CAPTURE.REVERSED",
        {
            "amount": {"currency_code": "USD", "value": "34.99"},
            "links": [{"rel": "up", "href": f"{simulator.url}/v2/payments/captures/{captured.id}", "method": "GET"}],
        },
    )

    order = paypal.find_order(captured.paypal_order_id or "")

    assert order is not None
    assert [(refund.reversal, refund.amount, refund.custom_id) for refund in order.refunds] == [
        (True, Money(3499, "USD"), None)
    ]


def test_a_dispute_names_its_capture_and_how_it_ended(paypal: PayPal, simulator: Simulator) -> None:
    captured = _paid(paypal, simulator)
    opened = simulator.happen(
        "CUSTOMER.DISPUTE.CREATED", {"disputed_transactions": [{"seller_transaction_id": captured.id}]}
    )
    dispute_id = opened["resource"]["dispute_id"]

    first = paypal.find_dispute(dispute_id)
    simulator.happen(
        "CUSTOMER.DISPUTE.RESOLVED",
        {"dispute_id": dispute_id, "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"}},
    )
    second = paypal.find_dispute(dispute_id)

    assert first is not None
    assert (first.status, first.outcome, first.capture_ids) == ("OPEN", None, (captured.id,))
    assert first.amount == Money(3499, "USD")
    assert second is not None
    assert (second.status, second.outcome) == ("RESOLVED", "RESOLVED_SELLER_FAVOUR")
    assert second.update_time > first.update_time


# Answers that get lost: it was done, and the same id asks what became of it ------------------------------------------


@pytest.fixture
def lose_answers(simulator: Simulator) -> Iterator[Callable[[str], None]]:
    """The next call of a path is done, and its connection closed without a word."""

    def lose(path: str) -> None:
        simulator.faults.add("paypal", "timeout_after_effect", path=path)

    yield lose
    fired = [fault["fired"] for fault in simulator.faults.list()]
    simulator.faults.clear()
    assert set(fired) == {1}


def test_an_order_whose_answer_was_lost_is_the_same_order(
    paypal: PayPal, simulator: Simulator, lose_answers: Callable[[str], None]
) -> None:
    request = make_request()
    lose_answers("/v2/checkout/orders")

    with pytest.raises(Unavailable):
        paypal.open(request)
    opened = paypal.open(request)

    orders = simulator.control("/_local/paypal/ledger")["orders"]
    mine = [order["id"] for order in orders if order["purchase_units"][0].get("custom_id") == str(request.order_id)]
    assert mine == [opened.paypal_order_id]


def test_a_capture_whose_answer_was_lost_is_the_same_capture(
    paypal: PayPal, simulator: Simulator, lose_answers: Callable[[str], None]
) -> None:
    opened = paypal.open(make_request())
    simulator.approve(opened.paypal_order_id)
    attempt = uuid4()
    lose_answers(f"/v2/checkout/orders/{opened.paypal_order_id}/capture")

    with pytest.raises(Unavailable):
        paypal.capture(opened.paypal_order_id, attempt_id=attempt)
    order = paypal.find_order(opened.paypal_order_id)
    again = paypal.capture(opened.paypal_order_id, attempt_id=attempt)

    assert order is not None
    assert order.captures == (again,)


def test_a_refund_whose_answer_was_lost_is_the_same_refund(
    paypal: PayPal, simulator: Simulator, lose_answers: Callable[[str], None]
) -> None:
    captured = _paid(paypal, simulator)
    refund_id = uuid4()
    lose_answers(f"/v2/payments/captures/{captured.id}/refund")

    def ask() -> RefundFact | Refused:
        return paypal.refund(captured.id, refund_id=refund_id, amount=Money(100, "USD"), number="7Z2K9Q4M1X", note="")

    with pytest.raises(Unavailable):
        ask()
    again = ask()

    order = paypal.find_order(captured.paypal_order_id or "")
    assert order is not None
    assert order.refunds == (again,)
