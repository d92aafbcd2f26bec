"""A night over a whole month of orders: in batches, each order once, in little memory, whatever fell behind."""

import tracemalloc
from collections.abc import Iterator
from uuid import UUID

import pytest

from local.database import Address
from shared.kernel.money import Money
from shared.payments.processor import CaptureFact, OrderFact
from tests.numbers import PROVE
from tests.reconciliation.kit import ListedPayPal, ReconciledShop

ORDERS = 10_000 if PROVE else 600
MEMORY_BYTES = 8 * 1024 * 1024


class Month(ListedPayPal):
    """Each order PP<n> has one payment CAP<n> of 10.00 USD, and the refunds that were made of it."""

    def find_order(self, paypal_order_id: str) -> OrderFact | None:
        self._answer_or_not("find_order", paypal_order_id)
        number = paypal_order_id.removeprefix("PP")
        order_id = str(UUID(int=int(number)))
        amount = Money(1000, "USD")
        payment = CaptureFact(f"CAP{number}", "COMPLETED", amount, None, order_id, paypal_order_id, None, "u1")
        refunds = tuple(refund for refund in self.refunds.values() if refund.capture_id == payment.id)
        return OrderFact(paypal_order_id, "COMPLETED", "u1", order_id, None, (payment,), refunds)


@pytest.fixture
def month(fresh_database: Address) -> Iterator[ReconciledShop]:
    shop = ReconciledShop(fresh_database.url)
    now = shop.clock.now()
    shop.database.call(
        """
        insert into orders (id, number, cart_id, cart_version, status, email, client_network, currency, subtotal_minor,
            shipping_minor, tax_minor, total_minor, shipping_address, shipping_option, prices_include_tax, placed_at,
            hold_expires_at, paid_at, paypal_order_id, bound_capture_id, captured_minor, updated_at)
        select lpad(to_hex(n), 32, '0')::uuid, lpad(n::text, 10, '0'), lpad(to_hex(n), 32, '0'), 1, 'paid',
            'ada@example.com', '127.0.0.0/24', 'USD', 1000, 0, 0, 1000, '{}', '{}', false, placed, placed, placed,
            'PP' || n, 'CAP' || n, 1000, placed
        from (select n, :now::timestamptz - interval '1 hour' - n * interval '4 minutes' as placed
              from generate_series(1, :orders::int) n) o
        """,
        now=now,
        orders=ORDERS,
    )
    shop.database.call(
        """
        insert into order_lines (order_id, sku, position, name, quantity, unit_price_minor, total_minor, tax_minor,
            tax_class, allocated)
        select id, 'LAMP', 1, 'Lamp', 1, 1000, 1000, 0, 'standard', 1 from orders
        """
    )
    shop.database.call(
        "insert into stock_levels (sku, location, on_hand, held) values ('LAMP', 'main', :n::int, :n::int)", n=ORDERS
    )
    shop.database.call(
        """
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)
        values (:now::timestamptz, 'LAMP', 'main', 'receive', :n::int, 0, 'test')
        """,
        now=now,
        n=ORDERS,
    )
    shop.database.call(
        """
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor)
        select placed_at, 'LAMP', 'main', 'hold', 0, 1, id, number, 'test' from orders
        """
    )
    shop.database.call(
        """
        insert into payment_facts (kind, object_id, status, update_time, order_id, amount_minor, currency, recorded_at,
            source)
        select f.kind, f.prefix || substr(o.paypal_order_id, 3), 'COMPLETED', f.update_time, o.id, f.minor, f.currency,
            o.placed_at, 'reply'
        from orders o, (values ('order', 'PP', 'u1', null::bigint, null), ('capture', 'CAP', '', 1000, 'USD'))
            as f (kind, prefix, update_time, minor, currency)
        """
    )
    shop.database.call("analyze")
    month = Month(shop.clock.now)
    shop.at_paypal(month)
    yield shop
    shop.database.close()


def test_every_order_of_a_month_is_compared_once_in_little_memory(month: ReconciledShop) -> None:
    first, last = UUID(int=1), UUID(int=ORDERS)
    month.database.call("update orders set captured_minor = 7 where id = :id::uuid", id=first)
    payment = CaptureFact(f"CAP{ORDERS}", "COMPLETED", Money(1000, "USD"), None, str(last), f"PP{ORDERS}", None, "u1")
    refund = month.paypal.make_refund(payment, 300)

    tracemalloc.start()
    found = month.reconcile()
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    read = [of for what, of in month.paypal.calls if what == "find_order"]
    assert sorted(read) == sorted(f"PP{n}" for n in range(1, ORDERS + 1))
    assert found == [
        ("fact_missed", refund.id, "repaired"),
        ("order_unsettled", "0000000001", "repaired"),
    ]
    assert [month.orders.get(order).status for order in (first, last)] == ["paid", "on_hold"]
    assert peak < MEMORY_BYTES, peak


@pytest.mark.parametrize(
    ("step", "index"), [("list_open_orders", "orders_not_final"), ("list_orders_of_window", "orders_placed")]
)
def test_a_batch_is_a_range_of_an_index(month: ReconciledShop, step: str, index: str) -> None:
    """However many orders lie behind it."""
    month.begin()
    run = month.tools.runs.take_turn("full", at=month.clock.now())
    assert run is not None
    scanned = "select idx_scan from pg_stat_user_indexes where indexrelname = :index::text"

    def scans() -> int:
        month.database.call("select pg_stat_force_next_flush()")
        return int(month.database.call(scanned, index=index)[0]["idx_scan"])

    before, whole = scans(), _whole_reads(month)
    batch = getattr(month.tools.registry, step)(run, after="", limit=10, at=month.clock.now())

    assert len(batch) == (10 if step == "list_orders_of_window" else 0)
    assert scans() > before
    assert _whole_reads(month) == whole


def _whole_reads(shop: ReconciledShop) -> int:
    shop.database.call("select pg_stat_force_next_flush()")
    return int(shop.database.call("select seq_scan from pg_stat_user_tables where relname = 'orders'")[0]["seq_scan"])
