"""What staff do with orders that were paid: parcels, refunds, cancels, holds, returns, and events applied again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.chaos.calling import Calls
from tests.chaos.stories import Step
from tests.system.cloud import Answer

Deed = Callable[[Step, str], object]


class Desk:
    """`awaited` gives the order of a step's cart, when its buyer has paid for it or given up; `staff` a session."""

    def __init__(self, calls: Calls, *, awaited: Callable[[Step], Any], staff: Callable[[], Mapping[str, str]]) -> None:
        self._calls = calls
        self._awaited = awaited
        self._staff = staff
        self._returns: dict[int, Any] = {}

    def deeds(self) -> dict[str, Deed]:
        return {
            "ship": self._of_order(self._ship),
            "draft and cancel a parcel": self._of_order(self._draft_and_cancel),
            "refund": self._of_order(self._refund),
            "cancel what is paid": self._of_order(self._cancel),
            "hold back": self._of_order(self._hold),
            "let go on": self._of_order(self._release),
            "send back": self._of_order(self._send_back),
            "decide the return": self._of_order(self._decide),
            "apply again": self._apply_again,
        }

    def _of_order(self, deed: Callable[[Step, str, Any], object]) -> Deed:
        def with_order(step: Step, actor: str) -> None:
            order = self._awaited(step)
            if order is not None:
                deed(step, actor, order)

        return with_order

    def _ask(self, step: Step, actor: str, operation: str, body: Any = None, **path: str) -> Answer | None:
        manner = step.detail.get("manner", "patiently")
        return self._calls.ask("POST", operation, body, path=path, headers=self._staff(), manner=manner, actor=actor)

    # Parcels ---------------------------------------------------------------------------------------------

    def _ship(self, step: Step, actor: str, order: Any) -> None:
        shipment = self._draft(step, actor, order)
        if shipment is None:
            return
        number = {"carrier": "DHL", "tracking_number": f"JJD{shipment['id'][:8]}"}
        self._ask(step, actor, "/v1/admin/shipments/{shipment_id}/ship", number, shipment_id=shipment["id"])
        if step.detail["delivered"]:
            self._ask(step, actor, "/v1/admin/shipments/{shipment_id}/delivered", shipment_id=shipment["id"])

    def _draft_and_cancel(self, step: Step, actor: str, order: Any) -> None:
        shipment = self._draft(step, actor, order)
        if shipment is not None:
            self._ask(step, actor, "/v1/admin/shipments/{shipment_id}/cancel", shipment_id=shipment["id"])

    def _draft(self, step: Step, actor: str, order: Any) -> Any:
        body = {"order_number": order["number"], "lines": _lines(step, order)}
        answer = self._ask(step, actor, "/v1/admin/shipments", body)
        return answer.json if answer is not None and answer.status == 201 else None

    # Money -----------------------------------------------------------------------------------------------

    def _refund(self, step: Step, actor: str, order: Any) -> None:
        detail = step.detail
        body: dict[str, Any] = {"reason": "as the story has it"}
        if detail["part"] == "shipping":
            body["shipping_minor"] = 590
        elif detail["part"] == "amount":
            body["amount_minor"] = 120
        else:
            body["lines"] = [{**line, "restock": detail["restock"]} for line in _lines(step, order)]
        self._ask(step, actor, "/v1/admin/orders/{number}/refunds", body, number=order["number"])

    def _cancel(self, step: Step, actor: str, order: Any) -> None:
        if step.detail["by"] == "staff":
            self._ask(step, actor, "/v1/admin/orders/{number}/cancel", {}, number=order["number"])
            return
        self._calls.ask(
            "POST",
            "/v1/orders/{number}/cancel",
            path={"number": order["number"]},
            headers={"X-Order-Token": order["access_token"] or ""},
            manner=step.detail["manner"],
            actor=actor,
        )

    def _hold(self, step: Step, actor: str, order: Any) -> None:
        body = {"reason": "somebody looks"}
        self._ask(step, actor, "/v1/admin/orders/{number}/hold", body, number=order["number"])

    def _release(self, step: Step, actor: str, order: Any) -> None:
        self._ask(step, actor, "/v1/admin/orders/{number}/release", number=order["number"])

    # Returns ---------------------------------------------------------------------------------------------

    def _send_back(self, step: Step, actor: str, order: Any) -> None:
        lines = [{**line, "reason": "damaged"} for line in _lines(step, order)]
        answer = self._calls.ask(
            "POST",
            "/v1/returns",
            {"order_number": order["number"], "lines": lines},
            headers={"X-Order-Token": order["access_token"] or ""},
            manner=step.detail["manner"],
            actor=actor,
        )
        if answer is not None and answer.status == 201:
            self._returns[step.cart or 1] = answer.json

    def _decide(self, step: Step, actor: str, order: Any) -> None:
        goods = self._returns.get(step.cart or 1)
        if goods is None:
            return
        path = "/v1/admin/returns/{return_id}"
        if step.detail["how"] == "reject":
            self._ask(step, actor, f"{path}/reject", {"reason": "too late"}, return_id=goods["id"])
            return
        came = [
            {"sku": line["sku"], "quantity": line["quantity"], "condition": "as new", "restock": step.detail["restock"]}
            for line in goods["lines"]
        ]
        self._ask(step, actor, f"{path}/approve", return_id=goods["id"])
        self._ask(step, actor, f"{path}/receive", {"lines": came}, return_id=goods["id"])
        self._ask(step, actor, f"{path}/close", return_id=goods["id"])

    # The inbox of webhooks ---------------------------------------------------------------------------------

    def _apply_again(self, step: Step, actor: str) -> None:
        listed = self._calls.ask("GET", "/v1/admin/webhook-events", headers=self._staff(), actor=actor)
        if listed is None or listed.status != 200:
            return
        for event in listed.json["items"][: step.detail["events"]]:
            self._ask(step, actor, "/v1/admin/webhook-events/{event_id}/replay", event_id=event["id"])


def _lines(step: Step, order: Any) -> Sequence[dict[str, Any]]:
    """All units of the order, or one of its first line."""
    if step.detail.get("units") == "one":
        return [{"sku": order["lines"][0]["sku"], "quantity": 1}]
    return [{"sku": line["sku"], "quantity": line["quantity"]} for line in order["lines"]]
