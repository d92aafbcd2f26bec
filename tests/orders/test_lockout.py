"""Whose payments are refused too often waits, twice as long each time (DESIGN.md section 9)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.errors import Conflict
from shared.orders import cancelling, capturing, expiring
from shared.orders.capturing import PaymentRefused
from shared.orders.lockout import CheckoutLocked, Lockout, LockoutNotFound
from shared.orders.order import Order
from shared.payments.processor import Refused
from shared.persistence.database import Transaction
from shared.persistence.lockouts import Lockouts, count_refusals
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import Shop, at_once

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


_LIFT_UNLESS_LOCKED = """
delete from checkout_lockouts where id in (
    select id from checkout_lockouts where subject = lower(:subject::text) for update skip locked) returning kind
"""


def make_lockout() -> Lockout:
    return Lockout(UUID(int=1), "email", "ada@example.com")


def refuse(shop: Shop, order: Order) -> None:
    """PayPal's page again, and another card that is refused."""
    shop.paypal.approve(order.paypal_order_id)
    shop.paypal.next_capture = "INSTRUMENT_DECLINED"
    with pytest.raises(PaymentRefused):
        shop.capture(order)


def refuse_five(shop: Shop, sku: str) -> list[Order]:
    """Five refused payments of `shop.email`: three of one order, which is all it gets, two of another."""
    first, second = shop.order({sku: 1}), shop.order({sku: 1})
    for order in (first, first, first, second, second):
        refuse(shop, order)
    return [first, second]


def refusals_of(shop: Shop, order: Order, kind: str | None = None) -> list[int]:
    """How many refusals its cart, e-mail and network count."""
    rows = shop.database.call(
        """
        select cardinality(refused_at) as n from checkout_lockouts
        where (kind, subject) in (('cart', :cart::text), ('email', lower(:email::text)), ('network', :network::text))
            and kind = coalesce(:kind::text, kind) order by kind
        """,
        cart=order.cart_id,
        email=order.email,
        network=order.client_network,
        kind=kind,
    )
    return [row["n"] for row in rows]


# The rule --------------------------------------------------------------------------------------------


def test_the_fifth_refusal_within_an_hour_locks_for_a_minute_and_each_further_one_for_twice_as_long() -> None:
    lockout, waits = make_lockout(), []
    for _ in range(4):
        lockout = lockout.after_refusal(_NOON, limit=5)
    for _ in range(14):
        at = lockout.locked_until or _NOON
        # Four others within the hour, however long the wait was.
        lockout = replace(lockout, refused_at=(at,) * 4).after_refusal(at, limit=5)
        assert lockout.locked_until is not None
        waits.append(round((lockout.locked_until - at) / MINUTE))

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440]


def test_five_refusals_that_take_more_than_an_hour_lock_nobody() -> None:
    lockout = make_lockout()
    for minute in (0, 15, 30, 45, 60):
        lockout = lockout.after_refusal(_NOON + minute * MINUTE, limit=5)

    assert lockout.locked_until is None
    assert lockout.refused_at == tuple(_NOON + minute * MINUTE for minute in (15, 30, 45, 60))


def test_a_day_of_quiet_after_a_wait_begins_anew() -> None:
    lockout = replace(make_lockout(), times=9, locked_until=_NOON)
    later = _NOON + timedelta(hours=24, seconds=1)
    for _ in range(5):
        lockout = lockout.after_refusal(later, limit=5)

    assert (lockout.times, lockout.locked_until) == (1, later + MINUTE)


@settings(max_examples=PROPERTY_EXAMPLES)
@given(gaps_s=st.lists(st.integers(0, 100_000), max_size=60), limit=st.integers(1, 10))
def test_a_wait_is_never_cut_short_nor_longer_than_a_day(gaps_s: list[int], limit: int) -> None:
    lockout, at = make_lockout(), _NOON
    for gap in gaps_s:
        at += timedelta(seconds=gap)
        before = lockout
        lockout = lockout.after_refusal(at, limit=limit)
        within_the_hour = [moment for moment in lockout.refused_at if moment > at - timedelta(hours=1)]

        assert len(lockout.refused_at) <= limit
        assert (lockout.times > before.times or before.times > 0) >= (len(within_the_hour) == limit)
        if before.locked_until is not None:
            assert lockout.locked_until is not None
            assert lockout.locked_until >= before.locked_until
        if lockout.locked_until is not None and lockout.locked_until != before.locked_until:
            assert MINUTE <= lockout.locked_until - at <= timedelta(days=1)


# On PostgreSQL ---------------------------------------------------------------------------------------


def test_five_refused_payments_of_an_email_lock_placing_capturing_and_retrying(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    waiting = shop.order({lamp: 1})
    shop.paypal.approve(waiting.paypal_order_id)
    refuse_five(shop, lamp)
    shop.paypal.next_capture = "COMPLETED"
    calls = len(shop.paypal.calls)
    another = shop.make_cart({lamp: 1})

    for locked in (
        partial(shop.place, another),
        partial(shop.place, another, email=shop.email.upper()),
        partial(shop.place, waiting.cart_id),
        partial(shop.capture, waiting),
        partial(shop.retry, waiting),
    ):
        with pytest.raises(CheckoutLocked) as refused:
            locked()
        assert 50 <= refused.value.retry_after_s <= 60

    assert len(shop.paypal.calls) == calls
    assert shop.orders.get(waiting.id).attempt is None
    assert shop.level(lamp) == (100, 3)
    assert shop.database.call("select id from orders where cart_id = :id::text", id=another) == []


def test_a_notice_of_paypal_asks_for_no_capture_while_its_buyer_waits(shop: Shop) -> None:
    """Whoever is locked out here could else go on trying cards on PayPal's own page."""
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    waiting = shop.order({lamp: 1})
    refuse_five(shop, lamp)
    shop.paypal.next_capture = "COMPLETED"
    captures = shop.paypal.called("capture")
    shop.paypal.approve(waiting.paypal_order_id)
    assert waiting.paypal_order_id is not None
    approved = shop.paypal.find_order(waiting.paypal_order_id)
    assert approved is not None

    capturing.follow_facts(waiting.id, [approved], source="webhook", store=shop.orders, processor=shop.paypal)

    assert shop.orders.get(waiting.id).status == "pending_payment"
    assert shop.paypal.called("capture") == captures
    shop.clock.advance(seconds=61)
    assert shop.capture(waiting).status == "paid"


def test_an_approval_that_waited_is_captured_at_the_deadline(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    waiting = shop.order({lamp: 1})
    refuse_five(shop, lamp)
    shop.paypal.next_capture = "COMPLETED"
    shop.paypal.approve(waiting.paypal_order_id)

    shop.clock.advance(minutes=16)
    shop.expire()

    assert shop.orders.get(waiting.id).status == "paid"


@pytest.mark.parametrize("waited_s", [0, 61])
@pytest.mark.parametrize("by", ["staff", "buyer", "buyer by number"])
def test_an_order_whose_approval_waits_can_be_cancelled(shop: Shop, by: str, waited_s: int) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    waiting = shop.order({lamp: 1})
    refuse_five(shop, lamp)
    shop.paypal.approve(waiting.paypal_order_id)
    capturing.look_at_paypal(waiting, store=shop.orders, processor=shop.paypal)
    held = shop.level(lamp)[1]
    shop.clock.advance(seconds=waited_s)

    if by == "staff":
        shop.cancel(waiting)
    elif by == "buyer":
        expiring.cancel_order(waiting.id, reason="buyer", actor="buyer", store=shop.orders)
    else:
        command = cancelling.cancel_order(refund_id=uuid4(), reason="buyer", actor="buyer", is_staff=False)
        shop.orders.settle(waiting.id, command=command)

    ended = shop.orders.get(waiting.id)
    assert (ended.status, ended.attempt, shop.level(lamp)) == ("cancelled", None, (100, held - 1))
    shop.clock.advance(minutes=16)
    expiring.expire_order(waiting.id, store=shop.orders, processor=shop.paypal)
    assert shop.orders.get(waiting.id) == ended


def test_after_the_wait_one_more_refusal_doubles_it(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    _first, second = refuse_five(shop, lamp)
    shop.clock.advance(seconds=61)

    refuse(shop, second)

    with pytest.raises(CheckoutLocked) as refused:
        shop.order({lamp: 1})
    assert 110 <= refused.value.retry_after_s <= 120


def test_five_refused_payments_of_a_cart_lock_it_under_any_email(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    cart = shop.make_cart({lamp: 1})
    first = shop.place(cart, email=f"a{cart}@example.com")
    for _ in range(3):
        refuse(shop, first)
    shop.carts.set_line(cart, lamp, 2)
    second = shop.place(cart, email=f"b{cart}@example.com")
    for _ in range(2):
        refuse(shop, second)
    shop.carts.set_line(cart, lamp, 3)

    with pytest.raises(CheckoutLocked):
        shop.place(cart, email=f"c{cart}@example.com")

    assert shop.orders.get(second.id).status == "pending_payment"
    assert shop.level(lamp) == (100, 2)


def test_ten_refused_payments_of_a_network_lock_it_for_everybody_there(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.network = f"2001:db8:{uuid4().hex[:4]}:2::/64"
    for _ in range(9):
        refuse(shop, shop.order({lamp: 1}))
    tenth = shop.order({lamp: 1})
    refuse(shop, tenth)

    with pytest.raises(CheckoutLocked):
        shop.order({lamp: 1})

    shop.clock.advance(seconds=61)
    assert shop.order({lamp: 1}).status == "pending_payment"


def test_refusals_of_one_email_on_many_orders_at_once_are_all_counted(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    orders = [shop.order({lamp: 1}) for _ in range(5)]
    for order in orders:
        shop.paypal.approve(order.paypal_order_id)
    shop.paypal.next_capture = "INSTRUMENT_DECLINED"
    before = shop.deadlocks()

    paid, refusals = at_once([partial(shop.capture, order) for order in orders])

    assert (paid, [type(refusal) for refusal in refusals]) == ([], [PaymentRefused] * 5)
    with pytest.raises(CheckoutLocked):
        shop.order({lamp: 1})
    assert shop.deadlocks() == before


def test_a_payment_that_goes_through_clears_email_and_cart_and_not_the_network(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email, shop.network = f"{lamp}@example.com", f"2001:db8:{uuid4().hex[:4]}:3::/64"
    order = shop.order({lamp: 1})
    refuse(shop, order)
    refuse(shop, order)

    shop.paypal.approve(order.paypal_order_id)
    shop.paypal.next_capture = "COMPLETED"
    paid = shop.capture(order)

    kept = shop.database.call(
        "select kind, cardinality(refused_at) as n from checkout_lockouts where subject = any (:of::text[])",
        of=[order.cart_id, shop.email.lower(), shop.network],
    )
    assert (paid.status, kept) == ("paid", [{"kind": "network", "n": 2}])


@pytest.mark.parametrize(("refusal", "counted"), [
    ("INSTRUMENT_DECLINED", 1),
    ("PAYMENT_DENIED", 1),
    ("CARD_OF_NO_KNOWN_KIND", 1),
    ("ORDER_NOT_APPROVED", 0),
    ("PAYEE_ACCOUNT_RESTRICTED", 0),
    ("DUPLICATE_INVOICE_ID", 0),
    ("UNPROCESSABLE_ENTITY", 0),
    ("HTTP_404", 0),
])  # fmt: skip
def test_all_counts_but_what_the_shop_has_to_answer_for(shop: Shop, refusal: str, counted: int) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 100): 1})
    shop.paypal.capture_refusal = Refused(refusal)

    with pytest.raises(Conflict):
        shop.capture(order)

    assert refusals_of(shop, order) == [counted] * (3 if counted else 0)


@pytest.mark.parametrize("status", ["DECLINED", "FAILED"])
def test_a_capture_that_paypal_made_and_denied_counts(shop: Shop, status: str) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 100): 1})
    shop.paypal.next_capture = status

    with pytest.raises(PaymentRefused):
        shop.capture(order)

    assert refusals_of(shop, order) == [1, 1, 1]


def test_a_refusal_is_counted_while_staff_lift_what_it_counts_on(shop: Shop) -> None:
    """Whoever lifts it first makes it begin anew; whoever comes second waits, and lifts this refusal too."""
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    first, order = shop.order({lamp: 1}), shop.order({lamp: 1})
    refuse(shop, first)

    def count(tx: Transaction) -> list[Any]:
        rows = tx.rows

        def lifting_in_between(text: str, **values: Any) -> Any:
            given = rows(text, **values)
            if "insert into checkout_lockouts" in text:
                waiting.append(shop.database.call(_LIFT_UNLESS_LOCKED, subject=shop.email))
            return given

        waiting: list[Any] = []
        between = SimpleNamespace(one=tx.one, rows=lifting_in_between)
        count_refusals(cast(Transaction, between), order, 1, shop.clock.now())
        return waiting

    lifted = shop.database.step(count)

    assert lifted == [[]]
    assert refusals_of(shop, order, kind="email") == [2]


def test_an_approval_that_never_was_counts_as_no_refusal(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    order = shop.approved_order({lamp: 1})
    assert order.paypal_order_id is not None
    said = shop.paypal.find_order(order.paypal_order_id)
    assert said is not None
    shop.paypal.statuses[order.paypal_order_id] = ("CREATED", "2026-11-22T11:00:00Z")

    capturing.follow_facts(order.id, [said], source="webhook", store=shop.orders, processor=shop.paypal)

    attempt = shop.orders.get(order.id).attempt
    assert attempt is not None
    assert attempt.refusal == "ORDER_NOT_APPROVED"
    assert shop.database.call("select id from checkout_lockouts where subject = :c::text", c=order.cart_id) == []


# Staff -----------------------------------------------------------------------------------------------


def test_staff_see_who_waits_and_lift_it_with_a_row_in_the_audit_log(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    refuse_five(shop, lamp)
    lockouts = Lockouts(shop.database, shop.clock)

    [locked] = [one for one in lockouts.list_locked(limit=100) if one.subject == shop.email.lower()]
    lockouts.lift(locked.id, actor="staff:1")

    assert (locked.kind, locked.times, len(locked.refused_at)) == ("email", 1, 5)
    assert shop.order({lamp: 1}).status == "pending_payment"
    written = shop.database.call(
        "select actor, action, detail from audit_log where subject = :s::text", s=f"lockout:{locked.id}"
    )
    assert written == [{"actor": "staff:1", "action": "lockout.lifted", "detail": {"kind": "email", "times": 1}}]
    with pytest.raises(LockoutNotFound):
        lockouts.lift(locked.id, actor="staff:1")


def test_the_list_goes_on_where_a_page_ended(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    for number in range(3):
        shop.email = f"{number}{lamp}@example.com"
        refuse_five(shop, lamp)
    lockouts = Lockouts(shop.database, shop.clock)
    everyone = lockouts.list_locked(limit=100)

    pages = [lockouts.list_locked(limit=1)]
    while pages[-1]:
        last = pages[-1][-1]
        assert last.locked_until is not None
        pages.append(lockouts.list_locked(limit=1, after=(last.locked_until, last.id)))

    assert [lockout.id for page in pages for lockout in page] == [lockout.id for lockout in everyone]
    assert len(everyone) >= 3


def test_what_has_kept_quiet_for_a_day_is_swept_away(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    refuse_five(shop, lamp)
    lockouts = Lockouts(shop.database, shop.clock)

    lockouts.sweep(now=shop.clock.now() + timedelta(hours=23))
    kept = shop.database.call("select kind from checkout_lockouts where subject = :s::text", s=shop.email.lower())
    lockouts.sweep(now=shop.clock.now() + timedelta(hours=24, minutes=2))

    assert kept == [{"kind": "email"}]
    assert shop.database.call("select kind from checkout_lockouts where subject = :s::text", s=shop.email.lower()) == []
