"""Orders v2 and payments v2 of the PayPal simulator, as a shop meets them over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.paypal.issues import REFUND_REFUSALS
from tests.local.vendor_processes import (
    ORDERS_V2,
    PAYMENTS_V2,
    Answer,
    Contract,
    PayPalProcess,
    Receiver,
    capture_of,
    money,
    order_of,
    paypal_process,
)

ORDERS = "/v2/checkout/orders"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def paypal(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayPalProcess]:
    with paypal_process(tmp_path_factory.mktemp("paypal"), receiver) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def orders_contract() -> Contract:
    return Contract(ORDERS_V2)


@pytest.fixture(scope="session")
def payments_contract() -> Contract:
    return Contract(PAYMENTS_V2)


def with_items() -> dict[str, Any]:
    """Two of 5.00 and one of 2.50, tax 0.99, shipping 4.00, discount 1.00: 16.49."""
    amount: dict[str, Any] = {
        **money("16.49"),
        "breakdown": {
            "item_total": money("12.50"),
            "tax_total": money("0.99"),
            "shipping": money("4.00"),
            "discount": money("1.00"),
        },
    }
    return {
        "intent": "CAPTURE",
        "purchase_units": [
            {
                "custom_id": "order-1",
                "invoice_id": "VIT-1",
                "amount": amount,
                "items": [
                    {"name": "Lamp", "sku": "LAMP", "quantity": "2", "unit_amount": money("5")},
                    {"name": "Bulb", "sku": "BULB", "quantity": "1", "unit_amount": money("2.5")},
                ],
                "shipping": {
                    "name": {"full_name": "Ada Byron"},
                    "address": {
                        "address_line_1": "1 Main St",
                        "admin_area_2": "Boston",
                        "admin_area_1": "MA",
                        "postal_code": "02101",
                        "country_code": "US",
                    },
                },
            }
        ],
        "payment_source": {
            "paypal": {
                "experience_context": {
                    "shipping_preference": "SET_PROVIDED_ADDRESS",
                    "user_action": "PAY_NOW",
                    "return_url": "https://shop.example/return",
                    "cancel_url": "https://shop.example/cancel",
                }
            }
        },
    }


def test_a_purchase_keeps_to_the_published_schemas_from_create_to_refund(
    paypal: PayPalProcess, orders_contract: Contract, payments_contract: Contract
) -> None:
    request = with_items()

    created = paypal.create(request, request_id="life-create")
    order_id = created.json["id"]
    paypal.approve(order_id)
    approved = paypal.call_api("GET", f"{ORDERS}/{order_id}")
    captured = paypal.capture(order_id, request_id="life-capture")
    capture_id = capture_of(captured.json)["id"]
    read_back = paypal.call_api("GET", f"/v2/payments/captures/{capture_id}")
    refunded = paypal.refund(capture_id, {"amount": money("6.49"), "note_to_payer": "Broken"}, request_id="life-refund")
    refund_id = refunded.json["id"]
    refund_read = paypal.call_api("GET", f"/v2/payments/refunds/{refund_id}")
    finally_ = paypal.call_api("GET", f"{ORDERS}/{order_id}")

    orders_contract.check(created, "POST", ORDERS)
    orders_contract.check(approved, "GET", f"{ORDERS}/{{id}}")
    orders_contract.check(captured, "POST", f"{ORDERS}/{{id}}/capture")
    orders_contract.check(finally_, "GET", f"{ORDERS}/{{id}}")
    payments_contract.check(read_back, "GET", "/v2/payments/captures/{capture_id}")
    payments_contract.check(refunded, "POST", "/v2/payments/captures/{capture_id}/refund")
    payments_contract.check(refund_read, "GET", "/v2/payments/refunds/{refund_id}")
    assert [answer.status for answer in (created, captured, refunded)] == [201, 201, 201]
    assert [answer.json["status"] for answer in (created, approved, captured)] == [
        "PAYER_ACTION_REQUIRED",
        "APPROVED",
        "COMPLETED",
    ]
    made = read_back.json
    assert (made["status"], made["amount"]) == ("COMPLETED", money("16.49"))
    assert (made["custom_id"], made["invoice_id"]) == ("order-1", "VIT-1")
    assert made["final_capture"] is True
    assert made["supplementary_data"] == {"related_ids": {"order_id": order_id}}
    assert made["seller_receivable_breakdown"]["gross_amount"] == money("16.49")
    up = [link["href"] for link in made["links"] if link["rel"] == "up"]
    assert up == [f"{paypal.url}{ORDERS}/{order_id}"]
    assert refund_read.json["amount"] == money("6.49")
    assert refund_read.json["note_to_payer"] == "Broken"
    assert [link["href"] for link in refund_read.json["links"] if link["rel"] == "up"] == [
        f"{paypal.url}/v2/payments/captures/{capture_id}"
    ]
    payments = finally_.json["purchase_units"][0]["payments"]
    assert payments["captures"][0]["status"] == "PARTIALLY_REFUNDED"
    assert [refund["id"] for refund in payments["refunds"]] == [refund_id]


def test_the_default_answer_is_an_id_a_status_and_links(paypal: PayPalProcess, orders_contract: Contract) -> None:
    created = paypal.create(order_of(), full=False)
    paypal.approve(created.json["id"])
    captured = paypal.capture(created.json["id"], full=False)

    orders_contract.check(created, "POST", ORDERS)
    assert set(created.json) == {"id", "status", "links"}
    assert {link["rel"] for link in created.json["links"]} == {"self", "approve", "update", "capture"}
    assert captured.json["status"] == "COMPLETED"
    assert "purchase_units" not in captured.json


def test_the_buyers_link_is_named_by_how_the_order_was_made(paypal: PayPalProcess) -> None:
    plain = paypal.create(order_of()).json
    sourced = paypal.create(with_items(), request_id="link-name").json

    links = {link["rel"]: link["href"] for link in plain["links"] + sourced["links"]}
    assert links["approve"] == f"http://shop.example:1/checkoutnow?token={plain['id']}"
    assert links["payer-action"] == f"http://shop.example:1/checkoutnow?token={sourced['id']}"


@pytest.mark.parametrize(
    ("client", "grant", "status", "error"),
    [
        ("client:wrong", b"grant_type=client_credentials", 401, "invalid_client"),
        ("other:secret", b"grant_type=client_credentials", 401, "invalid_client"),
        ("client:secret", b"grant_type=password", 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_get_no_token(
    paypal: PayPalProcess, client: str, grant: bytes, status: int, error: str
) -> None:
    answer = paypal.sign_in(client, grant)

    assert (answer.status, answer.json["error"]) == (status, error)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic Y2xpZW50"}])
def test_no_call_is_answered_without_a_token(
    paypal: PayPalProcess, orders_contract: Contract, header: dict[str, str]
) -> None:
    before = len(paypal.ledger()["orders"])

    answer = paypal.call("POST", ORDERS, order_of(), header)

    orders_contract.check(answer, "POST", ORDERS)
    assert (answer.status, answer.json["name"]) == (401, "AUTHENTICATION_FAILURE")
    assert len(paypal.ledger()["orders"]) == before


def refused(answer: Answer) -> tuple[int, list[str], list[str]]:
    return answer.status, answer.issues, answer.fields


@pytest.mark.parametrize(
    ("change", "issue", "field"),
    [
        ({"amount": money("16.48")}, "AMOUNT_MISMATCH", "amount/value"),
        ({"item_total": money("12.49")}, "ITEM_TOTAL_MISMATCH", "amount/breakdown/item_total/value"),
        ({"item_total": None}, "ITEM_TOTAL_REQUIRED", "amount/breakdown/item_total"),
        ({"tax": money("0.50")}, "TAX_TOTAL_MISMATCH", "amount/breakdown/tax_total/value"),
        ({"tax": money("0.50"), "tax_total": None}, "TAX_TOTAL_REQUIRED", "amount/breakdown/tax_total"),
        ({"amount": money("16.490001")}, "DECIMAL_PRECISION", "amount/value"),
        ({"amount": money("16.49", "KWD")}, "INVALID_CURRENCY_CODE", "amount/currency_code"),
        ({"shipping": money("4.00", "EUR")}, "MULTI_CURRENCY_ORDER", "amount/currency_code"),
        ({"discount": money("-1.00")}, "CANNOT_BE_NEGATIVE", "amount/breakdown/discount/value"),
        ({"amount": money("0.00")}, "CANNOT_BE_ZERO_OR_NEGATIVE", "amount/value"),
        ({"amount": money("9999999999999999.00")}, "MAX_VALUE_EXCEEDED", "amount/value"),
        ({"postal_code": None}, "POSTAL_CODE_REQUIRED", "shipping/address/postal_code"),
        ({"city": None}, "CITY_REQUIRED", "shipping/address/admin_area_2"),
    ],
)
def test_sums_and_currencies_that_paypal_refuses_are_refused(
    paypal: PayPalProcess, orders_contract: Contract, change: dict[str, Any], issue: str, field: str
) -> None:
    request = with_items()
    unit = request["purchase_units"][0]
    for name, value in change.items():
        if name == "amount":
            unit["amount"].update(value)
        elif name == "tax":
            unit["items"][0]["tax"] = value
        elif name in ("postal_code", "city"):
            del unit["shipping"]["address"]["admin_area_2" if name == "city" else name]
        elif value is None:
            del unit["amount"]["breakdown"][name]
        else:
            unit["amount"]["breakdown"][name] = value
    before = len(paypal.ledger()["orders"])

    answer = paypal.create(request, request_id=f"refused-{issue}")

    orders_contract.check(answer, "POST", ORDERS)
    assert refused(answer) == (422, [issue], [f"/purchase_units/@reference_id=='default'/{field}"])
    assert len(paypal.ledger()["orders"]) == before


@pytest.mark.parametrize("currency", ["JPY", "HUF", "TWD"])
def test_currencies_without_decimals_take_none(paypal: PayPalProcess, currency: str) -> None:
    refusal = paypal.create(order_of("1000.5", currency))
    whole = paypal.create(order_of("1000.00", currency))

    assert (refusal.status, refusal.issues) == (422, ["DECIMAL_PRECISION"])
    assert whole.json["purchase_units"][0]["amount"] == money("1000", currency)


@pytest.mark.parametrize(
    ("change", "issue", "field"),
    [
        ({"intent": None}, "MISSING_REQUIRED_PARAMETER", "/intent"),
        ({"intent": "SELL"}, "INVALID_PARAMETER_VALUE", "/intent"),
        ({"purchase_units": None}, "MISSING_REQUIRED_PARAMETER", "/purchase_units"),
        ({"purchase_units": []}, "INVALID_ARRAY_MIN_ITEMS", "/purchase_units"),
        ({"purchase_units": [{}]}, "MISSING_REQUIRED_PARAMETER", "/purchase_units/0/amount"),
        ({"custom_id": "x" * 128}, "INVALID_STRING_LENGTH", "/purchase_units/0/custom_id"),
        ({"invoice_id": "x" * 128}, "INVALID_STRING_LENGTH", "/purchase_units/0/invoice_id"),
        ({"amount": {"value": "1.00"}}, "MISSING_REQUIRED_PARAMETER", "/purchase_units/0/amount/currency_code"),
        ({"amount": money("1,00")}, "INVALID_PARAMETER_SYNTAX", "/purchase_units/0/amount/value"),
        (
            {"items": [{"name": "a", "quantity": "0", "unit_amount": money("1")}]},
            "INVALID_PARAMETER_SYNTAX",
            "/purchase_units/0/items/0/quantity",
        ),
        (
            {"items": [{"name": "x" * 128, "quantity": "1", "unit_amount": money("1")}]},
            "INVALID_STRING_LENGTH",
            "/purchase_units/0/items/0/name",
        ),
        (
            {"shipping": {"address": {"address_line_1": "1 Main St"}}},
            "MISSING_REQUIRED_PARAMETER",
            "/purchase_units/0/shipping/address/country_code",
        ),
    ],
)
def test_what_does_not_fit_the_schema_is_a_400_that_names_the_field(
    paypal: PayPalProcess, orders_contract: Contract, change: dict[str, Any], issue: str, field: str
) -> None:
    request = order_of()
    for name, value in change.items():
        holder = request if name in ("intent", "purchase_units") else request["purchase_units"][0]
        holder[name] = value

    answer = paypal.create(request)

    orders_contract.check(answer, "POST", ORDERS)
    assert refused(answer) == (400, [issue], [field])


def test_a_body_that_is_no_json_is_a_400(paypal: PayPalProcess, orders_contract: Contract) -> None:
    answer = paypal.create(b"{nonsense")

    orders_contract.check(answer, "POST", ORDERS)
    assert (answer.status, answer.issues) == (400, ["MALFORMED_REQUEST_JSON"])


def test_text_that_no_store_could_keep_is_a_400(paypal: PayPalProcess) -> None:
    answer = paypal.create(json.dumps(order_of(custom_id="\ud800")).encode())

    assert (answer.status, answer.issues) == (400, ["MALFORMED_REQUEST_JSON"])


def test_a_payment_source_needs_a_request_id(paypal: PayPalProcess) -> None:
    answer = paypal.create(with_items())

    assert (answer.status, answer.issues) == (400, ["PAYPAL_REQUEST_ID_REQUIRED"])


def test_an_order_is_captured_only_after_its_approval_and_only_once(
    paypal: PayPalProcess, orders_contract: Contract
) -> None:
    order_id = paypal.make_order()

    early = paypal.capture(order_id)
    paypal.approve(order_id)
    first, second = paypal.capture(order_id), paypal.capture(order_id)

    orders_contract.check(early, "POST", f"{ORDERS}/{{id}}/capture")
    orders_contract.check(second, "POST", f"{ORDERS}/{{id}}/capture")
    assert (early.status, early.issues) == (422, ["ORDER_NOT_APPROVED"])
    assert first.status == 201
    assert (second.status, second.issues) == (422, ["ORDER_ALREADY_CAPTURED"])
    assert len([made for made in paypal.ledger()["captures"] if _order_of(made) == order_id]) == 1


def test_a_declined_payment_leaves_the_order_approvable(
    paypal: PayPalProcess, receiver: Receiver, orders_contract: Contract
) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id, "declined")

    declined = paypal.capture(order_id)
    after = paypal.call_api("GET", f"{ORDERS}/{order_id}").json
    paypal.approve(order_id)
    again = paypal.call_api("GET", f"{ORDERS}/{order_id}").json
    captured = paypal.capture(order_id)

    orders_contract.check(declined, "POST", f"{ORDERS}/{{id}}/capture")
    assert (declined.status, declined.issues) == (422, ["INSTRUMENT_DECLINED"])
    redirects = [link["href"] for link in declined.json["links"] if link["rel"] == "redirect"]
    assert redirects == [f"http://shop.example:1/checkoutnow?token={order_id}"]
    assert (after["status"], again["status"]) == ("APPROVED", "APPROVED")
    assert after["update_time"] < again["update_time"]
    assert captured.status == 201
    assert capture_of(captured.json)["status"] == "COMPLETED"


def test_a_pending_capture_says_why_and_shows_no_receivable(paypal: PayPalProcess, payments_contract: Contract) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id, "pending")

    made = capture_of(paypal.capture(order_id).json)
    read_back = paypal.call_api("GET", f"/v2/payments/captures/{made['id']}")

    payments_contract.check(read_back, "GET", "/v2/payments/captures/{capture_id}")
    assert (made["status"], made["status_details"]) == ("PENDING", {"reason": "PENDING_REVIEW"})
    assert "seller_receivable_breakdown" not in made


def test_an_invoice_number_is_paid_once(paypal: PayPalProcess, orders_contract: Contract) -> None:
    paypal.make_capture(invoice_id="VIT-TWICE")
    second = paypal.make_order(invoice_id="VIT-TWICE")
    paypal.approve(second)

    answer = paypal.capture(second)

    orders_contract.check(answer, "POST", f"{ORDERS}/{{id}}/capture")
    assert (answer.status, answer.issues) == (422, ["DUPLICATE_INVOICE_ID"])


def test_the_buyer_of_get_from_file_ships_to_another_address(paypal: PayPalProcess) -> None:
    address = {"address_line_1": "1 Main St", "admin_area_2": "Boston", "postal_code": "02101", "country_code": "US"}
    request = order_of(shipping={"address": address})
    del request["application_context"]["shipping_preference"]
    order_id = paypal.create(request).json["id"]

    paypal.approve(order_id)

    shipping = paypal.call_api("GET", f"{ORDERS}/{order_id}").json["purchase_units"][0]["shipping"]
    assert shipping["address"]["address_line_1"] == "2211 N First Street"


def test_an_order_is_patched_whole_or_not_at_all(paypal: PayPalProcess, orders_contract: Contract) -> None:
    order_id = paypal.make_order("10.00", custom_id="before")
    unit = "/purchase_units/@reference_id=='default'"
    bad = [
        {"op": "replace", "path": f"{unit}/custom_id", "value": "after"},
        {
            "op": "replace",
            "path": f"{unit}/amount",
            "value": {**money("9.00"), "breakdown": {"item_total": money("8")}},
        },
    ]

    refusal = paypal.call_api("PATCH", f"{ORDERS}/{order_id}", bad)
    good = paypal.call_api(
        "PATCH", f"{ORDERS}/{order_id}", [bad[0], {"op": "replace", "path": f"{unit}/amount", "value": money("9")}]
    )

    orders_contract.check(refusal, "PATCH", f"{ORDERS}/{{id}}")
    assert (refusal.status, refusal.issues) == (422, ["AMOUNT_MISMATCH"])
    assert good.status == 204
    shown = paypal.call_api("GET", f"{ORDERS}/{order_id}").json["purchase_units"][0]
    assert (shown["custom_id"], shown["amount"]) == ("after", money("9.00"))


def test_paypal_takes_a_tracking_number_for_a_captured_order(paypal: PayPalProcess, orders_contract: Contract) -> None:
    order_id, capture_id = paypal.make_capture()
    tracker = {"capture_id": capture_id, "tracking_number": "1Z999", "carrier": "UPS", "notify_payer": False}

    tracked = paypal.call_api("POST", f"{ORDERS}/{order_id}/track", tracker)
    unknown = paypal.call_api("POST", f"{ORDERS}/{order_id}/track", {**tracker, "capture_id": "NONE"})

    orders_contract.check(tracked, "POST", f"{ORDERS}/{{id}}/track")
    assert tracked.status == 201
    [shown] = tracked.json["purchase_units"][0]["shipping"]["trackers"]
    assert shown["id"] == f"{capture_id}-1Z999"
    assert (unknown.status, unknown.issues) == (422, ["CAPTURE_ID_NOT_FOUND"])


def test_refunds_never_exceed_what_was_captured(paypal: PayPalProcess, payments_contract: Contract) -> None:
    _, capture_id = paypal.make_capture("10.00")

    first = paypal.refund(capture_id, {"amount": money("4.00"), "custom_id": "r1", "invoice_id": "VIT-R1"})
    too_much = paypal.refund(capture_id, {"amount": money("6.01")})
    rest = paypal.refund(capture_id)
    nothing_left = paypal.refund(capture_id)

    payments_contract.check(too_much, "POST", "/v2/payments/captures/{capture_id}/refund")
    payments_contract.check(nothing_left, "POST", "/v2/payments/captures/{capture_id}/refund")
    assert (first.json["custom_id"], first.json["invoice_id"]) == ("r1", "VIT-R1")
    assert (too_much.status, too_much.issues) == (422, ["REFUND_AMOUNT_EXCEEDED"])
    assert rest.json["amount"] == money("6.00")
    assert rest.json["seller_payable_breakdown"]["total_refunded_amount"] == money("10.00")
    assert (nothing_left.status, nothing_left.issues) == (422, ["CAPTURE_FULLY_REFUNDED"])
    assert paypal.call_api("GET", f"/v2/payments/captures/{capture_id}").json["status"] == "REFUNDED"


@pytest.mark.parametrize(
    ("amount", "issue"),
    [
        (money("1.00", "EUR"), "REFUND_CAPTURE_CURRENCY_MISMATCH"),
        (money("0.00"), "CANNOT_BE_ZERO_OR_NEGATIVE"),
        (money("1.001"), "DECIMAL_PRECISION"),
    ],
)
def test_a_refund_in_another_form_of_money_is_refused(
    paypal: PayPalProcess, payments_contract: Contract, amount: dict[str, str], issue: str
) -> None:
    _, capture_id = paypal.make_capture()

    answer = paypal.refund(capture_id, {"amount": amount})

    payments_contract.check(answer, "POST", "/v2/payments/captures/{capture_id}/refund")
    assert (answer.status, answer.issues) == (422, [issue])


def test_an_invoice_number_is_refunded_once(paypal: PayPalProcess, payments_contract: Contract) -> None:
    _, capture_id = paypal.make_capture()
    asked = {"amount": money("1.00"), "invoice_id": "VIT-REFUND"}

    first, second = paypal.refund(capture_id, asked), paypal.refund(capture_id, asked)

    payments_contract.check(second, "POST", "/v2/payments/captures/{capture_id}/refund")
    assert (first.status, second.status, second.issues) == (201, 422, ["DUPLICATE_INVOICE_ID"])


def test_pending_and_declined_captures_are_not_refunded(paypal: PayPalProcess) -> None:
    issues = []
    for outcome in ("pending", "denied"):
        order_id = paypal.make_order()
        paypal.approve(order_id, outcome)
        made = capture_of(paypal.capture(order_id).json)
        issues += paypal.refund(made["id"]).issues

    assert issues == ["PENDING_CAPTURE", "REFUND_NOT_ALLOWED"]


@pytest.mark.parametrize("issue", sorted(REFUND_REFUSALS))
def test_the_control_surface_has_the_next_refund_refused_as_paypal_refuses_it(
    paypal: PayPalProcess, payments_contract: Contract, issue: str
) -> None:
    _, capture_id = paypal.make_capture("10.00")
    control = f"/_local/paypal/captures/{capture_id}/refunds"

    asked = paypal.call("POST", control, {"next": issue, "count": 2})
    refused = [paypal.refund(capture_id, request_id=f"refund-{issue}") for _ in range(2)]
    given = paypal.refund(capture_id, request_id=f"refund-{issue}")

    assert asked.status == 200
    for answer in refused:
        payments_contract.check(answer, "POST", "/v2/payments/captures/{capture_id}/refund")
        assert (answer.status, answer.issues) == (422, [issue])
    assert (given.status, given.json["amount"]) == (201, money("10.00"))


def test_the_control_surface_has_the_next_refund_wait(paypal: PayPalProcess) -> None:
    _, capture_id = paypal.make_capture("10.00")
    control = f"/_local/paypal/captures/{capture_id}/refunds"
    paypal.call("POST", control, {"next": "pending"})

    first, second = paypal.refund(capture_id, {"amount": money("1.00")}), paypal.refund(capture_id)
    unknown = paypal.call("POST", control, {"next": "A_WORD_OF_OURS"})
    nowhere = paypal.call("POST", "/_local/paypal/captures/NONE/refunds", {"next": "pending"})

    assert [
        paypal.call_api("GET", f"/v2/payments/refunds/{made.json['id']}").json["status"] for made in (first, second)
    ] == ["PENDING", "COMPLETED"]
    assert (unknown.status, nowhere.status) == (422, 404)


def test_a_refund_half_a_year_later_is_refused(paypal: PayPalProcess) -> None:
    _, capture_id = paypal.make_capture()

    paypal.clock.advance(181 * 24 * 3600)

    assert paypal.refund(capture_id).issues == ["REFUND_TIME_LIMIT_EXCEEDED"]


@pytest.mark.parametrize(
    "path",
    [f"{ORDERS}/NONE", "/v2/payments/captures/NONE", "/v2/payments/refunds/NONE", "/v1/customer/disputes/NONE"],
)
def test_what_does_not_exist_is_a_404(paypal: PayPalProcess, path: str) -> None:
    answer = paypal.call_api("GET", path)

    assert (answer.status, answer.json["name"], answer.issues) == (404, "RESOURCE_NOT_FOUND", ["INVALID_RESOURCE_ID"])


def _order_of(capture: dict[str, dict[str, dict[str, str]]]) -> str:
    return capture["supplementary_data"]["related_ids"]["order_id"]
