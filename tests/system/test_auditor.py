"""An auditor that never finds anything proves nothing: each fault planted here must be found, and named."""

from collections.abc import Iterator

import pytest

from tests.auditor.auditor import audit_shop
from tests.local.vendor_processes import wait_until
from tests.system.cloud import Cloud

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _nobody_reconciles(running_cloud: Cloud) -> Iterator[None]:
    """What these tests plant, the next turn of reconciliation would put right: both its turns are taken meanwhile."""

    def take_both_turns() -> bool:
        running_cloud.sql(
            "insert into reconciliation_runs (id, kind, asked_by, started_at, since, step, lease_token, leased_until)"
            " select gen_random_uuid(), kind, 'planted', now(), now(), 'stock', gen_random_uuid(), 'infinity'"
            " from unnest(array['fresh', 'full']) as kind on conflict do nothing"
        )
        ((taken,),) = running_cloud.sql("select count(*) from reconciliation_runs where asked_by = 'planted'")
        return int(taken) == 2

    wait_until(take_both_turns)
    yield
    running_cloud.sql("delete from reconciliation_runs where asked_by = 'planted'")


@pytest.fixture
def shop_with_a_paid_order(running_cloud: Cloud) -> tuple[Cloud, str, str]:
    """A settled shop in order, the SKU that was sold, and the order's number."""
    lamp = running_cloud.make_stock("AUDIT", 5)
    number = str(running_cloud.paid_order({lamp: 2})["number"])
    running_cloud.settle()
    assert _findings(running_cloud) == []
    return running_cloud, lamp, number


def _findings(cloud: Cloud) -> list[str]:
    return audit_shop(cloud.database_url, cloud.url)


def test_a_unit_held_for_nobody_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    cloud, lamp, _number = shop_with_a_paid_order
    cloud.sql("update stock_levels set held = held + 1 where sku = :sku", sku=lamp)

    found = _findings(cloud)
    cloud.sql("update stock_levels set held = held - 1 where sku = :sku", sku=lamp)

    assert found == [
        f"stock {lamp}/main: 3 held, and movements that make 2",
        f"stock {lamp}/main: 3 held, and order lines that keep 2",
    ]


def test_a_movement_that_nothing_explains_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    cloud, lamp, _number = shop_with_a_paid_order
    cloud.sql(
        "insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor) "
        "values (now(), :sku, 'main', 'adjust', 7, 0, 'planted')",
        sku=lamp,
    )

    found = _findings(cloud)
    cloud.sql("delete from stock_movements where actor = 'planted'")

    assert found == [f"stock {lamp}/main: 5 on hand, and movements that make 12"]


def test_an_order_called_paid_that_nobody_paid_is_found(running_cloud: Cloud) -> None:
    lamp = running_cloud.make_stock("AUDIT", 5)
    order = running_cloud.order({lamp: 1})
    running_cloud.settle()
    running_cloud.sql("update orders set status = 'paid', paid_at = now() where id = :id", id=order["id"])

    found = _findings(running_cloud)
    running_cloud.sql("update orders set status = 'pending_payment', paid_at = null where id = :id", id=order["id"])

    number = order["number"]
    assert sorted(found) == sorted(
        [
            f"order {number} (paid): 1 units held and 0 allocated, not 0 and 1",
            f"order {number} (paid): 0 invoices",
            f"order {number}: paid without a capture",
            f"order {number}: PayPal keeps 0 of its {order['totals']['total']['amount_minor']} for us",
            f"order {number} (paid): 0 order.paid events",
            f"order {number} (paid): 0 confirmations in the inbox",
        ]
    )


def test_money_that_paypal_keeps_for_no_order_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    """The order forgets which capture is its own: PayPal then keeps money for it that is nobody's."""
    cloud, _lamp, number = shop_with_a_paid_order
    ((capture, total),) = cloud.sql("select bound_capture_id, total_minor from orders where number = :n", n=number)
    cloud.sql("update orders set bound_capture_id = 'ANOTHER' where number = :n", n=number)

    found = _findings(cloud)
    cloud.sql("update orders set bound_capture_id = :c where number = :n", c=capture, n=number)

    assert found == [
        f"order {number} (paid): PayPal keeps {total} of {capture} for us",
        f"order {number}: PayPal keeps 0 of its {total} for us",
    ]


def test_a_mail_that_was_never_asked_for_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    """The event behind the confirmation is taken away, as if it had been rolled back."""
    cloud, _lamp, number = shop_with_a_paid_order
    payload = "payload -> 'order' ->> 'number' = :n and name = 'order.paid'"
    cloud.sql(f"update outbox set name = 'order.unpaid' where {payload}", n=number)

    found = _findings(cloud)
    cloud.sql(f"update outbox set name = 'order.paid' where {payload.replace('order.paid', 'order.unpaid')}", n=number)

    assert sorted(found) == sorted(
        [
            f"order {number} (paid): 0 order.paid events",
            f"order {number} (paid): 0 confirmations in the inbox",
            f"order {number}: 1 mails were written for one order.unpaid",
        ]
    )


def test_an_event_that_never_left_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    cloud, _lamp, number = shop_with_a_paid_order
    cloud.sql(
        "update outbox set published_at = null, leased_until = now() + interval '1 year' "
        "where payload -> 'order' ->> 'number' = :n and name = 'order.paid'",
        n=number,
    )

    found = _findings(cloud)
    cloud.sql("update outbox set published_at = now(), leased_until = null where published_at is null")

    assert found == ["outbox: order.paid was never published"]


def test_an_event_that_nobody_was_told_of_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    cloud, _lamp, number = shop_with_a_paid_order
    ((planted,),) = cloud.sql(
        "insert into outbox (id, destination, name, payload, created_at, published_at)"
        " select gen_random_uuid(), destination, 'payment.refused', payload, created_at, published_at from outbox"
        " where payload -> 'order' ->> 'number' = :n and name = 'order.paid' returning id",
        n=number,
    )

    found = _findings(cloud)
    cloud.sql("delete from outbox where id = :id", id=planted)

    assert found == [
        f"order {number}: 0 mails were written for one payment.refused",
        f"order {number}: payment.refused was never received",
    ]


def test_units_that_an_order_keeps_without_a_movement_are_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    """The level is right in sum: what one order has too few, another SKU's movements hide."""
    cloud, lamp, number = shop_with_a_paid_order
    cloud.sql(
        "update stock_movements set order_id = gen_random_uuid() where order_number = :n and delta_held > 0", n=number
    )

    found = _findings(cloud)
    cloud.sql(
        "update stock_movements set order_id = (select id from orders where number = :n) where order_number = :n",
        n=number,
    )

    assert found[0] == f"order {number}: {lamp} keeps 2, and movements that make 0"
    assert found[1].startswith(f"stock {lamp}: moved by 2 held and 0 shipped for ")
    assert len(found) == 2


def test_money_that_only_one_of_the_two_ledgers_knows_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    cloud, _lamp, number = shop_with_a_paid_order
    ((capture,),) = cloud.sql("select bound_capture_id from orders where number = :n", n=number)
    cloud.sql("update payment_facts set object_id = 'INVENTED' where object_id = :c and kind = 'capture'", c=capture)

    found = _findings(cloud)
    cloud.sql("update payment_facts set object_id = :c where object_id = 'INVENTED'", c=capture)

    assert found == [
        "capture INVENTED: a fact says COMPLETED, and PayPal has no such thing",
        f"order {number}: its capture {capture} at PayPal is no fact here",
    ]


def test_more_asked_back_than_ever_came_is_found(shop_with_a_paid_order: tuple[Cloud, str, str]) -> None:
    cloud, _lamp, number = shop_with_a_paid_order
    ((capture, total),) = cloud.sql("select bound_capture_id, total_minor from orders where number = :n", n=number)
    cloud.sql(
        "insert into refunds (id, order_id, capture_id, kind, amount_minor, currency, reason, state, requested_at,"
        " requested_by, updated_at) select gen_random_uuid(), id, bound_capture_id, 'staff', total_minor + 1, currency,"
        " 'planted', 'requested', now(), 'test', now() from orders where number = :n",
        n=number,
    )

    found = _findings(cloud)
    cloud.sql("delete from refunds where reason = 'planted'")

    assert found == [f"capture {capture}: {total + 1} asked back of {total}"]


def test_what_still_waits_when_every_deadline_has_passed_is_found(running_cloud: Cloud) -> None:
    order = running_cloud.order({running_cloud.make_stock("AUDIT", 5): 1})
    running_cloud.settle()

    assert _findings(running_cloud) == []
    at_rest = audit_shop(running_cloud.database_url, running_cloud.url, at_rest=True)
    assert f"order {order['number']} still waits for its money (pending_payment)" in at_rest


def test_a_webhook_that_was_replayed_behind_the_audit_logs_back_is_found(
    shop_with_a_paid_order: tuple[Cloud, str, str],
) -> None:
    cloud, _lamp, _number = shop_with_a_paid_order
    ((event_id, event_type),) = cloud.sql(
        "update webhook_events set replays = 1, order_ids = array[gen_random_uuid()] where id = "
        "(select id from webhook_events where replays = 0 order by id limit 1) returning id, event_type"
    )

    found = _findings(cloud)
    cloud.sql("update webhook_events set replays = 0, order_ids = '{}' where id = :id", id=event_id)

    assert found == [
        f"webhook {event_id}: 1 replays, 0 in the audit log",
        f"webhook {event_id} ({event_type}): it names an order that is not there",
    ]
