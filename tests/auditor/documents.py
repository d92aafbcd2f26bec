"""Invoices and credit notes: numbers without a gap, one invoice for each order that was paid, sums that are right."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date
from typing import Any

Row = dict[str, Any]


def audit_documents(
    orders: Mapping[str, Row],
    *,
    documents: Sequence[Row],
    counters: Sequence[Row],
    given_back: Sequence[Row],
    named: Mapping[str, int],
    captured: Mapping[str, int],
    summed: Sequence[Row],
    summed_until: date | None,
) -> Iterable[str]:
    """`given_back` are the facts of refunds that PayPal completed, `named` the minor units of lines and
    shipping by our refund's id, `captured` those of each capture, `summed` the taxes of days before `summed_until`.
    """
    issued = [row for row in documents if row["number"] is not None]
    yield from _numbers(issued, counters)
    of_order: dict[str, list[Row]] = defaultdict(list)
    for row in documents:
        of_order[str(row["order_id"])].append(row)
    refunds: dict[str, list[Row]] = defaultdict(list)
    for row in given_back:
        refunds[str(row["order_id"])].append(row)
    for order_id, order in orders.items():
        # What was paid beyond the total was never invoiced, and its return credits nothing.
        excess = max(captured.get(order["bound_capture_id"], 0) - order["total_minor"], 0)
        yield from _papers(order, of_order[order_id], refunds[order_id], named, excess)
    for row in issued:
        yield from _sums(row)
    yield from _days(issued, summed, summed_until)


def _days(issued: Sequence[Row], summed: Sequence[Row], until: date | None) -> Iterable[str]:
    """The taxes of each day that is summed are those of its documents."""
    made: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in issued:
        day = row["issued_at"].astimezone(UTC).date()
        for part in row["content"]["taxes"] if until is not None and day < until else ():
            sums = made[day, row["kind"], row["currency"], part["rate"]]
            for place, more in enumerate((1, part["net_minor"], part["tax_minor"], part["gross_minor"])):
                sums[place] += more
    said = {
        (row["day"], row["kind"], row["currency"], row["rate"]): [
            row["documents"], row["net_minor"], row["tax_minor"], row["gross_minor"]
        ]
        for row in summed
    }  # fmt: skip
    for key in made.keys() | said.keys():
        if made.get(key) != said.get(key):
            name = " ".join(str(part) for part in key)
            yield f"taxes of {name}: {said.get(key)} summed, its documents make {made.get(key)}"


def _numbers(issued: Sequence[Row], counters: Sequence[Row]) -> Iterable[str]:
    series: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in issued:
        series[row["kind"], row["year"]].append(row)
    last = {(row["kind"], row["year"]): row["last"] for row in counters}
    for key in series.keys() | last.keys():
        name = f"{key[0]} {key[1]}"
        numbered = sorted(series[key], key=lambda row: int(row["serial"]))
        if [row["serial"] for row in numbered] != list(range(1, last.get(key, 0) + 1)):
            yield f"{name}: {len(numbered)} documents are not numbered 1 to {last.get(key, 0)}"
        for earlier, later in itertools.pairwise(numbered):
            if later["issued_at"] < earlier["issued_at"]:
                yield f"{name}: {later['number']} is dated before {earlier['number']}"
        for row in numbered:
            if not row["number"].endswith(f"{row['year']}-{row['serial']:06}") or row["issued_at"].year != row["year"]:
                yield f"{name}: {row['number']} does not say year {row['year']} and serial {row['serial']}"


def _papers(
    order: Row, documents: Sequence[Row], given_back: Sequence[Row], named: Mapping[str, int], excess: int
) -> Iterable[str]:
    name = f"order {order['number']}"
    invoices = [row for row in documents if row["kind"] == "invoice"]
    notes = [row for row in documents if row["kind"] == "credit_note"]
    if len(invoices) != (order["paid_at"] is not None):
        yield f"{name} ({order['status']}): {len(invoices)} invoices"
    for invoice in invoices:
        content = invoice["content"] or {}
        parts = ("subtotal_minor", "discount_minor", "shipping_minor", "tax_minor", "total_minor")
        if invoice["amount_minor"] != order["total_minor"] or any(
            content[part] != order[part] for part in parts if content
        ):
            yield f"{name}: its invoice says something else than the order"
    returned = {row["object_id"]: row for row in given_back}
    credited = sum(row["amount_minor"] for row in notes)
    if credited > order["total_minor"]:
        yield f"{name}: {credited} credited of {order['total_minor']}"
    for note in notes:
        fact = returned.get(note["refund_id"])
        if fact is None or not 0 < note["amount_minor"] <= fact["amount_minor"]:
            yield f"{name}: credits {note['amount_minor']} for refund {note['refund_id']}, which PayPal lacks"
        if note["content"] and note["content"]["invoice_number"] not in [row["number"] for row in invoices]:
            yield f"{name}: {note['number']} credits an invoice that is not its own"
    noted = {note["refund_id"]: note["amount_minor"] for note in notes}
    own = {
        refund_id: fact["amount_minor"]
        for refund_id, fact in returned.items()
        if order["paid_at"] is not None and fact["capture_id"] == order["bound_capture_id"] and not fact["reversal"]
    }
    # What was credited of another capture, before the order was bound to this one, is not credited again.
    before = sum(
        noted.get(refund_id, 0)
        for refund_id, fact in returned.items()
        if fact["capture_id"] != order["bound_capture_id"]
    )
    due = max(sum(own.values()) - excess - before, 0)
    if own and credited < order["total_minor"] and sum(noted.get(refund_id, 0) for refund_id in own) != due:
        for refund_id, minor in own.items():
            if minor != noted.get(refund_id, 0):
                yield f"{name}: {minor} refunded by {refund_id}, {noted.get(refund_id, 0)} credited"
    # Units and shipping were invoiced, whatever was paid beyond the total.
    for refund_id in own if credited < order["total_minor"] and not before else ():
        named_minor = named.get(str(returned[refund_id]["ours"]), 0)
        if noted.get(refund_id, 0) < named_minor:
            yield f"{name}: {refund_id} names {named_minor} of lines and shipping, {noted.get(refund_id, 0)} credited"
    is_whole = credited == order["total_minor"] and all(row["content"] for row in documents)
    if is_whole and _by_line(invoices) != _by_line(notes):
        yield f"{name}: its credit notes do not sum to its invoice line by line"


def _by_line(documents: Sequence[Row]) -> dict[str, list[int]]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in documents:
        for line in row["content"]["lines"]:
            for place, part in enumerate(("net_minor", "tax_minor", "gross_minor")):
                sums[line["sku"] or ""][place] += line[part]
    return {sku: found for sku, found in sums.items() if any(found)}


def _sums(document: Row) -> Iterable[str]:
    """A document's lines, and its taxes by rate, each make its total."""
    content = document["content"]
    for parts in (content["lines"], content["taxes"]):
        gross, tax = sum(part["gross_minor"] for part in parts), sum(part["tax_minor"] for part in parts)
        if (gross, tax) != (content["total_minor"], content["tax_minor"]) or gross != document["amount_minor"]:
            yield f"{document['number']}: its parts make {gross} with {tax} of tax, it says {content['total_minor']}"
        if any(part["net_minor"] + part["tax_minor"] != part["gross_minor"] for part in parts):
            yield f"{document['number']}: a part is not its net and its tax"
