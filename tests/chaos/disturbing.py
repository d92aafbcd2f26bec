"""What befalls the cloud while a story is told: kills, stops, faults, jumps of the clock; and what struck home."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.chaos.acting import Actors
from tests.chaos.calling import Traffic
from tests.chaos.stories import Disturbance
from tests.system.cloud import Cloud

# How long somebody who waits for a certain call of a vendor keeps waiting.
_UNTIL_PINNED_S = 6.0
# Longer than any function waits for a vendor.
_HELD_BACK_S = 12.0


class Steps:
    """How many steps the actors of a story have begun; whoever waits for one of them is woken."""

    def __init__(self) -> None:
        self._begun = 0
        self._over = False
        self._changed = threading.Condition()

    @contextmanager
    def step(self) -> Iterator[None]:
        with self._changed:
            self._begun += 1
            self._changed.notify_all()
        yield

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait_for(self, moment: int) -> bool:
        """False where the story ended before."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._begun >= moment)
            return not self._over


class Toll:
    """What was asked for and what came of it, over all histories."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self.counts[name] += count


class Misfortune:
    """The disturbances of one story, each in a thread of its own."""

    def __init__(self, cloud: Cloud, traffic: Traffic, toll: Toll, actors: Actors, steps: Steps) -> None:
        self._cloud = cloud
        self._traffic = traffic
        self._toll = toll
        self._actors = actors
        self._steps = steps

    def strike(self, each: Disturbance) -> None:
        if not self._steps.wait_for(each.moment):
            return
        time.sleep(each.after_ms / 1000)
        {"kill": self._kill, "stop": self._stop, "fault": self._fault, "pin": self._pin, "clock": self._clock}[
            each.kind
        ](dict(each.detail))

    def _kill(self, detail: dict[str, Any]) -> None:
        self._toll.add("kills asked")
        pgid = self._find(detail["who"])
        at_work = self._traffic.is_at_work(detail["who"])
        if pgid is not None and _signal(pgid, signal.SIGKILL):
            self._toll.add("kills")
            self._toll.add("kills that hit work", at_work)

    def _stop(self, detail: dict[str, Any]) -> None:
        pgid = self._find(detail["who"])
        at_work = self._traffic.is_at_work(detail["who"])
        if pgid is None or not _signal(pgid, signal.SIGSTOP):
            return
        try:
            self._toll.add("stops")
            self._toll.add("stops that hit work", at_work)
            time.sleep(detail["for_ms"] / 1000)
        finally:
            _signal(pgid, signal.SIGCONT)

    def _find(self, who: str) -> int | None:
        for row in self._actors.control("GET", "/_local/processes", None) or ():
            if row["deployment"] == who:
                return int(row["pgid"]) if row["pgid"] else None
        return None

    def _fault(self, detail: dict[str, Any]) -> int | None:
        self._toll.add("faults asked")
        fault = self._actors.control("POST", "/_local/faults", detail)
        return int(fault["id"]) if "id" in fault else None

    def _pin(self, detail: dict[str, Any]) -> None:
        """Kill between a vendor's effect and our commit: the effect is waited for, its answer held back."""
        call = detail["call"]
        fault: dict[str, Any] = {"fault": "timeout_after_effect", "delay_s": _HELD_BACK_S}
        if call == "mail":
            fault |= {"target": "sendgrid", "path": "/v3/mail/send"}
            victims = ["notify"]
        elif call == "open":
            fault |= {"target": "paypal", "path": "/v2/checkout/orders"}
            victims = ["checkout"]
        else:
            state = self._actors.carts[detail["cart"]]
            state.placed.wait(_UNTIL_PINNED_S)
            if state.order is None:
                return
            paypal_order_id = state.order["payment"]["paypal_order_id"]
            fault |= {"target": "paypal", "path": f"/v2/checkout/orders/{paypal_order_id}/capture"}
            victims = ["checkout", "payment-jobs"]
        fault_id = self._fault(fault)
        if not self._fires(fault_id):
            return
        time.sleep(0.05)  # the fault is drawn before the deed is done
        for victim in victims:
            pgid = self._find(victim)
            if pgid is not None and _signal(pgid, signal.SIGKILL):
                self._toll.add("kills asked")
                self._toll.add("kills")
                self._toll.add("kills that hit work")
                self._toll.add("kills between a vendor's effect and our commit")

    def _fires(self, fault_id: int | None) -> bool:
        deadline = time.monotonic() + _UNTIL_PINNED_S
        while fault_id is not None and time.monotonic() < deadline:
            listed = self._actors.control("GET", "/_local/faults", None) or []
            if any(fault["id"] == fault_id and fault["fired"] for fault in listed):
                return True
            time.sleep(0.02)
        return False

    def _clock(self, detail: dict[str, Any]) -> None:
        with suppress(OSError):
            self._cloud.call("POST", "/_local/clock", detail, timeout_s=180)
            self._toll.add("clock jumps")


def _signal(pgid: int, signum: int) -> bool:
    try:
        os.killpg(pgid, signum)
    except ProcessLookupError:
        return False
    return True
