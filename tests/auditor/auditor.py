"""The auditor: reads database, PayPal's ledger and the inbox from outside, and says what does not add up.

It shares no code with the functions (import-linter holds it), so it cannot agree with their mistakes. Every finding
is a sentence; a shop in order has none. `audit_database` needs the database alone, `audit_shop` the running local
cloud.
"""

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid5

import pg8000.native

from tests.auditor.documents import audit_documents
from tests.auditor.reading import Reading, Row

_CAPTURED = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
_PREFIX = "VIT-"
_TIMESTAMPTZ = 1184  # its type's OID


def audit_database(url: str) -> list[str]:
    """Stock, orders and the ledger of facts against each other."""
    with closing(DatabaseAuditor(url)) as auditor:
        return auditor.findings()


class DatabaseAuditor:
    """audit_database again and again over one connection: to connect and to plan is most of the work of one."""

    def __init__(self, url: str) -> None:
        self._connection = _connect(url)
        self._reading = Reading(self._connection)

    def findings(self) -> list[str]:
        return _Database(self._connection, self._reading).findings()

    def close(self) -> None:
        self._connection.close()


def audit_shop(database_url: str, cloud_url: str, *, at_rest: bool = False) -> list[str]:
    """The same, and both against PayPal's own ledger and the inbox. Call it when all has settled.

    `at_rest` says that the clock has passed every deadline as well, and that PayPal thinks about nothing any more: then
    nothing at all may be open.
    """
    with closing(ShopAuditor(database_url, cloud_url)) as auditor:
        return auditor.findings(at_rest=at_rest)


class ShopAuditor:
    """audit_shop again and again over one connection. Once the server has ended it is over: make another one."""

    def __init__(self, database_url: str, cloud_url: str) -> None:
        self._connection = _connect(database_url)
        self._reading = Reading(self._connection)
        self._cloud_url = cloud_url

    def findings(self, *, at_rest: bool = False) -> list[str]:
        database = _Database(self._connection, self._reading)
        paypal = _get(f"{self._cloud_url}/_local/paypal/ledger")
        mail = _get(f"{self._cloud_url}/_local/mail")
        return [
            *database.findings(),
            *_money(database, paypal),
            *_ledgers(database, paypal),
            *_requests(database, paypal["requests"]),
            *_tracking(database, paypal["orders"]),
            *_mail(database, mail),
            *_open_ends(database),
            *(_waits(database, paypal) if at_rest else ()),
        ]

    def close(self) -> None:
        self._connection.close()


# The database alone -----------------------------------------------------------------------------------


class _Database:
    def __init__(self, connection: pg8000.native.Connection, reading: Reading) -> None:
        self._connection = connection
        self._read = reading.read()
        self.orders = {row["id"]: row for row in self._read["orders"]}
        self.lines: dict[str, list[Row]] = defaultdict(list)
        for row in self._read["order_lines"]:
            self.lines[row["order_id"]].append(row)

    def rows(self, sql: str) -> list[Row]:
        found = self._connection.run(sql)
        names = [column["name"] for column in self._connection.columns or ()]
        return [dict(zip(names, row, strict=True)) for row in found or ()]

    def findings(self) -> list[str]:
        return [
            *self._stock(),
            *self._repairs(),
            *self._order_lines(),
            *self._orders(),
            *self._clients(),
            *self._vouchers(),
            *self._attempts(),
            *self._facts(),
            *self._shipments(),
            *self._leftovers(),
            *self._documents(),
            *self._returns(),
            *self._refunds(),
        ]

    def _stock(self) -> Iterable[str]:
        levels = {(row["sku"], row["location"]): row for row in self._read["stock_levels"]}
        moved: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for row in self._read["moved"]:
            moved[row["sku"], row["location"]] = [int(row["on_hand"]), int(row["held"])]
        kept: Counter[tuple[str, str]] = Counter()
        for lines in self.lines.values():
            for line in lines:
                kept[line["sku"], line["location"]] += line["held"] + line["allocated"]
        yield from self._stock_of_orders()
        for key in levels.keys() | moved.keys() | kept.keys():
            sku = "/".join(key)
            level = levels.get(key, {"on_hand": 0, "held": 0})
            on_hand, held = level["on_hand"], level["held"]
            if not 0 <= held <= on_hand:
                yield f"stock {sku}: {held} held of {on_hand} on hand"
            if on_hand != moved[key][0]:
                yield f"stock {sku}: {on_hand} on hand, and movements that make {moved[key][0]}"
            if held != moved[key][1]:
                yield f"stock {sku}: {held} held, and movements that make {moved[key][1]}"
            if held != kept[key]:
                yield f"stock {sku}: {held} held, and order lines that keep {kept[key]}"

    def _stock_of_orders(self) -> Iterable[str]:
        """What a line keeps and what it has shipped is what the movements of its order amount to."""
        moved = {
            (str(row["order_id"]), row["sku"]): (int(row["held"]), int(row["shipped"]))
            for row in self._read["moved_for_orders"]
        }
        for order_id, lines in self.lines.items():
            for line in lines:
                held, shipped = moved.pop((order_id, line["sku"]), (0, 0))
                name = f"order {self.orders[order_id]['number']}: {line['sku']}"
                if held != line["held"] + line["allocated"]:
                    yield f"{name} keeps {line['held'] + line['allocated']}, and movements that make {held}"
                if shipped != line["consumed"]:
                    yield f"{name} has {line['consumed']} handed over, and movements that make {shipped}"
        for (order_id, sku), (held, shipped) in moved.items():
            if (held, shipped) != (0, 0):  # else reconciliation has taken it back
                yield f"stock {sku}: moved by {held} held and {shipped} shipped for {order_id}, which has no such line"

    def _repairs(self) -> Iterable[str]:
        """Reconciliation put right what it says, and says what it put right."""
        moved = {f"{row['sku']}/{row['location']}" for row in self._read["repaired"]}
        said = {(row["subject"], row["kind"]) for row in self._read["stock_findings"]}
        for subject in moved - {subject for subject, _kind in said}:
            yield f"stock {subject}: repaired, and no finding says why"
        for subject in {subject for subject, kind in said if kind == "stock_drift"} - moved:
            yield f"stock {subject}: a finding says repaired, and no movement does"

    def _order_lines(self) -> Iterable[str]:
        for order_id, lines in self.lines.items():
            order = self.orders[order_id]
            name = f"order {order['number']} ({order['status']})"
            for line in lines:
                states = [line[state] for state in ("held", "allocated", "consumed", "released", "expired")]
                if sum(states) != line["quantity"]:
                    yield f"{name}: {line['sku']} has {sum(states)} units of {line['quantity']}"
            held = sum(line["held"] for line in lines)
            allocated = sum(line["allocated"] for line in lines)
            quantity = sum(line["quantity"] for line in lines)
            given_up = sum(line["released"] for line in lines)  # units whose money staff gave back before they left
            expected = {
                "pending_payment": (quantity, 0),
                "paid": (0, quantity - given_up),
                "cancelled": (0, 0),
                "expired": (0, 0),
            }.get(order["status"])
            if expected is not None and (held, allocated) != expected:
                yield f"{name}: {held} units held and {allocated} allocated, not {expected[0]} and {expected[1]}"

    def _orders(self) -> Iterable[str]:
        open_of_cart: Counter[str] = Counter()
        for order_id, order in self.orders.items():
            name = f"order {order['number']}"
            subtotal = sum(line["unit_price_minor"] * line["quantity"] for line in self.lines[order_id])
            if subtotal != order["subtotal_minor"]:
                yield f"{name}: lines make {subtotal}, the subtotal says {order['subtotal_minor']}"
            shares = sum(line["discount_minor"] for line in self.lines[order_id])
            if shares != order["discount_minor"]:
                yield f"{name}: its lines give {shares} of a discount of {order['discount_minor']}"
            if sum(line["tax_minor"] for line in self.lines[order_id]) > order["tax_minor"]:
                yield f"{name}: its lines bear more tax than the order"
            tax = 0 if order["prices_include_tax"] else order["tax_minor"]
            total = order["subtotal_minor"] - order["discount_minor"] + order["shipping_minor"] + tax
            if total != order["total_minor"]:
                yield f"{name}: its parts make {total}, its total says {order['total_minor']}"
            if order["status"] == "pending_payment" or order["status_reason"] == "capture_pending":
                open_of_cart[order["cart_id"]] += 1
            if order["status"] in ("paid", "fulfilling", "completed") and order["bound_capture_id"] is None:
                yield f"{name}: {order['status']} without a capture"
        for cart, number in open_of_cart.items():
            if number > 1:
                yield f"cart {cart}: {number} open orders"

    def _vouchers(self) -> Iterable[str]:
        """Redeemed is what orders that are open or went through have redeemed, once each, and no more than allowed."""
        let_go = ("expired", "cancelled")
        used: Counter[str] = Counter()
        by_customer: Counter[tuple[str, str]] = Counter()
        redemptions = {str(row["order_id"]): row for row in self._read["voucher_redemptions"]}
        for order_id, order in self.orders.items():
            redemption = redemptions.get(order_id)
            if (redemption is not None) != (order["voucher_code"] is not None):
                yield f"order {order['number']}: voucher {order['voucher_code']}, redemption {redemption is not None}"
            if redemption is None:
                if order["discount_minor"]:
                    yield f"order {order['number']}: {order['discount_minor']} off without a voucher"
                continue
            if (redemption["state"] == "released") != (order["status"] in let_go):
                yield f"order {order['number']} ({order['status']}): its voucher is {redemption['state']}"
            if redemption["state"] == "redeemed":
                used[str(redemption["voucher_id"])] += 1
                if not order["voucher_over_limit"]:
                    by_customer[str(redemption["voucher_id"]), redemption["email"]] += 1
        flagged = Counter(
            str(redemption["voucher_id"])
            for order_id, redemption in redemptions.items()
            if redemption["state"] == "redeemed" and self.orders[order_id]["voucher_over_limit"]
        )
        for voucher in self._read["vouchers"]:
            voucher_id, name = str(voucher["id"]), f"voucher {voucher['code']}"
            if voucher["redeemed"] != used[voucher_id]:
                yield f"{name}: {voucher['redeemed']} redeemed, {used[voucher_id]} orders have redeemed it"
            # Whose terms were changed may stand above a limit that came later.
            if voucher["version"] > 1:
                continue
            total, each = voucher["total_limit"], voucher["per_customer_limit"]
            if total is not None and used[voucher_id] - flagged[voucher_id] > total:
                yield f"{name}: redeemed {used[voucher_id]} times of {total}"
            for (of, email), times in by_customer.items():
                if each is not None and of == voucher_id and times > each:
                    yield f"{name}: {email} has redeemed it {times} times of {each}"

    def _clients(self) -> Iterable[str]:
        """Of orders placed since the settings last changed, no e-mail address and no network has too many open."""
        [shop] = self._read["shop_settings"]
        changed_at = datetime.fromisoformat(shop["updated_at"])
        since_then: dict[str, Counter[str]] = {"open_orders_per_email": Counter(), "open_orders_per_network": Counter()}
        for order in self.orders.values():
            is_open = order["status"] == "pending_payment" or order["status_reason"] == "capture_pending"
            if is_open and datetime.fromisoformat(order["placed_at"]) > changed_at:
                since_then["open_orders_per_email"][order["email"].lower()] += 1
                since_then["open_orders_per_network"][order["client_network"]] += 1
        for setting, usual in (("open_orders_per_email", 5), ("open_orders_per_network", 20)):
            limit = shop["value"].get(setting, usual)
            for client, number in since_then[setting].items():
                if number > limit:
                    yield f"{client}: {number} orders open at once, the setting {setting} is {limit}"

    def _leftovers(self) -> Iterable[str]:
        """What staff had done again stands in the audit log as often; an applied webhook names orders there are."""
        done = Counter((row["action"], row["subject"]) for row in self._read["audit_log"])
        for row in self._read["webhook_events"]:
            logged = done["webhook.replayed", f"webhook-event:{row['id']}"]
            if logged != row["replays"]:
                yield f"webhook {row['id']}: {row['replays']} replays, {logged} in the audit log"
            if not {str(order_id) for order_id in row["order_ids"]} <= self.orders.keys():
                yield f"webhook {row['id']} ({row['event_type']}): it names an order that is not there"
        for row in self._read["dead_letters"]:
            subject = f"dead-letter:{row['id']}"
            logged = done["dead-letter.replayed", subject]
            if logged != row["replays"]:
                yield f"dead letter {row['id']}: {row['replays']} replays, {logged} in the audit log"
            if done["dead-letter.discarded", subject] != (row["state"] == "discarded"):
                yield f"dead letter {row['id']}: {row['state']}, and the audit log says otherwise"

    def _attempts(self) -> Iterable[str]:
        live = Counter(str(row["order_id"]) for row in self._read["live_attempts"])
        for order_id, number in live.items():
            if number > 1:
                yield f"order {self.orders[order_id]['number']}: {number} capture attempts that were not refused"

    def _refunds(self) -> Iterable[str]:
        """What was asked for never exceeds what was captured, and no unit's money was asked for twice."""
        captured = self._captured()
        given_back: Counter[str] = Counter()
        for row in self._read["given_back"]:
            given_back[row["capture_id"]] += int(row["amount"])
        asked: Counter[str] = Counter()
        done: Counter[str] = Counter()
        units: Counter[tuple[str, str]] = Counter()
        retried: Counter[str] = Counter()
        for row in self._read["refunds"]:
            name = f"refund {row['id']} of order {self.orders[str(row['order_id'])]['number']}"
            parts = sum(line["amount_minor"] for line in row["lines"]) + row["shipping_minor"]
            if parts > row["amount_minor"]:
                yield f"{name}: its parts make {parts} of {row['amount_minor']}"
            if row["retries"] is not None:
                retried[str(row["retries"])] += 1
            if row["state"] in ("failed", "cancelled"):
                continue
            asked[row["capture_id"]] += row["amount_minor"]
            if row["state"] == "completed":
                done[row["capture_id"]] += row["amount_minor"]
            for line in row["lines"]:
                units[str(row["order_id"]), line["sku"]] += line["quantity"]
        for capture, amount in asked.items():
            if amount > captured.get(capture, 0):
                yield f"capture {capture}: {amount} asked back of {captured.get(capture, 0)}"
        # A refund that failed is seen by staff, and what it was of stays until they have found another way.
        failed = {row["capture_id"] for row in self._read["failed_refunds"]}
        for order in self.orders.values():
            capture = order["bound_capture_id"]
            under_way = asked[capture] - done[capture]
            left = captured.get(capture, 0) - given_back[capture] - under_way
            if order["status"] == "cancelled" and capture not in failed and left > 0:
                yield f"order {order['number']} (cancelled): {left} of {capture} is kept, and nobody gives it back"
        for capture, amount in given_back.items():
            if capture in captured and amount > captured[capture]:
                yield f"capture {capture}: {amount} given back of {captured[capture]}"
        quantities = {(order, line["sku"]): line["quantity"] for order, lines in self.lines.items() for line in lines}
        for (order_id, sku), count in units.items():
            if count > quantities.get((order_id, sku), 0):
                yield f"order {self.orders[order_id]['number']}: {count} units of {sku} refunded"
        for refund_id, times in retried.items():
            if times > 1:
                yield f"refund {refund_id} was taken up again {times} times"

    def _facts(self) -> Iterable[str]:
        """What an order says of its money is what its facts amount to."""
        captures: dict[str, dict[str, Row]] = defaultdict(dict)
        refunds: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in self._read["facts"]:
            if row["order_id"] is None:
                continue
            if row["kind"] == "capture" and row["status"] in _CAPTURED:
                captures[str(row["order_id"])][row["object_id"]] = row
            if row["kind"] == "refund" and row["status"] == "COMPLETED":
                refunds[str(row["order_id"])][row["object_id"]] = row
        for order_id, order in self.orders.items():
            came = {object_id: row["currency"] for object_id, row in captures[order_id].items()}
            own = [row for row in captures[order_id].values() if row["currency"] == order["currency"]]
            captured = sum(row["amount_minor"] or 0 for row in own)
            given_back = sum(
                row["amount_minor"]
                for row in refunds[order_id].values()
                if (row["currency"] or came.get(row["capture_id"])) == order["currency"]
            )
            if captured != order["captured_minor"]:
                yield f"order {order['number']}: facts say {captured} captured, it says {order['captured_minor']}"
            said = order["refunded_minor"] + order["reversed_minor"]
            if given_back != said:
                yield f"order {order['number']}: facts say {given_back} given back, it says {said}"

    def _shipments(self) -> Iterable[str]:
        """What is consumed was handed over, in a shipment and by a movement; nothing else was."""
        shipments = self._read["shipments"]
        state = {row["id"]: row["state"] for row in shipments}
        handed_over: Counter[tuple[str, str]] = Counter()
        for row in self._read["shipment_lines"]:
            if state[row["shipment_id"]] in ("in_transit", "delivered", "exception", "returned"):
                handed_over[str(row["order_id"]), row["sku"]] += row["quantity"]
        shipped: Counter[tuple[str, str]] = Counter()
        for row in self._read["shipped"]:
            shipped[str(row["order_id"]), row["sku"]] -= row["delta_on_hand"]
        for order_id, lines in self.lines.items():
            order = self.orders[order_id]
            name = f"order {order['number']} ({order['status']})"
            for line in lines:
                key = order_id, line["sku"]
                if not line["consumed"] == handed_over[key] == shipped[key]:
                    yield (
                        f"{name}: {line['consumed']} of {line['sku']} consumed, {handed_over[key]} in shipments, "
                        f"{shipped[key]} in movements"
                    )
            consumed = sum(line["consumed"] for line in lines)
            if consumed and order["status"] in ("pending_payment", "paid", "cancelled", "expired"):
                yield f"{name}: {consumed} units handed over"
            if order["status"] in ("fulfilling", "completed") and not consumed:
                yield f"{name}: nothing was handed over"
            if order["status"] == "completed" and any(line["held"] + line["allocated"] for line in lines):
                yield f"{name}: some of it is still here"
        for row in shipments:
            status = self.orders[str(row["order_id"])]["status"]
            if row["state"] == "draft" and status in ("cancelled", "completed"):
                yield f"shipment {row['id']}: still planned, and its order is {status}"
        planned: Counter[tuple[str, str]] = Counter()
        for row in self._read["shipment_lines"]:
            if state[row["shipment_id"]] in ("draft", "label_requested", "label_purchased"):
                planned[str(row["order_id"]), row["sku"]] += row["quantity"]
        here = {(order_id, line["sku"]): line["allocated"] for order_id, lines in self.lines.items() for line in lines}
        for (order_id, sku), count in planned.items():
            if count > here[order_id, sku]:
                yield f"order {self.orders[order_id]['number']}: {count} of {sku} planned, {here[order_id, sku]} here"

    def _documents(self) -> Iterable[str]:
        [swept] = self._read["document_sweep"]
        return audit_documents(
            self.orders,
            documents=[
                row | {"issued_at": row["issued_at"] and datetime.fromisoformat(row["issued_at"])}
                for row in self._read["documents"]
            ],
            counters=self._read["document_counters"],
            given_back=[row for row in self._read["facts"] if (row["kind"], row["status"]) == ("refund", "COMPLETED")],
            named={
                row["id"]: sum(line["amount_minor"] for line in row["lines"]) + row["shipping_minor"]
                for row in self._read["refunds"]
            },
            captured=self._captured(),
            summed=[row | {"day": date.fromisoformat(row["day"])} for row in self._read["document_tax_sums"]],
            summed_until=swept["taxes_until"] and date.fromisoformat(swept["taxes_until"]),
        )

    def _captured(self) -> dict[str, int]:
        return {row["object_id"]: int(row["amount"]) for row in self._read["captured"]}

    def _returns(self) -> Iterable[str]:
        """No unit comes back twice, or more of them than were asked for; what was restocked is on the shelf."""
        returns = {row["id"]: row for row in self._read["returns"]}
        asked = {(row["return_id"], row["sku"]): row["quantity"] for row in self._read["return_lines"]}
        came: Counter[tuple[Any, str]] = Counter()
        restocked: Counter[str] = Counter()
        for row in self._read["return_receipts"]:
            came[row["return_id"], row["sku"]] += row["quantity"]
            restocked[f"return {row['return_id']}"] += row["quantity"] if row["restock"] else 0
        of_line: Counter[tuple[str, str]] = Counter()
        for (return_id, sku), quantity in came.items():
            of_line[str(returns[return_id]["order_id"]), sku] += quantity
            if quantity > asked.get((return_id, sku), 0):
                yield f"return {return_id}: {quantity} of {sku} came, {asked.get((return_id, sku), 0)} were asked for"
            if returns[return_id]["state"] not in ("received", "closed"):
                yield f"return {return_id}: {returns[return_id]['state']}, and {quantity} of {sku} came"
        lines_of = {row["id"]: row["lines"] for row in self._read["refunds"]}
        for return_id, row in returns.items():
            of_sku = {sku: quantity for (of, sku), quantity in came.items() if of == return_id}
            if row["refund_id"] and {line["sku"]: line["quantity"] for line in lines_of[row["refund_id"]]} != of_sku:
                yield f"return {return_id}: refunded for other units than came"
        moved: Counter[str] = Counter()
        for row in self._read["restocked"]:
            moved[row["reason"]] += row["delta_on_hand"]
        for return_id in returns:
            name = f"return {return_id}"
            if restocked[name] != moved[name]:
                yield f"{name}: {restocked[name]} units to restock, {moved[name]} in movements"
        for order_id, lines in self.lines.items():
            for line in lines:
                name = f"order {self.orders[order_id]['number']}: {line['sku']}"
                back = of_line[order_id, line["sku"]]
                if back > line["returned"]:
                    yield f"{name}: {back} units came back, its line counts {line['returned']}"
                if line["returned"] > line["consumed"]:
                    yield f"{name}: {line['returned']} units back of {line['consumed']} that left"


# Against PayPal ---------------------------------------------------------------------------------------


def _money(database: _Database, paypal: Mapping[str, Any]) -> Iterable[str]:
    """Each capture of ours is an order's, each paid order has exactly its total, all else has gone back."""
    given_back: Counter[str] = Counter()
    for refund in paypal["refunds"]:
        if refund["status"] == "COMPLETED":
            given_back[_captured_by(refund)] += _minor(refund["amount"])
    asked = {row["capture_id"] for row in database.rows("select capture_id from refunds where state <> 'failed'")}
    numbered = {f"{_PREFIX}{order['number']}": order for order in database.orders.values()}
    kept: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    for capture in paypal["captures"]:
        if not str(capture.get("invoice_id", "")).startswith(_PREFIX) or capture["status"] not in _CAPTURED:
            continue
        order = database.orders.get(str(capture.get("custom_id"))) or numbered.get(str(capture["invoice_id"]))
        left = _minor(capture["amount"]) - given_back[capture["id"]]
        if order is None:
            if left > 0:
                yield f"PayPal capture {capture['id']} carries our prefix, belongs to no order and was not given back"
            continue
        if capture["id"] == order["bound_capture_id"]:
            kept[str(order["id"])] += left
            paid[str(order["id"])] += _minor(capture["amount"])
        elif left > 0 and capture["id"] not in asked:
            yield f"order {order['number']} ({order['status']}): PayPal keeps {left} of {capture['id']} for us"
    by_staff: Counter[str] = Counter()
    for row in database.rows("select order_id, capture_id, amount_minor from refunds where state = 'completed'"):
        if row["capture_id"] == database.orders[str(row["order_id"])]["bound_capture_id"]:
            by_staff[str(row["order_id"])] += row["amount_minor"]
    for order_id, order in database.orders.items():
        # A payment above the total goes on only once what was too much has gone back.
        expected = max(paid[order_id], order["total_minor"]) - by_staff[order_id]
        if order["status"] in ("paid", "fulfilling") and kept[order_id] > order["total_minor"]:
            yield f"order {order['number']}: PayPal keeps {kept[order_id]} for us, more than {order['total_minor']}"
        if order["status"] in ("paid", "fulfilling") and kept[order_id] != expected:
            yield f"order {order['number']}: PayPal keeps {kept[order_id]} of its {expected} for us"
    for made in paypal["orders"]:
        yield from _frozen(database, made)


def _ledgers(database: _Database, paypal: Mapping[str, Any]) -> Iterable[str]:
    """Our ledger has what happened at PayPal, all of it and nothing else."""
    orders = database.orders
    captures = {
        capture["id"]: capture
        for capture in paypal["captures"]
        if str(capture.get("invoice_id", "")).startswith(_PREFIX)
    }
    moved = {
        **{("capture", capture_id): capture["status"] in _CAPTURED for capture_id, capture in captures.items()},
        **{("refund", refund["id"]): refund["status"] == "COMPLETED" for refund in paypal["refunds"]},
    }
    told: set[tuple[str, str]] = set()
    for row in database.rows(
        "select kind, object_id, status, order_id from payment_facts where kind in ('capture', 'refund')"
    ):
        key = (row["kind"], row["object_id"])
        if row["status"] in _CAPTURED:
            told.add(key)
            if key not in moved:
                yield f"{row['kind']} {row['object_id']}: a fact says {row['status']}, and PayPal has no such thing"
    for capture_id, capture in captures.items():
        order = orders.get(str(capture.get("custom_id")))
        if order is not None and moved["capture", capture_id] and ("capture", capture_id) not in told:
            yield f"order {order['number']}: its capture {capture_id} at PayPal is no fact here"
    for refund in paypal["refunds"]:
        order = orders.get(str(captures.get(_captured_by(refund), {}).get("custom_id")))
        if order is not None and moved["refund", refund["id"]] and ("refund", refund["id"]) not in told:
            yield f"order {order['number']}: its refund {refund['id']} at PayPal is no fact here"
    yield from _attempted(database, paypal)


def _attempted(database: _Database, paypal: Mapping[str, Any]) -> Iterable[str]:
    """An attempt that is completed has taken money, and one that was refused has not."""
    captures = {capture["id"]: capture["status"] for capture in paypal["captures"]}
    for row in database.rows("select id, state, capture_id from capture_attempts where capture_id is not null"):
        status = captures.get(row["capture_id"], "missing")
        if (row["state"] == "completed" and status not in _CAPTURED) or (
            row["state"] == "refused" and status in _CAPTURED
        ):
            yield f"capture attempt {row['id']} is {row['state']}, and its capture {row['capture_id']} is {status}"


def _frozen(database: _Database, made: Mapping[str, Any]) -> Iterable[str]:
    """PayPal was asked to collect what the order says, under the order's own names."""
    (unit,) = made["purchase_units"]
    order = database.orders.get(str(unit.get("custom_id")))
    if order is None:
        return
    if unit["invoice_id"] != f"{_PREFIX}{order['number']}":
        yield f"order {order['number']}: PayPal's invoice_id is {unit['invoice_id']}"
    if (_minor(unit["amount"]), unit["amount"]["currency_code"]) != (order["total_minor"], order["currency"]):
        yield f"order {order['number']}: PayPal collects {unit['amount']}, the total is {order['total_minor']}"


def _captured_by(refund: Mapping[str, Any]) -> str:
    up = next(link["href"] for link in refund["links"] if link["rel"] == "up")
    return str(up).rpartition("/")[2]


def _requests(database: _Database, requests: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Every call that moves money carried the id of a row of ours."""
    tried = database.rows("select id, order_id from capture_attempts")
    attempts = {str(row["id"]) for row in tried}
    # After a denial PayPal's order is used up, and a new one is opened under an id that order and attempt give.
    openings = {*database.orders, *(str(uuid5(row["order_id"], str(row["id"]))) for row in tried)}
    refunds = {str(row["id"]) for row in database.rows("select id from refunds")}
    # A payment without an order has no refund of an order: reconciliation gives it back under its finding's id.
    refunds |= {
        str(row["id"])
        for row in database.rows("select id from reconciliation_findings where kind = 'capture_without_order'")
    }
    for request in requests:
        request_id = {name.lower(): value for name, value in request["headers"].items()}.get("paypal-request-id")
        if request["method"] != "POST":
            continue
        if request["path"].endswith("/capture") and request_id not in attempts:
            yield f"a capture was asked for under {request_id}, which is no attempt"
        if request["path"].endswith("/refund") and request_id not in refunds:
            yield f"a refund was asked for under {request_id}, which is no refund of ours"
        if request["path"] == "/v2/checkout/orders" and request_id not in openings:
            yield f"an order was opened at PayPal under {request_id}, which is no order"


def _tracking(database: _Database, made: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """PayPal has every number that it was told, and was told every one."""
    known = {
        (order["id"], tracker["id"].partition("-")[2])
        for order in made
        for unit in order["purchase_units"]
        for tracker in unit.get("shipping", {}).get("trackers", [])
    }
    for row in database.rows("select * from shipments where paypal_state is not null"):
        order = database.orders[str(row["order_id"])]
        if row["paypal_state"] == "due":
            yield f"order {order['number']}: PayPal was not told {row['tracking_number']}"
        has = (order["paypal_order_id"], row["tracking_number"]) in known
        if row["paypal_state"] == "told" and not has:
            yield f"order {order['number']}: PayPal does not know {row['tracking_number']}"


# The inbox, and what was left undone ------------------------------------------------------------------


def _mail(database: _Database, inbox: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """One confirmation for every order that was paid, none for any other, nothing that no event asked for."""
    events = {str(row["id"]): row for row in database.rows("select id, name, payload from outbox")}
    paid = Counter(event["payload"]["order"]["id"] for event in events.values() if event["name"] == "order.paid")
    confirmed: Counter[str] = Counter()
    for mail in inbox:
        event = events.get(str(mail["custom_args"].get("event_id")))
        if event is None:
            yield f"mail {mail['id']} ({mail['subject']}) belongs to no event that was committed"
        elif event["name"] == "order.paid":
            confirmed[event["payload"]["order"]["id"]] += 1
    for order_id, order in database.orders.items():
        was_paid = order["paid_at"] is not None
        if paid[order_id] != was_paid:
            yield f"order {order['number']} ({order['status']}): {paid[order_id]} order.paid events"
        if was_paid != (confirmed[order_id] > 0):
            yield f"order {order['number']} ({order['status']}): {confirmed[order_id]} confirmations in the inbox"
    yield from _told(database, inbox)


_TOLD_BY_MAIL = (
    "order.paid",
    "order.shipped",
    "order.expired",
    "order.cancelled",
    "order.refunded",
    "payment.refused",
    "payment.returned",
    "return.approved",
    "return.rejected",
    "return.received",
)


def _told(database: _Database, inbox: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """One mail for each event that is told by mail; a second one only where the vendor had said nothing of the first.

    A cart that is placed again replaces its order, and nobody is told: the buyer has just asked for it.
    """
    written: Counter[str] = Counter()
    for row in database.rows("select event_id from mails"):
        written[str(row["event_id"])] += 1
    read = {str(row["event_id"]) for row in database.rows("select event_id from inbox")}
    sent: dict[str, list[str]] = defaultdict(list)
    for mail in inbox:
        sent[str(mail["custom_args"].get("mail_id"))].append(mail["at"])
    for row in database.rows(
        "select id, name, payload #>> '{order,number}' as number, payload #>> '{order,status_reason}' as reason"
        " from outbox where destination = 'topic:orders' and published_at is not null"
    ):
        replaced = (row["name"], row["reason"]) == ("order.cancelled", "replaced")
        expected = row["name"] in _TOLD_BY_MAIL and not replaced
        if written[str(row["id"])] != expected:
            yield f"order {row['number']}: {written[str(row['id'])]} mails were written for one {row['name']}"
        if expected and str(row["id"]) not in read:
            yield f"order {row['number']}: {row['name']} was never received"
    heard = {
        str(row["mail_id"]): row["at"]
        for row in database.rows("select mail_id, min(recorded_at) as at from mail_events group by mail_id")
    }
    for row in database.rows("select id, state, template, subject from mails"):
        times = sorted(datetime.fromisoformat(at) for at in sent.pop(str(row["id"]), []))
        if row["state"] in ("accepted", "delivered") and not times:
            yield f"mail {row['template']} ({row['subject']}) is {row['state']}, and is not in the inbox"
        first_heard = heard.get(str(row["id"]))
        if len(times) > 1 and first_heard is not None and first_heard < times[-1]:
            yield f"mail {row['template']} ({row['subject']}) was sent again after the vendor had told of it"
    for mail_id in sent:
        yield f"a mail was sent under {mail_id}, which is no row"


def _waits(database: _Database, paypal: Mapping[str, Any]) -> Iterable[str]:
    """Every deadline has passed and PayPal has decided everything: whoever still waits, waits for ever.

    Reconciliation has run, too, and would hide what it repairs: stock that drifted is a defect, even if it was mended.
    """
    for row in database.rows(
        "select sku, delta_on_hand, delta_held, reason from stock_movements where kind = 'repair'"
    ):
        yield (
            f"stock {row['sku']} had drifted: reconciliation moved {row['delta_on_hand']} on hand"
            f" and {row['delta_held']} held ({row['reason']})"
        )
    for order in database.orders.values():
        if order["status"] == "pending_payment" or order["status_reason"] == "capture_pending":
            yield f"order {order['number']} still waits for its money ({order['status']})"
    for row in database.rows(
        "select id, order_id, state from capture_attempts where state in ('requested', 'pending')"
    ):
        yield f"order {database.orders[str(row['order_id'])]['number']}: attempt {row['id']} is still {row['state']}"
    for row in database.rows("select id, order_id, state from refunds where state in ('requested', 'pending')"):
        yield f"order {database.orders[str(row['order_id'])]['number']}: refund {row['id']} is still {row['state']}"
    for row in database.rows("select event_type, body from webhook_events where state = 'waiting'"):
        if any(order_id in row["body"] for order_id in database.orders):
            yield f"webhook: {row['event_type']} waits for an order that is there"
    for row in database.rows("select count(*) as number from outbox where published_at is null"):
        if row["number"]:
            yield f"outbox: {row['number']} rows were never published"


def _open_ends(database: _Database) -> Iterable[str]:
    """After settling nothing waits that nobody will come back to."""
    for row in database.rows("select name from outbox where published_at is null and not_before is null"):
        yield f"outbox: {row['name']} was never published"
    for row in database.rows("select event_type from webhook_events where state = 'received'"):
        yield f"webhook: {row['event_type']} was never applied"
    for row in database.rows("select kind, order_id from documents where number is null"):
        yield f"order {database.orders[str(row['order_id'])]['number']}: its {row['kind']} was never issued"
    for row in database.rows("select template, state from mails where state in ('queued', 'sending')"):
        yield f"mail: {row['template']} is still {row['state']}"
    for row in database.rows("select answer_body from idempotency_keys where answer_body like '%access_token%'"):
        yield f"a stored answer keeps a secret: {row['answer_body'][:80]}"


# Reading ----------------------------------------------------------------------------------------------


def _connect(url: str) -> pg8000.native.Connection:
    parts = urlsplit(url)
    connection = pg8000.native.Connection(
        unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 5432,
        database=parts.path.lstrip("/"),
        ssl_context=False,  # asking for TLS reads every root certificate first
    )
    connection.register_in_adapter(_TIMESTAMPTZ, datetime.fromisoformat)  # the driver's own takes ten times as long
    return connection


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def _minor(amount: Mapping[str, str]) -> int:
    """PayPal's decimal string in the shop's minor units; ISO 4217 gives HUF and TWD two decimals that PayPal lacks."""
    value = Decimal(amount["value"])
    return int(value if amount["currency_code"] == "JPY" else value * 100)
