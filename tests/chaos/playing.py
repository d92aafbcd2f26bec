"""Several histories at once against one cloud; then all is calmed, settled, closed and audited.

Histories share nothing but the shop: SKUs, carts, addresses and networks are a history's own. What befalls the cloud
befalls all of them, so a batch of histories is what fails, and what is replayed.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.auditor.auditor import audit_shop
from tests.chaos.acting import Actors
from tests.chaos.calling import Asked, Calls, Traffic, is_definite
from tests.chaos.disturbing import Misfortune, Steps, Toll
from tests.chaos.stories import Step, Story
from tests.system.cloud import Cloud

# Past a lease (60 s and 10); past the longest deadline that an order can still have (30 minutes after a denial), and
# past the hour in which an event is looked at again whose object PayPal does not show.
_PAST_LEASES_S = 80
_PAST_DEADLINES_S = 65 * 60
# A deadline that passes may find an approval, whose capture is pending, then denied, three times over: so often all
# deadlines pass before an order that still waits is said to wait for ever.
_MOST_ROUNDS = 6
_SETTLE_S = 120
_ASKED_AGAIN_OF_EACH = 8


@dataclass(frozen=True, slots=True)
class Breach:
    """What does not add up, and the story that it is about, where that can be said."""

    sentence: str
    story: int | None


@dataclass(slots=True)
class Outcome:
    """How a batch ended."""

    breaches: list[Breach] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)


class _Playing:
    """One story while it is told."""

    def __init__(self, story: Story, place: int, cloud: Cloud, traffic: Traffic, toll: Toll, name: str) -> None:
        self.story = story
        self.calls = Calls(cloud.url, traffic, network=f"127.{place // 250 + 10}.{place % 250}")
        self.actors = Actors(story, cloud, self.calls, name=name)
        self.steps = Steps()
        self.misfortune = Misfortune(cloud, traffic, toll, self.actors, self.steps)

    def play(self) -> None:
        """Every actor and every disturbance has a thread."""
        threads = [threading.Thread(target=self._act, args=script) for script in self.story.scripts]
        threads += [threading.Thread(target=self._strike, args=(each,)) for each in self.story.disturbances]
        for thread in threads:
            thread.start()
        for thread in threads[: len(self.story.scripts)]:
            thread.join()
        self.steps.end()
        for thread in threads:
            thread.join()

    def _act(self, actor: str, steps: Sequence[Step]) -> None:
        try:
            for step in steps:
                time.sleep(step.pause_ms / 1000)
                with self.steps.step():
                    self.actors.act(actor, step)
        except Exception as error:  # noqa: BLE001 - an actor that stumbles is a defect of this story, to be seen
            self.calls.say(f"{actor} stumbled: {type(error).__name__}: {error}")
        finally:
            for state in self.actors.carts.values() if actor.startswith("buyer") else ():
                if state.email.endswith(f"-{actor.rpartition(' ')[2]}@example.com"):
                    state.let_go()

    def _strike(self, each: Any) -> None:
        try:
            self.misfortune.strike(each)
        except Exception as error:  # noqa: BLE001 - the same
            self.calls.say(f"{each.kind} stumbled: {type(error).__name__}: {error}")

    def concerns(self, sentence: str, ids: set[str]) -> bool:
        return any(word in sentence for word in ids)


class Stage:
    """One running cloud, and the findings in it that are known already."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: set[str] = set()
        self._played = 0

    def warm_up(self) -> None:
        """Start every function, so that there is something to kill, and the first stories do not only wait."""
        for deployment in self._cloud.processes():
            self._cloud.patiently("GET", f"/v1/health/{deployment}")
        self._cloud.paid_order({self._cloud.make_stock("WARM", 1): 1})
        self._cloud.settle(_SETTLE_S)

    def play(self, stories: Sequence[Story]) -> Outcome:
        """Tell all these stories at once, calm down, and say what does not add up."""
        began = time.monotonic()
        traffic, toll = Traffic(), Toll()
        playing = []
        for story in stories:
            self._played += 1
            name = f"s{story.seed}p{self._played}"
            playing.append(_Playing(story, self._played, self._cloud, traffic, toll, name))
        for each in playing:
            each.actors.stock_up()
        before = self._order_counts()
        with ThreadPoolExecutor(len(playing)) as pool:
            list(pool.map(lambda each: each.play(), playing))
        outcome = Outcome(counts=toll.counts)
        told = time.monotonic()
        self._calm(outcome)
        try:
            self._close(playing)
            closed = time.monotonic()
            sentences = audit_shop(self._cloud.database_url, self._cloud.url, at_rest=True)
        except AssertionError as error:
            closed = time.monotonic()
            sentences = [f"the cloud did not come to rest: {str(error)[:600]}"]
        sentences += self._ledger_of_deeds(playing)
        self._judge(outcome, playing, sentences)
        self._count(outcome, before, len(playing))
        outcome.seconds.update(
            {"telling": told - began, "closing": closed - told, "auditing": time.monotonic() - closed}
        )
        return outcome

    def _calm(self, outcome: Outcome) -> None:
        for fault in self._cloud.patiently("GET", "/_local/faults").json:
            outcome.counts["faults that fired"] += fault["fired"] > 0
            outcome.counts[f"fired: {fault['target']} {fault['fault']}"] += fault["fired"]
        self._cloud.patiently("DELETE", "/_local/faults")

    def _close(self, playing: Sequence[_Playing]) -> None:
        """Whoever had no answer asks again; every capture that PayPal thinks about ends; every deadline passes."""
        self._cloud.patiently("PATCH", "/v1/admin/settings", {"orders_open": True}, headers=self._cloud.staff())
        self._cloud.settle(_SETTLE_S)
        self._cloud.advance(_PAST_LEASES_S)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_ask_again, playing))
        for _ in range(_MOST_ROUNDS):
            self._end_pending()
            self._cloud.settle(_SETTLE_S)
            self._cloud.advance(_PAST_DEADLINES_S)
            self._cloud.settle(_SETTLE_S)
            if not self._cloud.sql(
                "select 1 from orders where status = 'pending_payment' or status_reason = 'capture_pending' limit 1"
            ):
                return

    def _end_pending(self) -> None:
        for number, capture in enumerate(self._cloud.ledger()["captures"]):
            if capture["status"] == "PENDING":
                ending = "COMPLETED" if number % 2 else "DENIED"
                body = {"event_type": f"PAYMENT.CAPTURE.{ending}", "resource": {"id": capture["id"]}}
                self._cloud.patiently("POST", "/_local/paypal/events", body)

    def _ledger_of_deeds(self, playing: Sequence[_Playing]) -> list[str]:
        """What the shop said yes to is there, and once."""
        found = []
        moved = dict(
            self._cloud.sql(
                "select reason, count(*) from stock_movements where kind in ('adjust', 'count') group by reason"
            )
        )
        orders = {str(row[0]) for row in self._cloud.sql("select id from orders")}
        for each in playing:
            for deed in each.actors.deeds:
                times = moved.get(deed.reason, 0)
                if times > 1 or (deed.acknowledged and deed.kind == "adjust" and times != 1):
                    found.append(f"{deed.reason} of {each.story.seed} was said yes to, and moved stock {times} times")
            for order in each.actors.orders.values():
                if order["id"] not in orders:
                    found.append(f"order {order['number']} was placed, and is not there")
        return found

    def _judge(self, outcome: Outcome, playing: Sequence[_Playing], sentences: Sequence[str]) -> None:
        ids = [self._ids(each) for each in playing]
        for sentence in sentences:
            if sentence in self._known:
                continue
            self._known.add(sentence)
            of = [each.story.seed for each, own in zip(playing, ids, strict=True) if each.concerns(sentence, own)]
            outcome.breaches.append(Breach(sentence, of[0] if of else None))
        for each in playing:
            outcome.breaches += [Breach(sentence, each.story.seed) for sentence in each.calls.breaches]
            for status, number in each.calls.statuses.items():
                outcome.counts[f"answers {status}"] += number

    def _ids(self, each: _Playing) -> set[str]:
        """What names a story in a finding: its SKUs, orders, carts."""
        skus = list(each.actors.skus.values())
        found = {*skus}
        for number, order_id, cart_id in self._cloud.sql(
            "select distinct o.number, o.id::text, o.cart_id from orders o join order_lines l on l.order_id = o.id"
            " where l.sku = any (:skus)",
            skus=skus,
        ):
            found |= {number, order_id, cart_id}
        return found

    def _order_counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for status, reason, number, paid in self._cloud.sql(
            "select status, status_reason, count(*), count(paid_at) from orders group by 1, 2"
        ):
            counts["orders placed"] += number
            counts["orders ever paid"] += paid
            counts[f"end: {status}" + (f" ({reason})" if status == "on_hold" else "")] += number
        for state, number in self._cloud.sql("select state, count(*) from refunds group by 1"):
            counts[f"refunds {state}"] += number
        for state, number in self._cloud.sql("select state, count(*) from voucher_redemptions group by 1"):
            counts[f"vouchers {state}"] += number
        return counts

    def _count(self, outcome: Outcome, before: Counter[str], histories: int) -> None:
        after = self._order_counts()
        after.subtract(before)
        outcome.counts.update({name: number for name, number in after.items() if number})
        outcome.counts["histories"] += histories


def _ask_again(each: _Playing) -> None:
    """Keys without a definite answer get one now; keys with one get the same again."""
    posts = [asked for asked in each.calls.asked if asked.operation.startswith("/v1/")]
    unanswered = [asked for asked in posts if not asked.answers]
    answered = [asked for asked in posts if asked.answers and asked.answers[0].status < 300]
    for asked in unanswered:
        answer = each.calls.repeat(asked, within_s=90)
        if answer is None or not is_definite(answer):
            shown = "nothing" if answer is None else f"{answer.status} {answer.raw[:150].decode()}"
            each.calls.say(f"{asked.method} {asked.operation} is answered {shown} when all is calm")
        elif answer.status in (200, 201) and asked.operation == "/v1/checkouts":
            order = json.loads(answer.raw)
            each.actors.orders[order["id"]] = order
    for asked in answered[:_ASKED_AGAIN_OF_EACH]:
        _expect_the_same(each, asked)


def _expect_the_same(each: _Playing, asked: Asked) -> None:
    kept = asked.answers[0]
    again = each.calls.repeat(asked, within_s=90)
    if again is None or (again.status, again.raw) != (kept.status, kept.raw):
        if again is not None and again.status == 401:
            return  # the session of staff has ended meanwhile
        shown = "nothing" if again is None else f"{again.status} {again.raw[:150].decode()}"
        each.calls.say(f"{asked.method} {asked.operation}: one key was answered {kept.status}, and now {shown}")
