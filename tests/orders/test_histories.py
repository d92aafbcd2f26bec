"""Facts come in any order and any number of times, and order, ledger and stock end the same (DESIGN.md rule 7)."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.kernel.errors import Conflict
from shared.kernel.money import Money
from shared.orders.holding import NotOnHold, NotReleasable, release_order
from shared.orders.order import Order
from shared.orders.settling import AttemptReply
from shared.payments.processor import CaptureFact, DisputeFact, Fact, OrderFact, RefundFact
from shared.persistence.documents import Documents
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import Shop

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that PayPal can tell of one order; ids are the order's own."""

    order: Order

    def approved(self, second: int) -> OrderFact:
        moment = (_NOON + timedelta(seconds=second)).isoformat()
        return OrderFact(self.order.paypal_order_id or "", "APPROVED", moment, str(self.order.id), None, (), ())

    def capture(self, number: int, status: str) -> CaptureFact:
        return CaptureFact(
            id=f"C{number}-{self.order.number}",
            status=status,
            amount=Money(self.order.total_minor, self.order.currency),
            invoice_id=f"VIT-{self.order.number}",
            custom_id=str(self.order.id),
            paypal_order_id=self.order.paypal_order_id,
            created_at=_NOON + timedelta(minutes=number),
            update_time="",
        )

    def refund(self, number: int, minor: int, *, reversal: bool = False) -> RefundFact:
        return RefundFact(
            f"R{number}{'V' if reversal else ''}-{self.order.number}",
            f"C{number}-{self.order.number}",
            "COMPLETED",
            Money(minor, self.order.currency),
            None,
            None,
            "",
            reversal,
        )

    def dispute(self, status: str, outcome: str | None, second: int, number: int = 1) -> DisputeFact:
        moment = (_NOON + timedelta(seconds=second)).isoformat()
        captures = (f"C{number}-{self.order.number}",)
        return DisputeFact(f"D-{self.order.number}", status, outcome, captures, None, moment)


Tell = Callable[[Facts], Fact]
# What may have happened at PayPal, each story in the order in which it happened there.
STORIES: dict[str, list[Tell]] = {
    "paid at once": [lambda f: f.approved(1), lambda f: f.capture(1, "COMPLETED")],
    "refused, approved again, paid": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "DECLINED"),
        lambda f: f.approved(2),
        lambda f: f.capture(2, "COMPLETED"),
    ],
    "pending, then paid": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "PENDING"),
        lambda f: f.capture(1, "COMPLETED"),
    ],
    "pending, then denied": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "PENDING"),
        lambda f: f.capture(1, "DECLINED"),
    ],
    "paid, refunded in the dashboard": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(1, "PARTIALLY_REFUNDED"),
        lambda f: f.refund(1, 400),
    ],
    "paid, reversed": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(1, "REFUNDED"),
        lambda f: f.refund(1, f.order.total_minor, reversal=True),
    ],
    "paid twice": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(2, "COMPLETED"),
    ],
    "paid three times": [
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(2, "PENDING"),
        lambda f: f.capture(2, "COMPLETED"),
        lambda f: f.capture(3, "COMPLETED"),
    ],
    "paid twice, the first refunded in the dashboard": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(2, "COMPLETED"),
        lambda f: f.refund(1, 400),
    ],
    "disputed and won": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1),
        lambda f: f.dispute("UNDER_REVIEW", None, 2),
        lambda f: f.dispute("RESOLVED", "RESOLVED_SELLER_FAVOUR", 3),
    ],
    "disputed": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1),
    ],
    "disputed and lost": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1),
        lambda f: f.dispute("RESOLVED", "RESOLVED_BUYER_FAVOUR", 2),
        lambda f: f.refund(1, f.order.total_minor, reversal=True),
    ],
    "disputed and lost, and nothing said of the money": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1),
        lambda f: f.dispute("RESOLVED", "RESOLVED_BUYER_FAVOUR", 2),
    ],
    "paid twice, and the second disputed": [
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(2, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1, number=2),
    ],
    "paid twice, and the second disputed and lost": [
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(2, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1, number=2),
        lambda f: f.dispute("RESOLVED", "RESOLVED_BUYER_FAVOUR", 2, number=2),
    ],
    "one dispute about both payments, lost": [
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(2, "COMPLETED"),
        lambda f: f.dispute("RESOLVED", "RESOLVED_BUYER_FAVOUR", 1, number=2),
        lambda f: f.dispute("RESOLVED", "RESOLVED_BUYER_FAVOUR", 1, number=1),
    ],
    "refunded, and nothing said of the refund": [
        lambda f: f.approved(1),
        lambda f: f.capture(1, "COMPLETED"),
        lambda f: f.capture(1, "REFUNDED"),
    ],
    "approved, and taken back": [lambda f: f.approved(1)],
    "another amount": [
        lambda f: f.approved(1),
        lambda f: replace(f.capture(1, "COMPLETED"), amount=Money(1, f.order.currency)),
    ],
    "another amount, then the right one": [
        lambda f: replace(f.capture(1, "COMPLETED"), amount=Money(1, f.order.currency)),
        lambda f: f.capture(2, "COMPLETED"),
    ],
}


def _live(shop: Shop, story: Sequence[Tell]) -> dict[str, Any]:
    """Tell an order this story, answering what it asks of PayPal, and say how all ended."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})
    facts = Facts(order)
    for tell in story:
        settled = shop.orders.settle(order.id, facts=[tell(facts)], source="webhook")
        while settled.attempt is not None:
            settled = _answer(shop, settled.order, settled.attempt.id, facts, story)
    ended = shop.orders.get(order.id)
    found = {
        "status": (ended.status, ended.status_reason, ended.disputed),
        "sums": (ended.captured_minor, ended.refunded_minor, ended.reversed_minor, ended.pending_minor),
        "bound": ended.bound_capture_id and ended.bound_capture_id.partition("-")[0],
        "given back": Counter((refund.capture_id.partition("-")[0], refund.amount_minor) for refund in ended.refunds),
        "lines": [(line.held, line.allocated, line.released, line.expired) for line in ended.lines],
        "stock": shop.level(lamp),
        "movements": Counter(shop.movements(order)),
        "documents": Counter(
            (row["kind"], (row["refund_id"] or "").partition("-")[0], row["amount_minor"])
            for row in shop.database.call(
                "select kind, refund_id, amount_minor from documents where order_id = :id::uuid", id=order.id
            )
        ),
        "mails": Counter(name for name in shop.events(order) if name == "order.paid"),
    }
    return {**found, "staff may refund": _may_refund(shop, ended)}


def _may_refund(shop: Shop, order: Order) -> str:
    """Whether one minor unit more may go back, or why not."""
    try:
        shop.ask_refund(order, amount_minor=1)
    except Conflict as refusal:
        return f"{type(refusal).__name__}: {refusal}"
    return "yes"


def _answer(shop: Shop, order: Order, attempt_id: Any, facts: Facts, story: Sequence[Tell]) -> Any:
    """Our own capture call: PayPal answers with the furthest that the story makes of the first capture, or refuses."""
    known = [fact for tell in story if isinstance(fact := tell(facts), CaptureFact) and fact.status != "DECLINED"]
    if not known:
        return shop.orders.settle(order.id, reply=AttemptReply(attempt_id, refusal="INSTRUMENT_DECLINED"))
    first = known[0]
    return shop.orders.settle(
        order.id, facts=[first], reply=AttemptReply(attempt_id, capture_id=first.id), source="reply"
    )


@pytest.mark.parametrize("name", STORIES)
def test_every_order_of_the_facts_ends_the_same(shop: Shop, name: str) -> None:
    story = STORIES[name]
    expected = _live(shop, story)

    @settings(
        max_examples=PROPERTY_EXAMPLES // 5,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.permutations(story), st.lists(st.sampled_from(story), max_size=4), st.randoms(use_true_random=False))
    def check(shuffled: list[Tell], repeated: list[Tell], random: Any) -> None:
        told = list(shuffled)
        for tell in repeated:
            told.insert(random.randint(0, len(told)), tell)

        assert _live(shop, told) == expected

    check()


# What may happen at PayPal after staff have asked for two refunds of a paid order, r1 and r2.
def _ours(number: int, status: str) -> Tell:
    def tell(facts: Facts) -> Fact:
        refund = facts.order.refunds[number - 1]
        made = replace(facts.refund(1, refund.amount_minor), id=f"R{number}-{facts.order.number}")
        return replace(made, status=status, custom_id=str(refund.id))

    return tell


REFUND_STORIES: dict[str, list[Tell]] = {
    "both done": [
        _ours(1, "COMPLETED"),
        lambda f: f.capture(1, "PARTIALLY_REFUNDED"),
        _ours(2, "COMPLETED"),
    ],
    "pending, then done": [
        _ours(1, "PENDING"),
        lambda f: f.capture(1, "PARTIALLY_REFUNDED"),
        _ours(1, "COMPLETED"),
        _ours(2, "COMPLETED"),
    ],
    "pending, then failed": [
        _ours(1, "PENDING"),
        lambda f: f.capture(1, "PARTIALLY_REFUNDED"),
        _ours(1, "FAILED"),
        _ours(2, "CANCELLED"),
    ],
    "done, and the rest in the dashboard": [
        _ours(1, "COMPLETED"),
        lambda f: replace(f.refund(1, f.order.total_minor - 300), id=f"R9-{f.order.number}"),
        lambda f: f.capture(1, "REFUNDED"),
    ],
    "done, then reversed": [
        _ours(1, "COMPLETED"),
        lambda f: replace(f.refund(1, f.order.total_minor - 300, reversal=True), id=f"R9-{f.order.number}"),
        lambda f: f.capture(1, "REFUNDED"),
    ],
    "done, disputed and won": [
        _ours(1, "COMPLETED"),
        lambda f: f.dispute("OPEN", None, 1),
        lambda f: f.dispute("RESOLVED", "RESOLVED_SELLER_FAVOUR", 2),
        _ours(2, "COMPLETED"),
    ],
}
REFUND_ENDS = {
    "both done": ("paid", None, ["completed", "completed"], 2),
    "pending, then done": ("paid", None, ["completed", "completed"], 2),
    "pending, then failed": ("paid", None, ["failed", "cancelled"], 0),
    "done, and the rest in the dashboard": ("on_hold", "outside", ["completed", "requested"], 1),
    "done, then reversed": ("on_hold", "outside", ["completed", "requested"], 1),
    "done, disputed and won": ("paid", None, ["completed", "completed"], 2),
}


def _live_after_refunds(shop: Shop, story: Sequence[Tell]) -> dict[str, Any]:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})
    shop.orders.settle(order.id, facts=[Facts(order).capture(1, "COMPLETED")], source="webhook")
    shop.ask_refund(order, amount_minor=300)
    order = shop.ask_refund(order, {lamp: 1}, restock=True)
    for tell in story:
        shop.orders.settle(order.id, facts=[tell(Facts(order))], source="webhook")
    ended = shop.orders.get(order.id)
    return {
        "status": (ended.status, ended.status_reason, ended.disputed, ended.resume_status),
        "sums": (ended.captured_minor, ended.refunded_minor, ended.reversed_minor, ended.pending_minor),
        "refunds": [(refund.state, refund.failure, refund.amount_minor) for refund in ended.refunds],
        "lines": [(line.allocated, line.released) for line in ended.lines],
        "stock": shop.level(lamp),
        "mails": shop.events(order).count("order.refunded"),
    }


@pytest.mark.parametrize("name", REFUND_STORIES)
def test_every_order_of_the_facts_about_our_own_refunds_ends_the_same(shop: Shop, name: str) -> None:
    story = REFUND_STORIES[name]
    expected = _live_after_refunds(shop, story)

    @settings(
        max_examples=PROPERTY_EXAMPLES // 5,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.permutations(story), st.lists(st.sampled_from(story), max_size=3), st.randoms(use_true_random=False))
    def check(shuffled: list[Tell], repeated: list[Tell], random: Any) -> None:
        told = list(shuffled)
        for tell in repeated:
            told.insert(random.randint(0, len(told)), tell)

        assert _live_after_refunds(shop, told) == expected

    check()
    states = [state for state, _failure, _amount in expected["refunds"]]
    assert (*expected["status"][:2], states, expected["mails"]) == REFUND_ENDS[name]
    assert expected["lines"] == [(1, 1)]


# What PayPal tells before and after staff let an order go on that is on hold, and how it ends.
RELEASED: dict[str, tuple[list[Tell], list[Tell], tuple[str, str | None]]] = {
    "refunded in the dashboard, and told again": (
        [lambda f: f.capture(1, "COMPLETED"), lambda f: f.refund(1, 400)],
        [lambda f: f.refund(1, 400), lambda f: f.capture(1, "PARTIALLY_REFUNDED"), lambda f: f.capture(1, "COMPLETED")],
        ("paid", None),
    ),
    "refunded in the dashboard, then disputed and won": (
        [lambda f: f.capture(1, "COMPLETED"), lambda f: f.refund(1, 400)],
        [
            lambda f: f.capture(1, "PARTIALLY_REFUNDED"),
            lambda f: f.dispute("OPEN", None, 1),
            lambda f: f.dispute("RESOLVED", "RESOLVED_SELLER_FAVOUR", 2),
        ],
        ("paid", None),
    ),
    "refunded in the dashboard twice": (
        [lambda f: f.capture(1, "COMPLETED"), lambda f: f.refund(1, 400)],
        [
            lambda f: f.capture(1, "PARTIALLY_REFUNDED"),
            lambda f: replace(f.refund(1, 100), id=f"R2-{f.order.number}"),
        ],
        ("on_hold", "outside"),
    ),
    "paid too much, and the excess back in the dashboard": (
        [
            lambda f: replace(f.capture(1, "COMPLETED"), amount=Money(f.order.total_minor + 410, f.order.currency)),
            lambda f: f.refund(1, 410),
        ],
        [
            lambda f: f.refund(1, 410),
            lambda f: replace(
                f.capture(1, "PARTIALLY_REFUNDED"), amount=Money(f.order.total_minor + 410, f.order.currency)
            ),
        ],
        ("paid", None),
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_what_staff_have_let_stand_stays_so_in_every_order_of_the_facts(shop: Shop, name: str) -> None:
    before, after, end = RELEASED[name]

    @settings(
        max_examples=PROPERTY_EXAMPLES // 5,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.permutations(before), st.permutations(after), st.lists(st.sampled_from([*before, *after]), max_size=3))
    def check(first: list[Tell], then: list[Tell], repeated: list[Tell]) -> None:
        lamp = shop.make_stock("LAMP", 5)
        order = shop.order({lamp: 2})
        for tell in first:
            shop.orders.settle(order.id, facts=[tell(Facts(order))], source="webhook")
        shop.desk.change(order.number, release_order(actor="staff:1"))
        for tell in [*then, *repeated]:
            shop.orders.settle(order.id, facts=[tell(Facts(order))], source="webhook")

        ended = shop.orders.get(order.id)
        assert ((ended.status, ended.status_reason), len(ended.refunds)) == (end, 1)
        assert shop.level(lamp) == (5, 2)
        credited = [row["amount_minor"] for row in _credit_notes(shop, order)]
        assert sum(credited) == ended.refunded_minor - (ended.captured_minor - order.total_minor)

    check()


@pytest.mark.parametrize("outside", [[], [0], [1], [0, 1]])
def test_what_is_refunded_is_credited_in_every_order_in_which_it_is_told(shop: Shop, outside: Sequence[int]) -> None:
    """200 were paid too much; 200, 300 and 50 go back freely, of which PayPal's dashboard makes those `outside`."""
    minor = [200, 300, 50]
    documents = Documents(shop.database, shop.clock)

    @settings(
        max_examples=PROPERTY_EXAMPLES // 5,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.permutations(range(3)), st.lists(st.integers(0, 2), max_size=3), st.integers(0, 3))
    def check(told: list[int], repeated: list[int], released: int) -> None:
        order = shop.order({shop.make_stock("LAMP", 5): 2})
        facts = Facts(order)
        excess = Money(order.total_minor + 200, order.currency)
        shop.orders.settle(order.id, facts=[replace(facts.capture(1, "COMPLETED"), amount=excess)], source="webhook")
        made = [
            replace(
                facts.refund(1, amount_minor),
                id=f"R{made_as}-{order.number}",
                created_at=_NOON + timedelta(hours=made_as),
                custom_id=None
                if made_as in outside
                else str(shop.ask_refund(order, amount_minor=amount_minor).refunds[-1].id),
            )
            for made_as, amount_minor in enumerate(minor)
        ]
        for place, number in enumerate([*told, *repeated]):
            if place == released:
                _release_if_it_can_be(shop, order)
            shop.orders.settle(order.id, facts=[made[number]], source="webhook")
        _release_if_it_can_be(shop, order)

        ended = shop.orders.get(order.id)
        assert (ended.status, ended.refunded_minor) == ("paid", 550)
        assert sum(row["amount_minor"] for row in _credit_notes(shop, order)) == 350
        assert order.id not in documents.list_forgotten(1000)

    check()


def _release_if_it_can_be(shop: Shop, order: Order) -> None:
    with suppress(NotReleasable, NotOnHold):
        shop.desk.change(order.number, release_order(actor="staff:1"))


def _credit_notes(shop: Shop, order: Order) -> Sequence[dict[str, Any]]:
    return shop.database.call(
        "select amount_minor from documents where order_id = :id::uuid and kind = 'credit_note'", id=order.id
    )


def test_the_stories_end_where_design_says(shop: Shop) -> None:
    """The states that the permutations above agree on are the right ones."""
    lived = {name: _live(shop, story) for name, story in STORIES.items()}
    ends = {name: end["status"][:2] for name, end in lived.items()}
    refused = {name for name, end in lived.items() if end["staff may refund"].startswith("Disputed")}

    assert refused == {
        "disputed",
        "disputed and lost, and nothing said of the money",
        "one dispute about both payments, lost",
    }
    assert ends == {
        "paid at once": ("paid", None),
        "refused, approved again, paid": ("paid", None),
        "pending, then paid": ("paid", None),
        "pending, then denied": ("pending_payment", None),
        "paid, refunded in the dashboard": ("on_hold", "outside"),
        "paid, reversed": ("on_hold", "outside"),
        "paid twice": ("paid", None),
        "paid three times": ("paid", None),
        "paid twice, the first refunded in the dashboard": ("on_hold", "outside"),
        "disputed and won": ("paid", None),
        "disputed": ("on_hold", "outside"),
        "disputed and lost": ("on_hold", "outside"),
        "disputed and lost, and nothing said of the money": ("on_hold", "outside"),
        "paid twice, and the second disputed": ("paid", None),
        "paid twice, and the second disputed and lost": ("paid", None),
        "one dispute about both payments, lost": ("on_hold", "outside"),
        "refunded, and nothing said of the refund": ("on_hold", "outside"),
        "approved, and taken back": ("pending_payment", None),
        "another amount": ("on_hold", "amount_mismatch"),
        "another amount, then the right one": ("paid", None),
    }
