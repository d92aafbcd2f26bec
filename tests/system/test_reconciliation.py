"""The schedule that compares everything, over HTTP: what was never told, what was tampered with, what is nobody's."""

from typing import Any
from uuid import uuid4

import pytest

from tests.local.vendor_processes import wait_until
from tests.system.cloud import Cloud

pytestmark = pytest.mark.slow

REPORT = "/v1/admin/reconciliation"
MINUTES = 60


def _happen(cloud: Cloud, event_type: str, *, lost: bool = False, **resource: Any) -> Any:
    """PayPal does it and tells of it; `lost`: no notice of it ever comes."""
    if lost:
        cloud.fault("webhooks", "lose", path=f"/v1/webhooks/paypal/{event_type}", count=1)
    answer = cloud.call("POST", "/_local/paypal/events", {"event_type": event_type, "resource": resource})
    assert answer.status in (200, 201), answer.raw.decode()
    cloud.settle()
    if lost:
        (asked,) = cloud.clear_faults()
        assert asked["fired"] == 1
    return answer.json


def _capture_of(cloud: Cloud, order: Any) -> Any:
    return next(capture for capture in cloud.ledger()["captures"] if capture.get("custom_id") == order["id"])


def _report(cloud: Cloud, state: str = "open") -> list[tuple[str, str, str]]:
    found = cloud.call("GET", f"{REPORT}?state={state}&limit=100", headers=cloud.staff())
    assert found.status == 200, found.raw.decode()
    return [(item["kind"], item["subject"], item["state"]) for item in found.json["items"]]


def _counts_of_a_run(cloud: Cloud) -> Any:
    """Of the run that was asked for: the report has the latest, which a schedule may have begun since."""
    asked = cloud.call("POST", REPORT, headers=cloud.staff())
    assert asked.status == 202, asked.raw.decode()
    cloud.settle()
    ((finished_at, counts),) = cloud.sql(
        "select finished_at, counts from reconciliation_runs where id = cast(:id as uuid)", id=asked.json["id"]
    )
    assert finished_at is not None
    return counts


def _state(cloud: Cloud, order: Any) -> tuple[str, str | None]:
    seen = cloud.look(order)
    return seen["status"], seen["status_reason"]


@pytest.mark.parametrize(
    ("event_type", "ends"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", ("paid", None)),
        ("PAYMENT.CAPTURE.PENDING", ("on_hold", "capture_pending")),
        ("CHECKOUT.ORDER.APPROVED", ("paid", None)),
    ],
)
def test_a_lost_notice_of_a_payment_costs_minutes_and_nothing_else(
    cloud: Cloud, event_type: str, ends: tuple[str, str | None]
) -> None:
    """S42, S44: the schedule of every few minutes reads PayPal's list and objects."""
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    # The notice that the order is complete says the same, and is lost as well.
    cloud.fault("webhooks", "lose", path="/v1/webhooks/paypal/CHECKOUT.ORDER.COMPLETED", count=1)
    cloud.fault("webhooks", "lose", path=f"/v1/webhooks/paypal/{event_type}", count=1)
    named = {"id" if event_type.startswith("CHECKOUT") else "order_id": order["payment"]["paypal_order_id"]}
    told = cloud.call("POST", "/_local/paypal/events", {"event_type": event_type, "resource": named})
    assert told.status in (200, 201), told.raw.decode()
    cloud.settle()
    cloud.clear_faults()
    assert _state(cloud, order) == ("pending_payment", None)

    cloud.advance(6 * MINUTES)
    cloud.settle()

    assert _state(cloud, order) == ends
    assert ("event_missed", told.json["id"], "repaired") in _report(cloud, "repaired")
    assert _report(cloud) == []
    assert len([c for c in cloud.ledger()["captures"] if c.get("custom_id") == order["id"]]) == 1
    assert cloud.level(lamp) == (5, 1)


@pytest.mark.parametrize(
    "event_type", ["PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED", "CUSTOMER.DISPUTE.CREATED"]
)
def test_money_that_left_without_a_word_stops_the_order(cloud: Cloud, event_type: str) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.settle()  # a notice of the purchase that comes late would read the order back, and see it all
    told = _happen(cloud, event_type, lost=True, capture_id=_capture_of(cloud, order)["id"])
    assert _state(cloud, order) == ("paid", None)

    cloud.advance(6 * MINUTES)
    cloud.settle()

    assert _state(cloud, order) == ("on_hold", "outside")
    assert ("event_missed", told["id"], "repaired") in _report(cloud, "repaired")
    assert _report(cloud) == []


def test_a_payment_with_our_prefix_and_no_order_goes_back_and_somebody_elses_does_not(cloud: Cloud) -> None:
    """S24, S40."""
    stray, foreign = f"STRAY{uuid4().hex[:12].upper()}", f"OTHER{uuid4().hex[:12].upper()}"
    _happen(
        cloud,
        "PAYMENT.CAPTURE.COMPLETED",
        id=stray,
        invoice_id=f"VIT-{uuid4().hex[:10].upper()}",
        custom_id=str(uuid4()),
    )
    _happen(cloud, "PAYMENT.CAPTURE.COMPLETED", id=foreign, invoice_id="EBAY-1", custom_id="x")

    cloud.advance(16 * MINUTES)
    cloud.settle()

    assert ("capture_without_order", stray, "repaired") in _report(cloud, "repaired")
    assert ("foreign_capture", foreign, "explained") in _report(cloud, "explained")
    given_back = [r["capture_id"] for r in cloud.ledger()["refunds"] if r["capture_id"] in (stray, foreign)]
    assert given_back == [stray]
    assert _report(cloud) == []


def test_a_payment_that_names_its_order_by_the_invoice_alone_is_paired(cloud: Cloud) -> None:
    """S24."""
    order = cloud.order({cloud.make_stock("LAMP", 5): 1})
    capture = f"LOOSE{uuid4().hex[:12].upper()}"
    total = f"{order['totals']['total']['amount_minor'] / 100:.2f}"
    amount = {"currency_code": "USD", "value": total}
    invoice_id = f"VIT-{order['number']}"
    _happen(cloud, "PAYMENT.CAPTURE.COMPLETED", id=capture, invoice_id=invoice_id, custom_id="cart 7", amount=amount)
    assert _state(cloud, order) == ("pending_payment", None)

    cloud.advance(11 * MINUTES)
    cloud.settle()

    assert _state(cloud, order) == ("paid", None)
    assert ("capture_unpaired", capture, "repaired") in _report(cloud, "repaired")


def test_stock_that_was_tampered_with_is_put_right_when_staff_ask_for_a_run(cloud: Cloud) -> None:
    """S16."""
    lamp, cup = cloud.make_stock("LAMP", 5), cloud.make_stock("CUP", 5)
    order = cloud.order({lamp: 2, cup: 1})
    cloud.sql("update stock_levels set on_hand = 9, held = 1 where sku = :sku", sku=lamp)
    cloud.sql("delete from stock_movements where sku = :sku and kind = 'hold'", sku=cup)

    counts = _counts_of_a_run(cloud)

    assert counts["found_stock_drift"] == 2
    assert (cloud.level(lamp), cloud.level(cup)) == ((5, 2), (5, 1))
    repaired = _report(cloud, "repaired")
    assert {("stock_drift", f"{lamp}/main", "repaired"), ("stock_drift", f"{cup}/main", "repaired")} <= set(repaired)
    moved = cloud.call("GET", f"/v1/inventory/movements?sku={cup}", headers=cloud.staff()).json["items"]
    assert (moved[0]["kind"], moved[0]["delta_held"], moved[0]["order_number"]) == ("repair", 1, order["number"])
    assert "found_stock_drift" not in _counts_of_a_run(cloud)
    assert _report(cloud) == []


def test_a_run_that_is_killed_goes_on(cloud: Cloud) -> None:
    orders = [cloud.order({cloud.make_stock("LAMP", 5): 1}) for _ in range(3)]
    cloud.fault("webhooks", "lose", probability=1)
    for order in orders:
        named = {"order_id": order["payment"]["paypal_order_id"]}
        cloud.call("POST", "/_local/paypal/events", {"event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": named})
    cloud.settle()
    cloud.clear_faults()
    cloud.fault("paypal", "delay", path="/v1/notifications/webhooks-events", count=1)

    assert cloud.call("POST", REPORT, headers=cloud.staff()).status == 202
    wait_until(lambda: cloud.call("GET", "/_local/faults").json[0]["fired"] == 1)
    assert cloud.kill("payment-jobs")  # it waits for PayPal's list
    cloud.clear_faults()
    cloud.advance(6 * MINUTES)
    cloud.advance(6 * MINUTES)
    cloud.settle(timeout_s=90)

    assert [_state(cloud, order) for order in orders] == [("paid", None)] * 3
    assert _report(cloud) == []
    runs = cloud.call("GET", REPORT, headers=cloud.staff()).json["runs"]
    assert [run["finished_at"] is not None for run in runs] == [True, True]


def test_paypal_is_away_for_an_hour_and_the_report_says_so_and_then_is_empty(cloud: Cloud) -> None:
    order = cloud.order({cloud.make_stock("LAMP", 5): 1})
    cloud.fault("webhooks", "lose", probability=1)
    named = {"order_id": order["payment"]["paypal_order_id"]}
    cloud.call("POST", "/_local/paypal/events", {"event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": named})
    cloud.settle()
    cloud.fault("paypal", "error", probability=1)

    cloud.advance(6 * MINUTES)
    during, said = _state(cloud, order), _report(cloud)
    cloud.clear_faults()
    cloud.advance(10 * MINUTES)
    cloud.settle()

    assert during == ("pending_payment", None)
    assert said == [("unreachable", "paypal", "open")]
    assert _state(cloud, order) == ("paid", None)
    assert _report(cloud) == []


def test_staff_say_why_a_finding_is_as_it_is(cloud: Cloud) -> None:
    finding_id = str(uuid4())
    cloud.sql(
        "insert into reconciliation_findings (id, kind, subject, state, run_id, found_at, seen_at)"
        " select cast(:id as uuid), 'amount_differs', 'BY-HAND', 'open', id, started_at, started_at + interval '1 day'"
        " from reconciliation_runs limit 1",
        id=finding_id,
    )

    path = f"{REPORT}/findings/{finding_id}/resolve"
    resolved = cloud.call("POST", path, {"reason": "The bank was asked."}, headers=cloud.staff())
    again = cloud.call("POST", path, {"reason": "Again."}, headers=cloud.staff())

    assert (resolved.status, resolved.json["state"]) == (200, "explained")
    assert (again.status, again.json["type"].rpartition("/")[2]) == (409, "finding-closed")
    assert _report(cloud) == []
