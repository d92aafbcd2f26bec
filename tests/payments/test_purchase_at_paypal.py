"""An order of the shop at the simulated PayPal: what its events make of it, read back by the real gateway."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from shared.gateways.paypal import PayPal
from shared.kernel.errors import Unavailable
from shared.orders import capturing, fulfilling
from shared.orders.order import Order
from shared.payments.applying import apply_event
from shared.payments.webhooks import WebhookEvent, parse
from shared.persistence.webhooks import WebhookEvents
from tests.orders.shop import Shop
from tests.payments.conftest import Simulator


class ShopAtPayPal(Shop):
    """The shop of the order tests, with the gateway in the place of its script."""

    def __init__(self, url: str, paypal: PayPal, simulator: Simulator) -> None:
        super().__init__(url)
        self.paypal = paypal  # type: ignore[assignment]  # a Processor is all that placing and capturing need
        self.simulator = simulator
        self.webhooks = WebhookEvents(self.database)

    def hear(self, event_type: str, resource: dict[str, Any], *, forge: bool = False) -> str | None:
        """Something happens at PayPal, or only seems to; the shop is told and applies it. The verdict."""
        told = self.simulator.control(
            "/_local/paypal/events", {"event_type": event_type, "resource": resource, "forge": forge}
        )
        body = told["transmission"]["body"]
        event = WebhookEvent(uuid4(), str(uuid4()), (parse(body) or {})["id"], event_type, body, self.clock.now())
        self.webhooks.keep(event)
        apply_event(
            event.id,
            events=self.webhooks,
            processor=self.paypal,
            follow=lambda order_id, facts: capturing.follow_facts(
                order_id, facts, source="webhook", store=self.orders, processor=self.paypal
            ),
            invoice_prefix="VIT-",
            clock=self.clock,
        )
        row = self.database.find("select verdict from webhook_events where id = :id::uuid", id=event.id)
        return row["verdict"] if row else None

    def see(self, order: Order) -> tuple[str, str | None, int, int]:
        """Status, why, and what was captured and refunded or reversed."""
        now = self.orders.get(order.id)
        return now.status, now.status_reason, now.captured_minor, now.refunded_minor + now.reversed_minor

    def captures(self, order: Order) -> list[str]:
        ledger = self.simulator.control("/_local/paypal/ledger")
        return [capture["id"] for capture in ledger["captures"] if capture.get("custom_id") == str(order.id)]


@pytest.fixture
def shop(database_url: str, paypal: PayPal, simulator: Simulator) -> Iterator[ShopAtPayPal]:
    made = ShopAtPayPal(database_url, paypal, simulator)
    with closing(made.database):
        yield made


def _up(simulator: Simulator, capture_id: str) -> list[dict[str, str]]:
    return [{"rel": "up", "href": f"{simulator.url}/v2/payments/captures/{capture_id}", "method": "GET"}]


def test_the_notice_of_an_approval_pays_the_order(shop: ShopAtPayPal) -> None:
    """The buyer never came back from PayPal."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})

    verdict = shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})

    assert verdict == "order APPROVED"
    assert shop.see(order) == ("paid", None, order.total_minor, 0)
    assert shop.movements(order) == [("hold", 0, 2), ("allocate", 0, 0)]
    assert len(shop.captures(order)) == 1


def test_a_second_notice_changes_nothing(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})
    (capture,) = shop.captures(order)

    verdict = shop.hear("PAYMENT.CAPTURE.COMPLETED", {"id": capture, "status": "COMPLETED"}, forge=True)

    assert verdict == "known already"
    assert shop.see(order) == ("paid", None, order.total_minor, 0)
    assert shop.events(order) == ["order.placed", "order.paid"]


def test_a_forged_approval_and_a_forged_payment_move_nothing(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})
    amount = {"currency_code": "USD", "value": f"{order.total_minor / 100:.2f}"}
    names = {"custom_id": str(order.id), "invoice_id": f"VIT-{order.number}", "amount": amount}

    verdicts = [
        shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id, "status": "APPROVED"}, forge=True),
        shop.hear("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F", "status": "COMPLETED", **names}, forge=True),
    ]

    assert verdicts == ["order PAYER_ACTION_REQUIRED", "no such object yet"]
    assert shop.see(order) == ("pending_payment", None, 0, 0)
    assert shop.level(lamp) == (5, 2)
    assert shop.events(order) == ["order.placed"]
    assert shop.captures(order) == []


def test_a_pending_payment_waits_and_its_end_pays_the_order(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.simulator.approve(order.paypal_order_id or "", "pending")
    shop.capture(order)
    waiting = shop.see(order)
    (capture,) = shop.captures(order)

    shop.hear("PAYMENT.CAPTURE.COMPLETED", {"id": capture})

    assert waiting == ("on_hold", "capture_pending", 0, 0)
    assert shop.see(order) == ("paid", None, order.total_minor, 0)


def test_a_pending_payment_that_is_denied_leaves_its_buyer_another_try(shop: ShopAtPayPal) -> None:
    """S39: the event is DENIED, the capture is DECLINED."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.simulator.approve(order.paypal_order_id or "", "pending")
    shop.capture(order)
    (capture,) = shop.captures(order)

    verdict = shop.hear("PAYMENT.CAPTURE.DENIED", {"id": capture})

    assert verdict == "capture DECLINED"
    assert shop.see(order) == ("pending_payment", None, 0, 0)
    assert shop.level(lamp) == (5, 1)


def test_money_that_paypal_takes_back_puts_the_order_on_hold(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})
    (capture,) = shop.captures(order)
    amount = {"currency_code": "USD", "value": f"{order.total_minor / 100:.2f}"}

    shop.hear("PAYMENT.CAPTURE.REVERSED", {"amount": amount, "links": _up(shop.simulator, capture)})

    seen = shop.orders.get(order.id)
    assert (seen.status, seen.status_reason) == ("on_hold", "outside")
    assert (seen.captured_minor, seen.refunded_minor, seen.reversed_minor) == (order.total_minor, 0, order.total_minor)


def test_a_dispute_stops_the_goods_until_it_is_won(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})
    (capture,) = shop.captures(order)

    shop.hear("CUSTOMER.DISPUTE.CREATED", {"disputed_transactions": [{"seller_transaction_id": capture}]})
    stopped = shop.see(order)
    dispute = shop.simulator.control("/_local/paypal/ledger")["disputes"][-1]["dispute_id"]
    shop.hear(
        "CUSTOMER.DISPUTE.RESOLVED",
        {"dispute_id": dispute, "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"}},
    )

    assert stopped == ("on_hold", "outside", order.total_minor, 0)
    assert shop.see(order) == ("paid", None, order.total_minor, 0)


def test_paypal_shows_the_buyer_where_the_parcel_is(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 3})
    shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})
    (capture,) = shop.captures(order)
    known = shop.ship(shop.draft(order, {lamp: 1}), carrier="dhl", number="JJD0001").shipment
    other = shop.ship(shop.draft(order, {lamp: 2}), carrier="Fahrradkurier Süd", number="Tür 7").shipment

    for shipment in (known, other, known):
        fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=shop.paypal)

    trackers = _trackers(shop, order)
    assert [tracker["id"] for tracker in trackers] == [f"{capture}-JJD0001", f"{capture}-Tür 7"]
    assert [[(item["sku"], item["quantity"]) for item in tracker["items"]] for tracker in trackers] == [
        [(lamp, "1")],
        [(lamp, "2")],
    ]


def test_an_answer_that_is_lost_leaves_one_tracker(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})
    shipment = shop.ship(shop.draft(order, {lamp: 1})).shipment
    shop.simulator.faults.add(target="paypal", fault="timeout_after_effect", path="/v2/checkout/orders")

    with pytest.raises(Unavailable):
        fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=shop.paypal)
    fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=shop.paypal)

    assert len(_trackers(shop, order)) == 1
    assert [fault["fired"] for fault in shop.simulator.faults.list()] == [1]


def test_a_number_for_money_that_went_back_is_refused_once_and_for_all(shop: ShopAtPayPal) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.hear("CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id})
    (capture,) = shop.captures(order)
    shipment = shop.ship(shop.draft(order, {lamp: 1})).shipment
    shop.hear("PAYMENT.CAPTURE.REFUNDED", {"links": _up(shop.simulator, capture)})

    fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=shop.paypal)

    row = shop.database.find("select paypal_state, paypal_refusal from shipments where id = :id::uuid", id=shipment.id)
    assert row == {"paypal_state": "refused", "paypal_refusal": "CAPTURE_STATUS_NOT_VALID"}
    assert _trackers(shop, order) == []


def _trackers(shop: ShopAtPayPal, order: Order) -> list[dict[str, Any]]:
    ledger = shop.simulator.control("/_local/paypal/ledger")
    (made,) = [each for each in ledger["orders"] if each["id"] == order.paypal_order_id]
    found: list[dict[str, Any]] = made["purchase_units"][0]["shipping"].get("trackers", [])
    return found
