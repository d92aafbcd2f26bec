"""The PayPal simulator's webhooks: what it tells, how it signs, how it delivers, and what PayPal does by itself."""

import json
import zlib
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.local.vendor_processes import (
    DISPUTES_V1,
    ORDERS_V2,
    PAYMENTS_V2,
    WEBHOOKS_V1,
    Contract,
    Notice,
    PayPalProcess,
    Receiver,
    capture_of,
    money,
    paypal_process,
    wait_until,
)

CAPTURED = "PAYMENT.CAPTURE.COMPLETED"
HOOK = "/v1/webhooks/paypal"


@pytest.fixture(scope="module")
def shop() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def process(shop: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayPalProcess]:
    with paypal_process(tmp_path_factory.mktemp("paypal"), shop) as simulator:
        yield simulator


@pytest.fixture
def paypal(process: PayPalProcess, shop: Receiver) -> Iterator[PayPalProcess]:
    yield process
    asked = process.faults.list()
    process.faults.clear()
    process.call("POST", "/_local/retry-now")
    wait_until(lambda: process.pending()["pending"] == 0)
    assert shop.statuses == []
    assert all(fault["fired"] for fault in asked), "a fault was asked for and never fired"


def settle(paypal: PayPalProcess) -> None:
    wait_until(lambda: paypal.pending()["pending"] == 0)


def hurry(paypal: PayPalProcess) -> None:
    """Settle without waiting out the pauses between attempts."""
    while paypal.pending()["pending"]:
        paypal.call("POST", "/_local/retry-now")


def verify(paypal: PayPalProcess, notice: Notice, webhook_id: str = "WEBHOOK1") -> None:
    """A receiver's verification, written from PayPal's documents alone. Raises where it does not hold."""
    headers = notice.headers
    assert headers["paypal-auth-algo"] == "SHA256withRSA"
    url = headers["paypal-cert-url"]
    assert url.startswith(f"{paypal.url}/v1/notifications/certs/")
    leaf = x509.load_pem_x509_certificate(paypal.call("GET", url.removeprefix(paypal.url)).body)
    [name] = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "messageverificationcerts.sandbox.paypal.com"
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    [issuer] = [place for place in access if place.access_method == AuthorityInformationAccessOID.CA_ISSUERS]
    issuer_url = issuer.access_location.value
    assert issuer_url.startswith(paypal.url)
    intermediate = x509.load_der_x509_certificate(paypal.call("GET", issuer_url.removeprefix(paypal.url)).body)
    roots = x509.load_pem_x509_certificates((paypal.folder / "state" / "roots.pem").read_bytes())
    sent_at = datetime.fromisoformat(headers["paypal-transmission-time"])
    verifier = PolicyBuilder().store(Store(roots)).time(sent_at.astimezone(UTC).replace(tzinfo=None))
    verifier.build_server_verifier(x509.DNSName(str(name.value))).verify(leaf, [intermediate])
    parts = (headers["paypal-transmission-id"], headers["paypal-transmission-time"], webhook_id)
    message = "|".join((*parts, str(zlib.crc32(notice.body)))).encode()
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(b64decode(headers["paypal-transmission-sig"]), message, padding.PKCS1v15(), hashes.SHA256())


def test_a_purchase_is_told_by_three_events_in_the_published_form(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id, capture_id = paypal.make_capture("12.34", custom_id="order-7", invoice_id="VIT-7")
    settle(paypal)

    notices = {notice.json["event_type"]: notice.json for notice in shop.about(order_id)}
    assert set(notices) == {"CHECKOUT.ORDER.APPROVED", CAPTURED, "CHECKOUT.ORDER.COMPLETED"}
    events = Contract(WEBHOOKS_V1)
    orders = Contract(ORDERS_V2)
    payments = Contract(PAYMENTS_V2)
    for event in notices.values():
        events.check_schema(event, "event")
    orders.check_schema(notices["CHECKOUT.ORDER.APPROVED"]["resource"], "order")
    orders.check_schema(notices["CHECKOUT.ORDER.COMPLETED"]["resource"], "order")
    payments.check_schema(notices[CAPTURED]["resource"], "capture-2")
    resource = notices[CAPTURED]["resource"]
    assert (resource["id"], resource["status"], resource["amount"]) == (capture_id, "COMPLETED", money("12.34"))
    assert (resource["custom_id"], resource["invoice_id"]) == ("order-7", "VIT-7")
    assert resource["supplementary_data"]["related_ids"]["order_id"] == order_id


def test_every_transmission_verifies_and_a_changed_byte_does_not(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id, _ = paypal.make_capture()
    settle(paypal)

    for notice in shop.about(order_id):
        verify(paypal, notice)
        for at in (0, len(notice.body) // 2, len(notice.body) - 1):
            changed = notice.body[:at] + bytes([notice.body[at] ^ 1]) + notice.body[at + 1 :]
            with pytest.raises(InvalidSignature):
                verify(paypal, Notice(notice.headers, changed))
        with pytest.raises(InvalidSignature):
            verify(paypal, notice, webhook_id="WEBHOOK_ID")
        with pytest.raises(InvalidSignature):
            verify(paypal, Notice({**notice.headers, "paypal-transmission-id": "other"}, notice.body))


def test_certificates_span_years_of_the_clock(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id)
    settle(paypal)

    [notice] = shop.about(order_id)
    name = notice.headers["paypal-cert-url"].removeprefix(paypal.url)
    leaf = x509.load_pem_x509_certificate(paypal.call("GET", name).body)
    sent_at = datetime.fromisoformat(notice.headers["paypal-transmission-time"])
    assert leaf.not_valid_after_utc - sent_at > timedelta(days=9 * 365)
    assert sent_at - leaf.not_valid_before_utc >= timedelta(hours=23)


def test_the_leaf_alone_is_served_as_pem(paypal: PayPalProcess) -> None:
    transmission = paypal.happen("CHECKOUT.ORDER.APPROVED", {"id": paypal.make_order()}).json["transmission"]

    answer = paypal.call("GET", transmission["headers"]["PayPal-Cert-Url"].removeprefix(paypal.url))

    assert answer.headers["content-type"] == "application/x-pem-file"
    assert answer.body.count(b"BEGIN CERTIFICATE") == 1
    assert paypal.call("GET", "/v1/notifications/certs/CERT-0-0-0").status == 404
    assert paypal.call("GET", "/v1/notifications/certs/..%2Fleaf.key").status == 404


def test_the_postback_verifies_the_event_as_it_was_written(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id)
    settle(paypal)
    [notice] = shop.about(order_id)
    names = {name: notice.headers[f"paypal-{name.replace('_', '-')}"] for name in ("auth_algo", "cert_url")}
    names |= {f"transmission_{name}": notice.headers[f"paypal-transmission-{name}"] for name in ("id", "sig", "time")}
    start = json.dumps({**names, "webhook_id": "WEBHOOK1"})[:-1].encode()

    def ask(event: bytes) -> str:
        body = start + b', "webhook_event": ' + event + b"}"
        answer = paypal.call_api("POST", "/v1/notifications/verify-webhook-signature", body)
        contract = Contract(WEBHOOKS_V1)
        contract.check(answer, "POST", "/v1/notifications/verify-webhook-signature")
        return str(answer.json["verification_status"])

    assert ask(notice.body) == "SUCCESS"
    assert ask(notice.body.replace(b'"APPROVED"', b'"APPROVEE"')) == "FAILURE"
    assert ask(json.dumps(notice.json, indent=1).encode()) == "FAILURE"


def test_a_delivery_is_repeated_until_it_is_answered_2xx(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id = paypal.make_order()
    shop.statuses[:] = [500, 302]
    paypal.approve(order_id)
    hurry(paypal)

    notices = shop.about(order_id)
    assert len(notices) == 3
    assert len({notice.headers["paypal-transmission-id"] for notice in notices}) == 1
    assert len({notice.body for notice in notices}) == 1
    for notice in notices:
        verify(paypal, notice)


def test_a_webhook_that_nobody_takes_is_given_up_after_25_times_in_three_days(tmp_path: Path) -> None:
    refusing = Receiver()
    refusing.statuses = [503] * 1000
    try:
        with paypal_process(tmp_path, refusing) as paypal:
            order_id = paypal.make_order()
            paypal.approve(order_id)
            passed_s = 0
            for attempt in range(1, 26):
                wait_until(lambda attempt=attempt: len(refusing.notices) >= attempt)  # type: ignore[misc]
                if attempt < 25:
                    wait_until(lambda attempt=attempt: paypal.pending()["items"][0]["attempts"] == attempt)  # type: ignore[misc]
                    step = min(2 ** (attempt - 1), 22_000)
                    paypal.clock.advance(step)
                    passed_s += step
            wait_until(lambda: len(paypal.pending()["dead_letters"]) == 1)

            assert len(refusing.notices) == 25
            assert 2.5 * 24 * 3600 < passed_s < 3.5 * 24 * 3600
            assert paypal.pending()["pending"] == 0
    finally:
        refusing.close()


def test_retrying_now_does_not_use_up_the_25_times(tmp_path: Path) -> None:
    refusing = Receiver()
    refusing.statuses = [503] * 8
    try:
        with paypal_process(tmp_path, refusing) as paypal:
            paypal.approve(paypal.make_order())
            while len(refusing.notices) < 9:
                paypal.call("POST", "/_local/retry-now")
            settle(paypal)

            assert paypal.pending() == {"pending": 0, "later": 0, "items": [], "dead_letters": []}
            assert len(refusing.notices) == 9
    finally:
        refusing.close()


def test_a_lost_event_never_comes_and_is_still_in_the_list(paypal: PayPalProcess, shop: Receiver) -> None:
    paypal.faults.add("webhooks", "lose", path=f"{HOOK}/{CAPTURED}")

    order_id, capture_id = paypal.make_capture()
    settle(paypal)

    told = [notice.json["event_type"] for notice in shop.about(order_id)]
    assert sorted(told) == ["CHECKOUT.ORDER.APPROVED", "CHECKOUT.ORDER.COMPLETED"]
    query = f"/v1/notifications/webhooks-events?transaction_id={capture_id}"
    assert [event["event_type"] for event in paypal.call_api("GET", query).json["events"]] == [CAPTURED]


def test_a_repeated_event_comes_thrice_under_ids_of_their_own(paypal: PayPalProcess, shop: Receiver) -> None:
    paypal.faults.add("webhooks", "repeat")
    order_id = paypal.make_order()

    paypal.approve(order_id)
    settle(paypal)

    notices = shop.about(order_id)
    assert len(notices) == 3
    assert len({notice.headers["paypal-transmission-id"] for notice in notices}) == 3
    assert len({notice.json["id"] for notice in notices}) == 1
    for notice in notices:
        verify(paypal, notice)


def test_a_reordered_event_comes_after_the_next(paypal: PayPalProcess, shop: Receiver) -> None:
    paypal.faults.add("webhooks", "reorder", path=f"{HOOK}/CHECKOUT.ORDER.APPROVED")

    order_id, _ = paypal.make_capture()
    settle(paypal)

    told = [notice.json["event_type"] for notice in shop.about(order_id)]
    assert told[-1] == "CHECKOUT.ORDER.APPROVED"
    assert len(told) == 3


def test_a_delayed_event_takes_as_long_as_was_asked_for(paypal: PayPalProcess, shop: Receiver) -> None:
    paypal.faults.add("webhooks", "delay", path=f"{HOOK}/CHECKOUT.ORDER.APPROVED", delay_s=300)
    order_id, _ = paypal.make_capture()
    wait_until(lambda: len(shop.about(order_id)) == 2)

    [waiting] = paypal.pending()["items"]
    paypal.clock.advance(301)
    settle(paypal)

    assert waiting["event_type"] == "CHECKOUT.ORDER.APPROVED"
    assert shop.about(order_id)[-1].json["event_type"] == "CHECKOUT.ORDER.APPROVED"


def test_an_error_on_the_way_is_delivered_later(paypal: PayPalProcess, shop: Receiver) -> None:
    paypal.faults.add("webhooks", "error", count=2)
    order_id = paypal.make_order()

    paypal.approve(order_id)
    hurry(paypal)

    assert len(shop.about(order_id)) == 1


def test_a_delivery_whose_answer_is_lost_comes_again(paypal: PayPalProcess, shop: Receiver) -> None:
    paypal.faults.add("webhooks", "timeout_after_effect")
    order_id = paypal.make_order()

    paypal.approve(order_id)
    hurry(paypal)

    assert len(shop.about(order_id)) == 2


def test_the_list_of_events_is_paged_newest_first_and_filtered(paypal: PayPalProcess) -> None:
    order_id, capture_id = paypal.make_capture()
    for value in ("1.00", "2.00", "3.00"):
        paypal.refund(capture_id, {"amount": money(value)})
    path = f"/v1/notifications/webhooks-events?transaction_id={capture_id}&page_size=2"

    pages = [paypal.call_api("GET", path)]
    following = [link["href"] for link in pages[0].json["links"] if link["rel"] == "next"]
    pages.append(paypal.call_api("GET", following[0].removeprefix(paypal.url)))

    contract = Contract(WEBHOOKS_V1)
    for page in pages:
        contract.check(page, "GET", "/v1/notifications/webhooks-events")
    events = [event for page in pages for event in page.json["events"]]
    told = [(event["event_type"], event["resource"]["amount"]["value"]) for event in events]
    refunds = [("PAYMENT.CAPTURE.REFUNDED", value) for value in ("3.00", "2.00", "1.00")]
    assert told == [*refunds, (CAPTURED, "10.00")]
    only = paypal.call_api(
        "GET", f"/v1/notifications/webhooks-events?event_type={CAPTURED}&transaction_id={capture_id}"
    )
    assert only.json["count"] == 1
    one = paypal.call_api("GET", f"/v1/notifications/webhooks-events/{events[0]['id']}")
    assert one.json == events[0]
    later = "/v1/notifications/webhooks-events?start_time=2999-01-01T00:00:00Z"
    assert paypal.call_api("GET", later).json["events"] == []
    assert paypal.call_api("GET", "/v1/notifications/webhooks-events?start_time=yesterday").status == 400
    assert order_id


def test_an_event_can_be_sent_once_more(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id = paypal.make_order()
    event_id = paypal.happen("CHECKOUT.ORDER.APPROVED", {"id": order_id}).json["id"]

    answer = paypal.call_api("POST", f"/v1/notifications/webhooks-events/{event_id}/resend", {})
    settle(paypal)

    assert answer.status == 202
    notices = shop.about(order_id)
    assert len({notice.headers["paypal-transmission-id"] for notice in notices}) == 2


# What PayPal does by itself


def test_a_pending_capture_is_completed_by_paypal(paypal: PayPalProcess, shop: Receiver) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id, "pending")
    made = capture_of(paypal.capture(order_id).json)

    happened = paypal.happen(CAPTURED, {"order_id": order_id})

    assert [delivery["status"] for delivery in happened.json["deliveries"]] == [200]
    transmission = happened.json["transmission"]
    headers = {name.lower(): value for name, value in transmission["headers"].items()}
    verify(paypal, Notice(headers, transmission["body"].encode()))
    [notice] = [notice for notice in shop.of(CAPTURED) if notice.json["resource"]["id"] == made["id"]]
    assert notice.body == transmission["body"].encode()
    assert (made["status"], read(paypal, made["id"])["status"]) == ("PENDING", "COMPLETED")
    assert read(paypal, made["id"])["update_time"] > made["update_time"]


@pytest.mark.parametrize("name", ["PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"])
def test_a_denied_capture_is_told_as_denied_with_status_declined(
    paypal: PayPalProcess, shop: Receiver, name: str
) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id, "pending")
    made = capture_of(paypal.capture(order_id).json)

    paypal.happen(name, {"id": made["id"]})

    told = [notice.json for notice in shop.about(made["id"]) if notice.json["resource"]["status"] == "DECLINED"]
    assert [(event["event_type"], event["resource"]["id"]) for event in told] == [
        ("PAYMENT.CAPTURE.DENIED", made["id"])
    ]
    assert read(paypal, made["id"])["status"] == "DECLINED"


def test_nothing_goes_back_in_time_and_old_news_may_come_late(paypal: PayPalProcess) -> None:
    order_id, capture_id = paypal.make_capture()
    before = {name: part for name, part in paypal.ledger().items() if name != "requests"}

    approved = paypal.happen("CHECKOUT.ORDER.APPROVED", {"id": order_id}).json["resource"]
    pending = paypal.happen("PAYMENT.CAPTURE.PENDING", {"id": capture_id}).json["resource"]
    again = paypal.happen(CAPTURED, {"id": capture_id}).json["resource"]

    assert (approved["id"], approved["status"]) == (order_id, "APPROVED")
    assert "payments" not in approved["purchase_units"][0]
    assert [(told["id"], told["status"]) for told in (pending, again)] == [
        (capture_id, "PENDING"),
        (capture_id, "COMPLETED"),
    ]
    assert {name: part for name, part in paypal.ledger().items() if name != "requests"} == before


def test_a_completed_capture_can_still_be_made_to_fail(paypal: PayPalProcess) -> None:
    _, capture_id = paypal.make_capture()

    paypal.happen("PAYMENT.CAPTURE.DENIED", {"id": capture_id})

    assert read(paypal, capture_id)["status"] == "DECLINED"


def test_a_second_capture_of_an_order_can_happen(paypal: PayPalProcess) -> None:
    order_id, first = paypal.make_capture("10.00", custom_id="order-2", invoice_id="VIT-SECOND")

    second = paypal.happen(CAPTURED, {"order_id": order_id}).json["resource"]

    assert second["id"] != first
    assert (second["amount"], second["custom_id"], second["invoice_id"]) == (money("10.00"), "order-2", "VIT-SECOND")
    shown = paypal.call_api("GET", f"/v2/checkout/orders/{order_id}").json
    assert [made["id"] for made in shown["purchase_units"][0]["payments"]["captures"]] == [first, second["id"]]


def test_a_capture_of_an_order_nobody_knows_can_happen(paypal: PayPalProcess) -> None:
    foreign = {"amount": money("3.21", "EUR"), "invoice_id": "OTHER-SHOP-1", "order_id": "5O190127TN364715T"}

    made = paypal.happen(CAPTURED, foreign).json["resource"]
    bare = paypal.happen(CAPTURED, {}).json["resource"]

    shown = read(paypal, made["id"])
    assert (shown["amount"], shown["invoice_id"]) == (money("3.21", "EUR"), "OTHER-SHOP-1")
    assert shown["supplementary_data"]["related_ids"]["order_id"] == "5O190127TN364715T"
    assert read(paypal, bare["id"])["status"] == "COMPLETED"


def test_a_wrong_amount_or_currency_can_be_captured(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order("10.00")
    paypal.approve(order_id)

    made = paypal.happen(CAPTURED, {"order_id": order_id, "amount": money("9.99", "EUR")}).json["resource"]

    assert read(paypal, made["id"])["amount"] == money("9.99", "EUR")
    assert paypal.call_api("GET", f"/v2/checkout/orders/{order_id}").json["status"] == "COMPLETED"


def test_a_refund_from_the_dashboard(paypal: PayPalProcess, shop: Receiver) -> None:
    _, capture_id = paypal.make_capture("10.00")
    up = [{"rel": "up", "href": f"https://api.paypal.com/v2/payments/captures/{capture_id}", "method": "GET"}]

    partial = paypal.happen("PAYMENT.CAPTURE.REFUNDED", {"links": up, "amount": money("2.50")}).json["resource"]
    rest = paypal.happen("PAYMENT.CAPTURE.REFUNDED", {"capture_id": capture_id}).json["resource"]

    assert (partial["amount"], rest["amount"]) == (money("2.50"), money("7.50"))
    assert read(paypal, capture_id)["status"] == "REFUNDED"
    payments = Contract(PAYMENTS_V2)
    for resource in (partial, rest):
        payments.check_schema(resource, "refund")
        assert "supplementary_data" not in resource
        assert [link["href"] for link in resource["links"] if link["rel"] == "up"] == [
            f"{paypal.url}/v2/payments/captures/{capture_id}"
        ]
    ledger = [refund["id"] for refund in paypal.ledger()["refunds"] if refund["capture_id"] == capture_id]
    assert ledger == [partial["id"], rest["id"]]


def test_a_reversal_is_a_refund_resource_that_paypal_decided_on(paypal: PayPalProcess) -> None:
    _, capture_id = paypal.make_capture("10.00")

    answer = paypal.happen("PAYMENT.CAPTURE.REVERSED", {"capture_id": capture_id})

    event = json.loads(answer.json["transmission"]["body"])
    assert (event["event_type"], event["resource_type"]) == ("PAYMENT.CAPTURE.REVERSED", "refund")
    assert event["resource"]["note_to_payer"] == "Payment reversed"
    [refund] = [refund for refund in paypal.ledger()["refunds"] if refund["capture_id"] == capture_id]
    assert (refund["reversal"], refund["amount"]) == (True, money("10.00"))
    assert paypal.call_api("GET", f"/v2/payments/refunds/{refund['id']}").json["amount"] == money("10.00")


def test_a_refund_that_stays_pending_and_then_fails_gives_the_money_back(paypal: PayPalProcess) -> None:
    _, capture_id = paypal.make_capture("10.00")

    pending = paypal.happen("PAYMENT.REFUND.PENDING", {"capture_id": capture_id, "amount": money("4.00")}).json[
        "resource"
    ]
    held = read(paypal, capture_id)["status"]
    paypal.happen("PAYMENT.REFUND.FAILED", {"id": pending["id"]})

    assert (pending["status"], held) == ("PENDING", "PARTIALLY_REFUNDED")
    assert paypal.call_api("GET", f"/v2/payments/refunds/{pending['id']}").json["status"] == "FAILED"
    assert read(paypal, capture_id)["status"] == "COMPLETED"
    assert paypal.refund(capture_id).json["amount"] == money("10.00")


def test_a_dispute_is_opened_changed_and_resolved(paypal: PayPalProcess, shop: Receiver) -> None:
    _, capture_id = paypal.make_capture("10.00")
    disputed = [{"seller_transaction_id": capture_id}]

    opened = paypal.happen("CUSTOMER.DISPUTE.CREATED", {"disputed_transactions": disputed}).json["resource"]
    dispute_id = opened["dispute_id"]
    partial = paypal.refund(capture_id, {"amount": money("1.00")})
    paypal.happen("CUSTOMER.DISPUTE.UPDATED", {"dispute_id": dispute_id, "status": "UNDER_REVIEW"})
    reviewed = paypal.call_api("GET", f"/v1/customer/disputes/{dispute_id}")
    paypal.happen("CUSTOMER.DISPUTE.RESOLVED", {"capture_id": capture_id, "outcome": "won"})
    resolved = paypal.call_api("GET", f"/v1/customer/disputes/{dispute_id}")

    contract = Contract(DISPUTES_V1)
    for answer in (reviewed, resolved):
        contract.check(answer, "GET", "/v1/customer/disputes/{id}")
    assert (partial.status, partial.issues) == (422, ["TRANSACTION_DISPUTED"])
    assert (opened["status"], opened["dispute_amount"]) == ("OPEN", money("10.00"))
    assert opened["disputed_transactions"][0]["seller_transaction_id"] == capture_id
    assert reviewed.json["status"] == "UNDER_REVIEW"
    assert resolved.json["status"] == "RESOLVED"
    assert resolved.json["dispute_outcome"] == {"outcome_code": "RESOLVED_SELLER_FAVOUR"}
    assert paypal.refund(capture_id, {"amount": money("1.00")}).status == 201
    told = [notice.json["event_type"] for notice in shop.about(dispute_id)]
    assert told == [f"CUSTOMER.DISPUTE.{name}" for name in ("CREATED", "UPDATED", "RESOLVED")]


def test_a_chargeback_forbids_refunds(paypal: PayPalProcess) -> None:
    _, capture_id = paypal.make_capture()
    paypal.happen("CUSTOMER.DISPUTE.CREATED", {"capture_id": capture_id, "dispute_channel": "EXTERNAL"})

    assert paypal.refund(capture_id).issues == ["REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"]


def test_an_approval_that_is_reversed_names_the_order_only_in_order_id(paypal: PayPalProcess) -> None:
    order_id = paypal.make_order()
    paypal.approve(order_id)

    resource = paypal.happen("CHECKOUT.PAYMENT-APPROVAL.REVERSED", {"order_id": order_id}).json["resource"]

    assert resource["order_id"] == order_id
    assert "id" not in resource
    assert paypal.capture(order_id).issues == ["ORDER_NOT_APPROVED"]


def test_events_that_mean_nothing_here_are_delivered_as_they_are(paypal: PayPalProcess, shop: Receiver) -> None:
    answer = paypal.happen("BILLING.PLAN.CREATED", {"id": "P-7GL4271244454362WXNWU5NQ"})

    [notice] = shop.of("BILLING.PLAN.CREATED")
    assert notice.json["resource"] == {"id": "P-7GL4271244454362WXNWU5NQ"}
    assert answer.json["deliveries"][0]["status"] == 200


@pytest.mark.parametrize(
    ("event_type", "resource"),
    [
        (CAPTURED, {"amount": money("4.00")}),
        ("PAYMENT.CAPTURE.REFUNDED", {}),
        ("PAYMENT.CAPTURE.REVERSED", {}),
        ("CUSTOMER.DISPUTE.CREATED", {}),
    ],
)
def test_a_forged_event_verifies_and_is_not_true(
    paypal: PayPalProcess, shop: Receiver, event_type: str, resource: dict[str, Any]
) -> None:
    order_id, capture_id = paypal.make_capture("10.00")
    settle(paypal)
    named = {**resource, "order_id": order_id, "capture_id": capture_id}
    before = {name: part for name, part in paypal.ledger().items() if name != "requests"}

    answer = paypal.happen(event_type, named, forge=True).json

    [notice] = [notice for notice in shop.notices if notice.json["id"] == answer["id"]]
    verify(paypal, notice)
    assert notice.json["resource"].items() >= named.items()
    assert {name: part for name, part in paypal.ledger().items() if name != "requests"} == before
    assert paypal.call_api("GET", f"/v1/notifications/webhooks-events/{answer['id']}").status == 404
    # What the forger speaks of is not to be found either.
    if event_type == CAPTURED:
        assert paypal.call_api("GET", f"/v2/payments/captures/{notice.json['resource']['id']}").status == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"resource": {}}, "event_type"),
        ({"event_type": "PAYMENT.CAPTURE.REFUNDED", "resource": {"capture_id": "NONE"}}, "capture"),
        ({"event_type": "CHECKOUT.ORDER.APPROVED", "resource": {"id": "NONE"}}, "order"),
        ({"event_type": CAPTURED, "resource": {"amount": money("1.00", "KWD")}}, "KWD"),
    ],
)
def test_what_cannot_be_made_true_is_a_422_that_says_why(paypal: PayPalProcess, body: Any, why: str) -> None:
    answer = paypal.call("POST", "/_local/paypal/events", body)

    assert answer.status == 422
    assert why in answer.json["title"]


def test_deliveries_survive_a_kill(tmp_path: Path) -> None:
    shop = Receiver()
    shop.statuses = [503] * 3
    try:
        with paypal_process(tmp_path, shop) as paypal:
            order_id, _ = paypal.make_capture()
            wait_until(lambda: len(shop.notices) >= 1)
            paypal.kill()
            paypal.start()
            hurry(paypal)

            assert {notice.json["event_type"] for notice in shop.about(order_id)} == {
                "CHECKOUT.ORDER.APPROVED",
                CAPTURED,
                "CHECKOUT.ORDER.COMPLETED",
            }
            for notice in shop.about(order_id)[-2:]:
                verify(paypal, notice)
    finally:
        shop.close()


def read(paypal: PayPalProcess, capture_id: str) -> Any:
    return paypal.call_api("GET", f"/v2/payments/captures/{capture_id}").json
