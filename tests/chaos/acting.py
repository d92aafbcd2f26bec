"""What buyers, staff and PayPal do: each step of a story against the running shop.

A step that makes no sense any more (nothing was placed, nothing is pending) does nothing; that is a story, too.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pg8000.native

from tests.chaos.calling import Calls
from tests.chaos.desk import Desk
from tests.chaos.stories import Step, Story
from tests.system.cloud import ADDRESS, Answer, Cloud

# How long others wait for a buyer to have placed something, or to have paid for it: a buyer who gives up says so.
_UNTIL_PLACED_S = 60.0
_UNTIL_PAID_S = 60.0


@dataclass
class CartState:
    """What a buyer knows of a cart, and of the order that it has become."""

    email: str
    cart: Any = None
    order: Any = None
    placed: threading.Event = field(default_factory=threading.Event)
    paid: threading.Event = field(default_factory=threading.Event)

    def let_go(self) -> None:
        """Its buyer does nothing more: nobody needs to wait."""
        self.placed.set()
        self.paid.set()


@dataclass(frozen=True, slots=True)
class Deed:
    """A change of stock by staff: its reason is unique, so that the movements show how often it was done."""

    reason: str
    kind: str
    acknowledged: bool


class Actors:
    """The people of one story; each actor's steps are made by one thread."""

    def __init__(self, story: Story, cloud: Cloud, calls: Calls, *, name: str) -> None:
        self.story = story
        self.calls = calls
        self.skus: dict[str, str] = {}
        self._code = f"C{name}".upper()
        self.carts = {n: CartState(f"{name}-{n}@example.com") for n in range(1, len(story.carts) + 1)}
        self.orders: dict[str, Any] = {}
        self.deeds: list[Deed] = []
        self._cloud = cloud
        self._lock = threading.Lock()
        self._transmission: Any = None
        self._disputes: dict[int, str] = {}
        self._deeds: dict[str, Callable[[Step, str], object]] = {
            "fill": self._fill,
            "search": self._search,
            "edit": self._edit,
            "enter the voucher": self._enter_voucher,
            "take the voucher out": self._take_voucher_out,
            "place": self._place,
            "approve": self._approve,
            "leave PayPal": self._leave,
            "return": self._return,
            "retry payment": self._retry,
            "cancel": self._cancel,
            "look": self._look,
            "adjust": self._change_stock,
            "count": self._change_stock,
            "close": self._close,
            "hold minutes": self._hold_minutes,
            "price": self._reprice,
            "end pending": self._end_pending,
            "refund in the dashboard": self._refund_in_the_dashboard,
            "reverse": self._reverse,
            "open a dispute": self._dispute,
            "resolve the dispute": self._resolve,
            "second capture": self._capture_again,
            "approve late": self._approve_late,
            "take the approval back": self._take_back,
            "foreign capture": self._foreign,
            "forge": self._forge,
            "deliver again": self._deliver_again,
            "tamper": self._tamper,
            **Desk(calls, awaited=lambda step: self._awaited(step, paid=True), staff=self.staff).deeds(),
        }

    def stock_up(self) -> None:
        for goods in self.story.goods:
            sku = f"S{self.story.seed}{goods.letter}"
            self.skus[goods.letter] = self._cloud.make_stock(sku, goods.on_hand, price_minor=goods.price_minor)

        if self.story.voucher is not None:
            body = {"code": self._code, **self.story.voucher.terms}
            made = self._cloud.patiently("POST", "/v1/admin/vouchers", body, headers=self._cloud.staff())
            assert made.status == 201, made.raw.decode()

    def act(self, actor: str, step: Step) -> None:
        self._deeds[step.deed](step, actor)

    # Buyers --------------------------------------------------------------------------------------------

    def _fill(self, step: Step, actor: str) -> None:
        state = self.carts[step.cart or 1]
        body = {"email": state.email, "shipping_address": ADDRESS}
        self._keep(state, self.calls.ask("POST", "/v1/carts", body, actor=actor))
        for letter, quantity in self.story.carts[(step.cart or 1) - 1].items():
            self._set_line(state, actor, letter, quantity)

    def _set_line(self, state: CartState, actor: str, letter: str, quantity: int) -> None:
        if state.cart is None:
            return
        where = {"cart_id": state.cart["id"], "sku": self.skus[letter]}
        if quantity:
            answer = self.calls.ask(
                "PUT", "/v1/carts/{cart_id}/lines/{sku}", {"quantity": quantity}, path=where, actor=actor
            )
        else:
            answer = self.calls.ask("DELETE", "/v1/carts/{cart_id}/lines/{sku}", path=where, actor=actor)
        self._keep(state, answer)

    def _keep(self, state: CartState, answer: Answer | None) -> None:
        if answer is not None and answer.status in (200, 201):
            state.cart = answer.json

    def _search(self, step: Step, actor: str) -> None:
        sku = self.skus[step.detail["letter"]]
        self.calls.ask("GET", "/v1/products", actor=actor)
        self.calls.ask("GET", "/v1/products/{slug}", path={"slug": sku.lower()}, actor=actor)

    def _edit(self, step: Step, actor: str) -> None:
        state, detail = self.carts[step.cart or 1], step.detail
        if state.cart is None:
            return
        where = {"cart_id": state.cart["id"]}
        if detail["kind"] in ("quantity", "remove"):
            self._set_line(state, actor, detail["letter"], detail["quantity"])
        elif detail["kind"] == "shipping":
            body = {"id": detail["option"]}
            answer = self.calls.ask("PUT", "/v1/carts/{cart_id}/shipping-option", body, path=where, actor=actor)
            self._keep(state, answer)
        else:
            body = {"shipping_address": {**ADDRESS, "region": detail["region"]}}
            self._keep(state, self.calls.ask("PATCH", "/v1/carts/{cart_id}", body, path=where, actor=actor))

    def _enter_voucher(self, step: Step, actor: str) -> None:
        state = self.carts[step.cart or 1]
        if state.cart is not None:
            where = {"cart_id": state.cart["id"]}
            body = {"code": self._code}
            self._keep(state, self.calls.ask("PUT", "/v1/carts/{cart_id}/voucher", body, path=where, actor=actor))

    def _take_voucher_out(self, step: Step, actor: str) -> None:
        state = self.carts[step.cart or 1]
        if state.cart is not None:
            where = {"cart_id": state.cart["id"]}
            self._keep(state, self.calls.ask("DELETE", "/v1/carts/{cart_id}/voucher", path=where, actor=actor))

    def _place(self, step: Step, actor: str) -> None:
        state = self.carts[step.cart or 1]
        if state.cart is None:
            return
        # The buyer sees the cart as it is now: what was bought has left it, what has changed is seen.
        where = {"cart_id": state.cart["id"]}
        self._keep(state, self.calls.ask("GET", "/v1/carts/{cart_id}", path=where, actor=actor))
        self.place(state, actor, step.detail["manner"])
        state.placed.set()

    def place(self, state: CartState, actor: str, manner: str) -> None:
        body = {"cart_id": state.cart["id"], "cart_version": state.cart["version"], "email": state.email}
        self.take(state, self.calls.ask("POST", "/v1/checkouts", body, actor=actor, manner=manner))

    def take(self, state: CartState, answer: Answer | None) -> None:
        """Remember the order that was placed; whoever was told of it will ask for it."""
        if answer is None or answer.status not in (200, 201):
            return
        with self._lock:
            known = state.order or {}
            # Only placing tells the order's token.
            state.order = {"access_token": known.get("access_token"), **answer.json}
            self.orders[state.order["id"]] = state.order

    def _order(self, step: Step) -> Any:
        return self.carts[step.cart or 1].order

    def _approve(self, step: Step, actor: str) -> None:
        order = self._order(step)
        if order is not None and order["payment"]["paypal_order_id"]:
            path = f"/_local/paypal/orders/{order['payment']['paypal_order_id']}/approve"
            self.control("POST", path, {"capture": step.detail["ending"]})

    def _leave(self, step: Step, actor: str) -> None:
        order = self._order(step)
        if order is not None and order["payment"]["paypal_order_id"]:
            self.control("POST", f"/_local/paypal/orders/{order['payment']['paypal_order_id']}/cancel", {})

    def _of_order(self, step: Step, actor: str, method: str, operation: str) -> Answer | None:
        order = self._order(step)
        if order is None:
            return None
        return self.calls.ask(
            method,
            operation,
            path={"order_id": order["id"]},
            headers={"X-Order-Token": order["access_token"]},
            manner=step.detail.get("manner", "patiently"),
            actor=actor,
        )

    def _return(self, step: Step, actor: str) -> None:
        self._of_order(step, actor, "POST", "/v1/checkouts/{order_id}/capture")
        self.carts[step.cart or 1].paid.set()

    def _retry(self, step: Step, actor: str) -> None:
        answer = self._of_order(step, actor, "POST", "/v1/checkouts/{order_id}/retry-payment")
        self.take(self.carts[step.cart or 1], answer)

    def _cancel(self, step: Step, actor: str) -> None:
        self._of_order(step, actor, "POST", "/v1/checkouts/{order_id}/cancel")

    def _look(self, step: Step, actor: str) -> None:
        answer = self._of_order(step, actor, "GET", "/v1/checkouts/{order_id}")
        if answer is not None and answer.status == 404:
            self.calls.say(f"order {self._order(step)['number']} was placed, and is not there")

    # Staff ---------------------------------------------------------------------------------------------

    def staff(self) -> Mapping[str, str]:
        """A session of its own for every deed: the clock may have ended the last one."""
        return {"Authorization": f"Bearer {self.control('POST', '/_local/staff-session', {})['token']}"}

    def _change_stock(self, step: Step, actor: str) -> None:
        detail = step.detail
        reason = f"{step.deed} {uuid4().hex}"
        body: dict[str, Any] = {"sku": self.skus[detail["letter"]], "reason": reason}
        if step.deed == "adjust":
            body["delta"] = detail["delta"]
        else:
            body["counted"] = detail["counted"]
        operation = f"/v1/inventory/{'adjustments' if step.deed == 'adjust' else 'counts'}"
        answer = self.calls.ask("POST", operation, body, headers=self.staff(), manner=detail["manner"], actor=actor)
        done = answer is not None and answer.status == 201
        # Two keys are two adjustments; of counts the second finds nothing to move, so it says nothing here.
        if detail["manner"] != "rivals":
            self.deeds.append(Deed(reason, step.deed, done))

    def _close(self, step: Step, actor: str) -> None:
        self._set(actor, orders_open=False)
        time.sleep(step.detail["for_ms"] / 1000)
        self._set(actor, orders_open=True)

    def _hold_minutes(self, step: Step, actor: str) -> None:
        self._set(actor, hold_minutes=step.detail["minutes"])

    def _set(self, actor: str, **settings: Any) -> None:
        self.calls.ask("PATCH", "/v1/admin/settings", settings, headers=self.staff(), actor=actor)

    def _reprice(self, step: Step, actor: str) -> None:
        # A merchant's feed of prices; straight into the database, for imports have no route. It may be down just now.
        price_minor, sku = step.detail["price_minor"], self.skus[step.detail["letter"]]
        with suppress(pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError):
            self._cloud.sql("update variants set price_minor = :price where sku = :sku", price=price_minor, sku=sku)

    # PayPal --------------------------------------------------------------------------------------------

    def control(self, method: str, path: str, body: Any) -> Any:
        """The control surface, which may have just been killed itself; {} where it does not answer in time."""
        deadline = time.monotonic() + 20
        while True:
            try:
                answer = self._cloud.call(method, path, body)
                if answer.status < 500:
                    return answer.json
            except (OSError, ValueError):
                pass
            if time.monotonic() > deadline:
                return {}
            time.sleep(0.1)

    def _awaited(self, step: Step, *, paid: bool = False) -> Any:
        """The order of a cart, as soon as it was placed (or its buyer came back from PayPal), if it ever is."""
        state = self.carts[step.cart or 1]
        (state.paid if paid else state.placed).wait(_UNTIL_PAID_S if paid else _UNTIL_PLACED_S)
        order = state.order
        return order if order is not None and order["payment"]["paypal_order_id"] else None

    def tell(self, event_type: str, resource: Mapping[str, Any], *, forge: bool = False) -> Any:
        """Make it true (or not, if it is forged), and let PayPal tell it; nothing where it could be about nothing."""
        body = {"event_type": event_type, "resource": dict(resource)} | ({"forge": True} if forge else {})
        told = self.control("POST", "/_local/paypal/events", body)
        if "transmission" in told:
            self._transmission = told["transmission"]
        return told

    def _about(self, step: Step, event_type: str, *, paid: bool = True, **resource: Any) -> Any:
        order = self._awaited(step, paid=paid)
        if order is None:
            return None
        return self.tell(event_type, {"order_id": order["payment"]["paypal_order_id"], **resource})

    def _end_pending(self, step: Step, actor: str) -> None:
        order = self._awaited(step, paid=True)
        if order is not None:
            self.end_pending(order, step.detail["ending"])

    def end_pending(self, order: Any, ending: str) -> None:
        """Nothing where nothing is pending: the event alone would make another capture."""
        for capture in self.control("GET", "/_local/paypal/ledger", None).get("captures", ()):
            if capture.get("custom_id") == order["id"] and capture["status"] == "PENDING":
                self.tell(f"PAYMENT.CAPTURE.{ending.upper()}", {"id": capture["id"]})

    def _refund_in_the_dashboard(self, step: Step, actor: str) -> None:
        if step.detail["part"] == "some":
            self._about(step, "PAYMENT.CAPTURE.REFUNDED", amount={"currency_code": "USD", "value": "0.70"})
        else:
            self._about(step, "PAYMENT.CAPTURE.REFUNDED")

    def _reverse(self, step: Step, actor: str) -> None:
        self._about(step, "PAYMENT.CAPTURE.REVERSED")

    def _dispute(self, step: Step, actor: str) -> None:
        told = self._about(step, "CUSTOMER.DISPUTE.CREATED")
        if told and "resource" in told:
            self._disputes[step.cart or 1] = told["resource"]["dispute_id"]

    def _resolve(self, step: Step, actor: str) -> None:
        dispute = self._disputes.get(step.cart or 1)
        if dispute is not None:
            self.tell("CUSTOMER.DISPUTE.RESOLVED", {"dispute_id": dispute, "outcome": step.detail["outcome"]})

    def _capture_again(self, step: Step, actor: str) -> None:
        other: dict[str, Any] = {"amount": {"currency_code": "USD", "value": "1.23"}}
        more = other if step.detail["other_amount"] else {}
        self._about(step, "PAYMENT.CAPTURE.COMPLETED", paid=step.detail["late"], **more)

    def _approve_late(self, step: Step, actor: str) -> None:
        order = self._awaited(step)
        if order is not None:
            self.tell("CHECKOUT.ORDER.APPROVED", {"id": order["payment"]["paypal_order_id"]})

    def _take_back(self, step: Step, actor: str) -> None:
        self._about(step, "CHECKOUT.PAYMENT-APPROVAL.REVERSED", paid=False)

    def _foreign(self, step: Step, actor: str) -> None:
        foreign = {"id": uuid4().hex[:17].upper(), "invoice_id": f"EBAY-{uuid4().hex[:8]}", "custom_id": "elsewhere"}
        self.tell("PAYMENT.CAPTURE.COMPLETED", foreign)

    def _forge(self, step: Step, actor: str) -> None:
        order = self._awaited(step)
        if order is None:
            return
        event_type, paypal_order_id = step.detail["event_type"], order["payment"]["paypal_order_id"]
        if event_type == "CHECKOUT.ORDER.APPROVED":
            self.tell(event_type, {"id": paypal_order_id}, forge=True)
            return
        total = order["totals"]["total"]["amount_minor"]
        resource = {
            "id": f"FORGED{uuid4().hex[:11].upper()}",
            "status": "COMPLETED",
            "amount": {"currency_code": "USD", "value": f"{total / 100:.2f}"},
            "custom_id": order["id"],
            "invoice_id": f"VIT-{order['number']}",
            "supplementary_data": {"related_ids": {"order_id": paypal_order_id}},
        }
        self.tell(event_type, resource, forge=True)

    def _deliver_again(self, step: Step, actor: str) -> None:
        transmission = self._transmission
        if transmission is None:
            return
        with ThreadPoolExecutor(step.detail["times"]) as pool:
            again = [
                pool.submit(self._deliver, transmission["body"], transmission["headers"])
                for _ in range(step.detail["times"])
            ]
            statuses = [each.result() for each in again]
        self._expect(statuses, {200, 503, 504}, "an event delivered once more")

    def _tamper(self, step: Step, actor: str) -> None:
        if self._transmission is None:
            return
        body = json.loads(self._transmission["body"])
        body["summary"] = f"changed on the way {uuid4().hex}"
        status = self._deliver(json.dumps(body), self._transmission["headers"])
        self._expect([status], {401, 503, 504}, "an event with another body")

    def _deliver(self, body: str, headers: Mapping[str, str]) -> int | None:
        try:
            return self._cloud.send_raw("/v1/webhooks/paypal", body, dict(headers)).status
        except OSError:
            return None

    def _expect(self, statuses: Sequence[int | None], allowed: set[int], what: str) -> None:
        for status in statuses:
            if status is not None and status not in allowed:
                self.calls.say(f"{what} was answered {status}")
