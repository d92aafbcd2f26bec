"""What the auditor reads of a database, whole, in one statement: one moment, one answer."""

from typing import Any

import pg8000.native

Row = dict[str, Any]

# The columns that are looked at: an order alone has ten more.
_TABLES = {
    "orders": "select id, number, cart_id, status, status_reason, email, client_network, currency, subtotal_minor,"
    " discount_minor, shipping_minor, tax_minor, total_minor, prices_include_tax, placed_at, paid_at, paypal_order_id,"
    " bound_capture_id, captured_minor, refunded_minor, reversed_minor, voucher_code, voucher_over_limit from orders",
    "order_lines": "select order_id, sku, location, quantity, unit_price_minor, tax_minor, discount_minor, held,"
    " allocated, consumed, released, expired, returned from order_lines",
    "stock_levels": "select sku, location, on_hand, held from stock_levels",
    "moved": "select sku, location, sum(delta_on_hand) as on_hand, sum(delta_held) as held"
    " from stock_movements group by sku, location",
    "moved_for_orders": "select order_id, sku, sum(delta_held) as held,"
    " -coalesce(sum(delta_on_hand) filter (where kind in ('ship', 'repair')), 0) as shipped"
    " from stock_movements where order_id is not null group by order_id, sku",
    "repaired": "select sku, location from stock_movements where kind = 'repair'",
    "shipped": "select order_id, sku, delta_on_hand from stock_movements where kind = 'ship'",
    "restocked": "select reason, delta_on_hand from stock_movements where kind = 'return'",
    "stock_findings": "select subject, kind from reconciliation_findings where kind like 'stock%'",
    "voucher_redemptions": "select order_id, voucher_id, email, state from voucher_redemptions",
    "vouchers": "select id, code, redeemed, version, total_limit, per_customer_limit from vouchers",
    "shop_settings": "select value, updated_at from shop_settings",
    "audit_log": "select action, subject from audit_log",
    "webhook_events": "select id, event_type, replays, order_ids from webhook_events",
    "dead_letters": "select id, state, replays from dead_letters",
    "live_attempts": "select order_id, state from capture_attempts where state <> 'refused'",
    "refunds": "select id, order_id, capture_id, amount_minor, state, lines, shipping_minor, retries from refunds",
    "failed_refunds": "select capture_id from refunds where state in ('failed', 'cancelled')"
    " union select capture_id from payment_facts where kind = 'refund' and status in ('FAILED', 'CANCELLED')",
    "facts": "select order_id, kind, object_id, status, capture_id, amount_minor, currency, reversal, ours"
    " from payment_facts order by id",
    "captured": "select object_id, max(amount_minor) as amount from payment_facts where kind = 'capture'"
    " and status in ('COMPLETED', 'PARTIALLY_REFUNDED', 'REFUNDED') group by object_id",
    "given_back": "select capture_id, object_id, max(amount_minor) as amount from payment_facts where kind = 'refund'"
    " and status = 'COMPLETED' group by capture_id, object_id",
    "shipments": "select id, order_id, state from shipments",
    "shipment_lines": "select shipment_id, order_id, sku, quantity from shipment_lines",
    "documents": "select order_id, kind, refund_id, amount_minor, currency, year, serial, number, issued_at, content"
    " from documents order by position",
    "document_counters": "select kind, year, last from document_counters",
    "document_tax_sums": "select day, kind, currency, rate, documents, net_minor, tax_minor, gross_minor"
    " from document_tax_sums",
    "document_sweep": "select taxes_until from document_sweep",
    "returns": "select id, order_id, state, refund_id from returns",
    "return_lines": "select return_id, sku, quantity from return_lines",
    "return_receipts": "select return_id, sku, quantity, restock from return_receipts",
}
_ALL = f"select {', '.join(f'(select json_agg(r) from ({sql}) r) as {name}' for name, sql in _TABLES.items())}"


class Reading:
    """Reads all of it, as often as wanted, by one plan. Times and ids come as JSON has them, as text."""

    def __init__(self, connection: pg8000.native.Connection) -> None:
        self._all = connection.prepare(_ALL)

    def read(self) -> dict[str, list[Row]]:
        """The rows under each name."""
        [answer] = self._all.run()
        return {name: rows or [] for name, rows in zip(_TABLES, answer, strict=True)}
