"""What PayPal has and we never heard of: found, named, settled or given back; a second run finds nothing."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.kernel.money import Money
from shared.orders.order import Order
from shared.payments.processor import OrderFact
from shared.payments.webhooks import WebhookEvent
from tests.reconciliation.kit import AwayFrom, ReconciledShop

Found = list[tuple[str, str, str]]


def _lamp(shop: ReconciledShop) -> str:
    return shop.make_stock("LAMP", 5)


# Lost notices, one of each type -----------------------------------------------------------------------------------


def _captured(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    capture = shop.paypal.make_capture(order.paypal_order_id)
    return "PAYMENT.CAPTURE.COMPLETED", {"id": capture.id, "status": "COMPLETED"}


def _pending(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    capture = shop.paypal.make_capture(order.paypal_order_id, "PENDING")
    return "PAYMENT.CAPTURE.PENDING", {"id": capture.id, "status": "PENDING"}


def _approved(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    assert order.paypal_order_id is not None
    shop.paypal.approve(order.paypal_order_id)
    return "CHECKOUT.ORDER.APPROVED", {"id": order.paypal_order_id, "status": "APPROVED"}


def _completed(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    assert order.paypal_order_id is not None
    shop.paypal.make_capture(order.paypal_order_id)
    return "CHECKOUT.ORDER.COMPLETED", {"id": order.paypal_order_id, "status": "COMPLETED"}


@pytest.mark.parametrize(
    ("happens", "ends"),
    [
        (_captured, ("paid", None)),
        (_pending, ("on_hold", "capture_pending")),
        (_approved, ("paid", None)),
        (_completed, ("paid", None)),
    ],
)
def test_a_notice_of_an_open_order_that_was_lost_is_heard_all_the_same(
    shop: ReconciledShop,
    happens: Callable[[ReconciledShop, Order], tuple[str, dict[str, str]]],
    ends: tuple[str, str | None],
) -> None:
    """S42, S44: the list of events leads to the same settling as the notice would have."""
    order = shop.order({_lamp(shop): 1})
    event_type, resource = happens(shop, order)
    event = shop.paypal.tell(event_type, **resource)
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == [("event_missed", event.id, "repaired")]
    assert shop.status(order) == ends
    assert shop.verdict(event.id)[0] == "applied"
    assert len(shop.paypal.captures) == 1
    assert shop.reconcile("fresh") == []
    assert shop.reconcile("full") == []


def _refunded(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    capture = shop.capture_of(order)
    refund = shop.paypal.make_refund(capture)
    shop.paypal.become(capture.id, "REFUNDED")
    return "PAYMENT.CAPTURE.REFUNDED", {"id": refund.id, "status": "COMPLETED"}


def _reversed(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    refund = shop.paypal.make_refund(shop.capture_of(order))
    shop.paypal.refunds[refund.id] = replace(refund, reversal=True)
    return "PAYMENT.CAPTURE.REVERSED", {"id": refund.id, "status": "COMPLETED"}


def _disputed(shop: ReconciledShop, order: Order) -> tuple[str, dict[str, str]]:
    dispute = shop.paypal.open_dispute(shop.capture_of(order))
    return "CUSTOMER.DISPUTE.CREATED", {"dispute_id": dispute.id, "status": "OPEN"}


@pytest.mark.parametrize("happens", [_refunded, _reversed, _disputed])
def test_money_that_left_and_whose_notice_was_lost_stops_the_order(
    shop: ReconciledShop, happens: Callable[[ReconciledShop, Order], tuple[str, dict[str, str]]]
) -> None:
    lamp = _lamp(shop)
    order = shop.paid_order({lamp: 1})
    event_type, resource = happens(shop, order)
    event = shop.paypal.tell(event_type, **resource)
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == [("event_missed", event.id, "repaired")]
    assert shop.status(order) == ("on_hold", "outside")
    assert shop.level(lamp) == (5, 1)
    assert shop.reconcile("full") == []


def test_an_event_that_did_come_is_not_found_again(shop: ReconciledShop) -> None:
    order = shop.order({_lamp(shop): 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == []
    assert shop.status(order) == ("paid", None)


def test_a_notice_that_comes_after_its_event_was_read_from_the_list_is_known(shop: ReconciledShop) -> None:
    order = shop.order({_lamp(shop): 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    event = shop.paypal.tell("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=6)
    shop.reconcile("fresh")

    late = WebhookEvent(uuid4(), str(uuid4()), event.id, event.event_type, event.body, shop.clock.now())

    assert not shop.webhooks.keep(late)
    assert shop.verdict(event.id)[0] == "applied"


def test_an_event_whose_notice_is_on_its_way_is_left_to_it(shop: ReconciledShop) -> None:
    order = shop.order({_lamp(shop): 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    event = shop.paypal.tell("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")

    assert shop.reconcile("fresh") == []
    assert shop.status(order) == ("pending_payment", None)
    shop.clock.advance(minutes=6)
    assert shop.reconcile("fresh") == [("event_missed", event.id, "repaired")]


def test_an_event_that_was_lost_and_changes_nothing_has_a_reason(shop: ReconciledShop) -> None:
    """The reply to our own call had it first."""
    order = shop.paid_order({_lamp(shop): 1})
    event = shop.paypal.tell("PAYMENT.CAPTURE.COMPLETED", id=shop.capture_of(order).id, status="COMPLETED")
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == [("event_missed", event.id, "explained")]
    assert shop.reconcile("fresh") == []


def test_every_page_of_the_list_is_read_and_the_next_run_reads_a_little_of_it_again(shop: ReconciledShop) -> None:
    orders = [shop.paid_order({_lamp(shop): 1}) for _ in range(7)]
    for order in orders:
        _refunded(shop, order)
        refund = next(r for r in shop.paypal.refunds.values() if r.capture_id == shop.capture_of(order).id)
        shop.paypal.tell("PAYMENT.CAPTURE.REFUNDED", id=refund.id, status="COMPLETED")
    shop.clock.advance(minutes=6)

    found = shop.reconcile("fresh")
    shop.clock.advance(minutes=5)
    shop.paypal.calls.clear()

    assert [(kind, state) for kind, _subject, state in found] == [("event_missed", "repaired")] * 7
    assert {shop.status(order) for order in orders} == {("on_hold", "outside")}
    assert shop.reconcile("fresh") == []
    assert shop.paypal.called("list_events") == 3


# No event at all: the objects themselves --------------------------------------------------------------------------


def test_a_payment_that_was_never_told_is_found_at_the_order(shop: ReconciledShop) -> None:
    """S42: pending for more than five minutes: PayPal's order is read, and it is the same transition."""
    lamp = _lamp(shop)
    order = shop.order({lamp: 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == [("fact_missed", capture.id, "repaired")]
    assert shop.status(order) == ("paid", None)
    assert shop.events(order) == ["order.placed", "order.paid"]
    assert shop.level(lamp) == (5, 1)
    assert shop.reconcile("full") == []


def test_a_payment_and_its_notice_end_the_same_whoever_comes_first(shop: ReconciledShop) -> None:
    """S20, S27: the run and a late notice see the same capture; one payment, no refund."""
    order = shop.order({_lamp(shop): 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    shop.clock.advance(minutes=6)
    shop.reconcile("fresh")

    shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.receive("CHECKOUT.ORDER.APPROVED", id=order.paypal_order_id, status="APPROVED")

    assert shop.status(order) == ("paid", None)
    assert (shop.paypal.called("capture"), shop.paypal.refunds) == (0, {})
    assert shop.events(order) == ["order.placed", "order.paid"]


def test_a_payment_of_an_order_that_has_expired_counts_while_the_goods_are_there(shop: ReconciledShop) -> None:
    lamp = _lamp(shop)
    order = shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.expire()
    assert shop.status(order) == ("expired", None)
    capture = shop.paypal.make_capture(order.paypal_order_id)

    assert shop.reconcile("fresh") == [("fact_missed", capture.id, "repaired")]
    assert shop.status(order) == ("paid", None)
    assert shop.level(lamp) == (5, 1)


def test_a_refund_in_paypals_dashboard_is_found_by_the_night(shop: ReconciledShop) -> None:
    order = shop.paid_order({_lamp(shop): 1})
    refund = shop.paypal.make_refund(shop.capture_of(order), 500)
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == []
    assert shop.reconcile("full") == [("fact_missed", refund.id, "repaired")]
    assert shop.status(order) == ("on_hold", "outside")
    assert shop.orders.get(order.id).refunded_minor == 500
    assert shop.reconcile("full") == []


def test_a_dispute_that_was_won_without_a_word_lets_the_goods_go(shop: ReconciledShop) -> None:
    order = shop.paid_order({_lamp(shop): 1})
    dispute = shop.paypal.open_dispute(shop.capture_of(order))
    shop.receive("CUSTOMER.DISPUTE.CREATED", dispute_id=dispute.id, status="OPEN")
    assert shop.status(order) == ("on_hold", "outside")
    shop.paypal.open_dispute(shop.capture_of(order), "RESOLVED", "RESOLVED_SELLER_FAVOUR")
    shop.clock.advance(minutes=6)

    assert shop.reconcile("full") == [("fact_missed", dispute.id, "repaired")]
    assert shop.status(order) == ("paid", None)
    assert shop.reconcile("full") == []


def test_a_pending_refund_ends_as_paypal_says(shop: ReconciledShop) -> None:
    order = shop.paid_order({_lamp(shop): 1})
    second = shop.paypal.make_capture(order.paypal_order_id)
    shop.receive("PAYMENT.CAPTURE.COMPLETED", id=second.id, status="COMPLETED")
    ((refund_id,),) = [row.values() for row in shop.database.call("select id from refunds")]
    pending = replace(shop.paypal.make_refund(second, custom_id=str(refund_id)), status="PENDING")
    shop.paypal.refunds[pending.id] = pending
    shop.orders.settle(order.id, facts=[pending])
    shop.paypal.refunds[pending.id] = replace(pending, status="COMPLETED")
    shop.clock.advance(minutes=6)

    assert shop.reconcile("full") == [("fact_missed", pending.id, "repaired")]
    assert [refund.state for refund in shop.orders.get(order.id).refunds] == ["completed"]
    assert shop.status(order) == ("paid", None)


def test_an_amount_that_is_another_one_is_reported_and_nothing_is_moved(shop: ReconciledShop) -> None:
    order = shop.paid_order({_lamp(shop): 1})
    capture = shop.capture_of(order)
    assert capture.amount is not None
    shop.paypal.captures[capture.id] = replace(capture, amount=Money(capture.amount.minor - 1, "USD"))
    shop.clock.advance(minutes=6)

    assert shop.reconcile() == [("amount_differs", capture.id, "open")]
    assert shop.detail("amount_differs")["paypal_minor"] == capture.amount.minor - 1
    assert shop.detail("amount_differs")["ours_minor"] == capture.amount.minor
    assert shop.status(order) == ("paid", None)
    assert shop.reconcile() == [("amount_differs", capture.id, "open")]
    shop.paypal.captures[capture.id] = capture
    assert shop.reconcile() == []
    assert shop.found() == [("amount_differs", capture.id, "repaired")]


def test_an_order_that_says_other_sums_than_its_ledger_is_settled_again(shop: ReconciledShop) -> None:
    order = shop.paid_order({_lamp(shop): 1})
    shop.database.call("update orders set captured_minor = 1 where id = :id::uuid", id=order.id)
    shop.clock.advance(minutes=6)

    assert shop.reconcile() == [("order_unsettled", order.number, "repaired")]
    assert shop.orders.get(order.id).captured_minor == order.total_minor
    assert shop.reconcile() == []


def test_money_of_an_order_that_is_over_and_whose_refund_failed_stays_in_the_report(shop: ReconciledShop) -> None:
    order = shop.order({_lamp(shop): 5})
    shop.clock.advance(minutes=16)
    shop.expire()
    shop.database.call("update stock_levels set held = 0 where held > 0")
    other = shop.paid_order({order.lines[0].sku: 5})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    ((refund_id,),) = [row.values() for row in shop.database.call("select id from refunds")]
    shop.orders.fail_refund(refund_id, "REFUND_FAILED_INSUFFICIENT_FUNDS")
    shop.clock.advance(minutes=6)

    assert shop.reconcile() == [("money_kept", order.number, "open")]
    assert shop.detail("money_kept")["amount_minor"] == order.total_minor
    # Somebody gives it back in PayPal's dashboard.
    shop.paypal.make_refund(capture)
    assert [(kind, state) for kind, _subject, state in shop.reconcile()] == [("fact_missed", "repaired")]
    assert ("money_kept", order.number, "repaired") in shop.found()
    assert shop.status(other) == ("paid", None)


# Payments that no order of ours has -------------------------------------------------------------------------------


def test_a_payment_that_names_its_order_by_the_invoice_alone_is_paired(shop: ReconciledShop) -> None:
    """S24."""
    order = shop.order({_lamp(shop): 1})
    capture = shop.paypal.stray(invoice_id=f"VIT-{order.number}", amount=Money(order.total_minor, "USD"))
    event = shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    assert shop.verdict(event.event_id) == ("waiting", "order not known yet")
    shop.clock.advance(minutes=11)

    assert shop.reconcile("fresh") == [("capture_unpaired", capture.id, "repaired")]
    assert shop.status(order) == ("paid", None)
    assert shop.verdict(event.event_id) == ("applied", "paired by its invoice")
    assert shop.paypal.refunds == {}
    assert shop.reconcile("full") == []


def test_as_many_payments_without_an_order_as_there_are_stay_open_until_they_are_explained(
    shop: ReconciledShop,
) -> None:
    """As after a restored backup: a full run looks at every one of them, and closes none that it has not looked at."""
    many = 130
    for _time in range(many):
        capture = shop.paypal.stray(invoice_id="VIT-7Z2K9Q4M1X", custom_id=str(uuid4()), amount=Money(1999, "USD"))
        shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=11)
    shop.paypal.refund_refusals = ["REFUND_TIME_LIMIT_EXCEEDED"] * many
    shop.reconcile("fresh")
    shop.clock.advance(days=5)
    shop.database.call("update webhook_events set state = 'ignored', verdict = 'no such order' where state = 'waiting'")

    shop.begin("full")
    turns = 1
    while not shop.go_on("full", for_s=0):
        turns += 1

    assert [(kind, state) for kind, _subject, state in shop.found()] == [("capture_without_order", "open")] * many
    assert turns > many  # each of them asks PayPal, and the time is looked at after each


def test_a_payment_with_our_prefix_and_no_order_goes_back_once(shop: ReconciledShop) -> None:
    """S24: after ten minutes, whichever run, and however often."""
    capture = shop.paypal.stray(invoice_id="VIT-7Z2K9Q4M1X", custom_id=str(uuid4()), amount=Money(1999, "USD"))
    event = shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=6)
    assert shop.reconcile("fresh") == []
    assert shop.paypal.refunds == {}
    shop.clock.advance(minutes=5)
    shop.paypal.lost_answers = 1  # it is done, and nobody hears

    shop.begin("fresh")
    assert not shop.go_on("fresh")
    shop.clock.advance(minutes=2)
    assert shop.go_on("fresh")

    assert ("capture_without_order", capture.id, "repaired") in shop.found()
    assert [(r.capture_id, r.amount) for r in shop.paypal.refunds.values()] == [(capture.id, Money(1999, "USD"))]
    assert shop.verdict(event.event_id) == ("ignored", "no such order, and given back")
    assert shop.reconcile("full") == []
    assert len(shop.paypal.refunds) == 1


def test_many_payments_without_an_order_are_for_a_person(shop: ReconciledShop) -> None:
    """Orders are missing then, as after a restored backup: three go back, and the rest waits."""
    captures = [
        shop.paypal.stray(invoice_id=f"VIT-000000000{n}", custom_id=str(uuid4()), amount=Money(100, "USD"))
        for n in range(5)
    ]
    for capture in captures:
        shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=11)

    found = shop.reconcile("fresh")
    assert sorted(state for _kind, _subject, state in found) == ["open"] * 2 + ["repaired"] * 3
    assert len(shop.paypal.refunds) == 3
    shop.clock.advance(days=4)
    shop.reconcile("full")
    assert len(shop.paypal.refunds) == 3
    assert [state for _kind, _subject, state in shop.found()].count("open") == 2


@pytest.mark.parametrize("invoice_id", [None, "EBAY-1", "VITRINE-1"])
def test_somebody_elses_payment_is_listed_once_and_left_alone(shop: ReconciledShop, invoice_id: str | None) -> None:
    """S40."""
    capture = shop.paypal.stray(invoice_id=invoice_id, custom_id=str(uuid4()), amount=Money(1000, "USD"))
    event = shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    lost = shop.paypal.stray(invoice_id=invoice_id, amount=Money(5, "EUR"))
    missed = shop.paypal.tell("PAYMENT.CAPTURE.COMPLETED", id=lost.id, status="COMPLETED")
    shop.clock.advance(minutes=11)

    assert sorted(shop.reconcile("fresh")) == sorted(
        [
            ("event_missed", missed.id, "explained"),
            ("foreign_capture", capture.id, "explained"),
            ("foreign_capture", lost.id, "explained"),
        ]
    )
    assert shop.verdict(event.event_id) == ("ignored", "foreign, and looked at again")
    assert shop.reconcile("fresh") == []
    assert shop.reconcile("full") == []
    assert (shop.paypal.called("refund"), shop.database.call("select id from payment_facts")) == (0, [])


def test_somebody_elses_order_is_read_back_once_and_not_by_every_run(
    shop: ReconciledShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = OrderFact("PP-THEIRS", "APPROVED", "u1", None, "EBAY-1", (), ())
    seen = shop.paypal.find_order
    reads: list[str] = []

    def find_order(order_id: str) -> OrderFact | None:
        reads.append(order_id)
        return theirs if order_id == theirs.id else seen(order_id)

    monkeypatch.setattr(shop.paypal, "find_order", find_order)
    event = shop.receive("CHECKOUT.ORDER.APPROVED", id=theirs.id, status="APPROVED")
    assert shop.verdict(event.event_id) == ("ignored", "foreign")
    shop.clock.advance(minutes=11)
    shop.reconcile("fresh")
    assert shop.verdict(event.event_id) == ("ignored", "foreign, and looked at again")
    reads.clear()

    shop.reconcile("fresh")
    shop.reconcile("full")

    assert theirs.id not in reads


# Away, twice, killed ----------------------------------------------------------------------------------------------


def test_while_paypal_is_away_nothing_is_concluded_and_the_run_goes_on_when_it_is_back(shop: ReconciledShop) -> None:
    orders = [shop.order({_lamp(shop): 1}) for _ in range(3)]
    captures = [shop.paypal.make_capture(order.paypal_order_id) for order in orders]
    shop.clock.advance(minutes=6)
    away = AwayFrom(shop.paypal, calls=2)  # the list, the first order, and no more

    shop.begin("fresh")
    assert not shop.go_on("fresh")
    assert ("unreachable", "paypal", "open") in shop.found()
    assert [shop.status(order) for order in orders].count(("paid", None)) == 1
    assert not shop.go_on("fresh")
    shop.clock.advance(seconds=89)
    away.back()
    calls = len(shop.paypal.calls)
    assert not shop.go_on("fresh")
    assert len(shop.paypal.calls) == calls  # Retry-After said 90 seconds
    shop.clock.advance(seconds=2)
    assert shop.go_on("fresh")

    assert {shop.status(order) for order in orders} == {("paid", None)}
    assert sorted(shop.found()) == sorted(
        [("unreachable", "paypal", "repaired"), *(("fact_missed", c.id, "repaired") for c in captures)]
    )


def test_one_order_that_cannot_be_read_keeps_no_other_from_its_turn(shop: ReconciledShop) -> None:
    broken, sound = shop.order({_lamp(shop): 1}), shop.order({_lamp(shop): 1})
    capture = shop.paypal.make_capture(sound.paypal_order_id)
    assert broken.paypal_order_id is not None
    shop.paypal.unreadable.add(broken.paypal_order_id)
    shop.clock.advance(minutes=6)

    shop.begin("fresh")
    for _ in range(3):
        assert not shop.go_on("fresh")
        shop.clock.advance(minutes=2)
    assert shop.go_on("fresh")

    assert shop.status(sound) == ("paid", None)
    assert sorted(shop.found()) == sorted(
        [
            ("fact_missed", capture.id, "repaired"),
            ("unreachable", "paypal", "repaired"),
            ("unreachable", str(broken.id), "open"),
        ]
    )


@pytest.mark.parametrize("failure", ["away", "defect"])
def test_what_a_full_run_could_not_look_at_stays_open(
    shop: ReconciledShop, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nobody looked is no repair: what an order's report says stands until its order is read again."""
    order = shop.paid_order({_lamp(shop): 1})
    capture = shop.capture_of(order)
    assert capture.amount is not None
    shop.paypal.captures[capture.id] = replace(capture, amount=Money(capture.amount.minor - 1, "USD"))
    shop.clock.advance(minutes=6)
    assert shop.reconcile() == [("amount_differs", capture.id, "open")]
    shop.clock.advance(days=1)

    def broken(paypal_order_id: str) -> None:
        raise KeyError(paypal_order_id)

    assert order.paypal_order_id is not None
    if failure == "away":
        shop.paypal.unreadable.add(order.paypal_order_id)
    else:
        monkeypatch.setattr(shop.paypal, "find_order", broken)
    shop.begin()
    for _ in range(8):
        if shop.go_on():
            break
        shop.clock.advance(minutes=2)

    (run,) = shop.database.call("select count(*) filter (where finished_at is null) as open from reconciliation_runs")
    assert run["open"] == 0
    assert ("amount_differs", capture.id, "open") in shop.found()
    monkeypatch.undo()
    shop.paypal.unreadable.clear()
    shop.paypal.captures[capture.id] = capture
    assert shop.reconcile() == []
    assert ("amount_differs", capture.id, "repaired") in shop.found()


def test_a_run_that_is_out_of_time_goes_on_where_it_stopped(shop: ReconciledShop) -> None:
    orders = [shop.paid_order({_lamp(shop): 1}) for _ in range(4)]
    shop.clock.advance(minutes=6)
    shop.paypal.calls.clear()

    shop.begin()
    turns = 0
    while not shop.go_on(for_s=0):
        turns += 1
        assert turns < 50

    read = [of for what, of in shop.paypal.calls if what == "find_order"]
    assert sorted(read) == sorted(str(order.paypal_order_id) for order in orders)
    woken = shop.database.call("select payload from outbox where name = '/jobs/payments/reconcile'")
    assert [row["payload"] for row in woken] == [{"kind": "full"}] * turns
    assert shop.found() == []


@pytest.mark.parametrize("at", range(1, 8))
def test_a_run_that_is_killed_anywhere_is_finished_by_another(shop: ReconciledShop, at: int) -> None:
    orders = [shop.order({_lamp(shop): 1}) for _ in range(3)]
    for order in orders:
        capture = shop.paypal.make_capture(order.paypal_order_id)
        shop.paypal.tell("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=6)
    shop.paypal.while_away = _Killed(at)

    shop.begin()
    with pytest.raises(_Death):
        shop.go_on()
    shop.paypal.while_away = lambda: None
    assert not shop.go_on()  # its turn is not over yet
    shop.clock.advance(minutes=3)
    assert shop.go_on()

    assert {shop.status(order) for order in orders} == {("paid", None)}
    assert [shop.events(order) for order in orders] == [["order.placed", "order.paid"]] * 3
    assert {state for _kind, _subject, state in shop.found()} == {"repaired"}
    assert shop.reconcile() == []


class _Death(BaseException):
    pass


class _Killed:
    """The process ends at the n-th call to PayPal: the list, three payments, three orders."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise _Death


def test_two_runs_at_once_are_one(shop: ReconciledShop) -> None:
    order = shop.order({_lamp(shop): 1})
    shop.paypal.make_capture(order.paypal_order_id)
    shop.clock.advance(minutes=6)
    inner: list[bool] = []

    def second() -> None:
        shop.paypal.while_away = lambda: None
        shop.begin()
        inner.append(shop.go_on())

    shop.paypal.while_away = second
    shop.begin()

    assert shop.go_on()
    assert inner == [False]
    assert len(shop.database.call("select id from reconciliation_runs")) == 1
    assert shop.status(order) == ("paid", None)


def test_a_night_has_one_full_run_however_often_it_is_asked_for(shop: ReconciledShop) -> None:
    from shared.orders import reconciling

    for _ in range(3):
        reconciling.begin("full", shop.tools)
        shop.go_on()
        shop.clock.advance(hours=1)
    shop.clock.advance(hours=20)
    reconciling.begin("full", shop.tools)

    runs = shop.database.call("select finished_at from reconciliation_runs order by started_at")
    assert [row["finished_at"] is None for row in runs] == [False, True]


def test_a_refund_that_paypal_refuses_stays_open_until_somebody_explains_it(shop: ReconciledShop) -> None:
    capture = shop.paypal.stray(invoice_id="VIT-7Z2K9Q4M1X", custom_id=str(uuid4()), amount=Money(1999, "USD"))
    shop.receive("PAYMENT.CAPTURE.COMPLETED", id=capture.id, status="COMPLETED")
    shop.clock.advance(minutes=11)
    shop.paypal.refund_refusals = ["REFUND_TIME_LIMIT_EXCEEDED"]

    assert shop.reconcile("fresh") == [("capture_without_order", capture.id, "open")]
    assert shop.detail("capture_without_order")["refused"] == "REFUND_TIME_LIMIT_EXCEEDED"
    shop.clock.advance(days=5)
    assert shop.reconcile("full") == [("capture_without_order", capture.id, "open")]
    ((finding_id,),) = [row.values() for row in shop.database.call("select id from reconciliation_findings")]
    shop.tools.findings.close(finding_id, at=shop.clock.now(), state="explained", reason="by bank transfer", more={})

    assert shop.reconcile("full") == []
    assert shop.found() == [("capture_without_order", capture.id, "explained")]
    assert shop.paypal.refunds == {}
