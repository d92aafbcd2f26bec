"""The buyer's page: what PayPal's checkout is to a browser, with buttons for each way it can end."""

from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from local.paypal import happenings
from local.paypal.books import Document
from local.paypal.money import amount_of, money
from local.paypal.resources import APPROVABLE
from local.paypal.simulator import SIMULATOR

BUTTONS = (
    ("completed", "Pay now", "The payment will be completed."),
    ("pending", "Pay, held for review", "The capture will be PENDING."),
    ("declined", "Pay with a card that is declined", "The capture will be refused: INSTRUMENT_DECLINED."),
)

STYLE = """
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;background:#f5f7fa;color:#1c2733}
.note{background:#ffd140;text-align:center;padding:.5rem;font-weight:600}
main{max-width:30rem;margin:2rem auto;background:#fff;border:1px solid #dde3ea;border-radius:12px;padding:2rem}
h1{font-size:1.35rem;margin:0 0 .25rem}
.muted{color:#5b6b7b;margin:0}
.total{font-size:2rem;font-weight:700;margin:1rem 0}
table{width:100%;border-collapse:collapse;margin:1rem 0}
td{padding:.35rem 0;border-top:1px solid #eef1f5;vertical-align:top}
td:last-child{text-align:right;white-space:nowrap}
button{display:block;width:100%;margin:.6rem 0;padding:.8rem;border-radius:999px;border:1px solid #0b5cad}
button{cursor:pointer;font:inherit;font-weight:600;background:#fff;color:#0b5cad}
button:focus-visible{outline:3px solid #ffd140}
button.first{background:#0b5cad;color:#fff}
button.quiet{border-color:transparent}
"""


async def page(request: web.Request) -> web.Response:
    """GET /checkoutnow?token="""
    simulator = request.app[SIMULATOR]
    token = request.query.get("token", "")
    with simulator.books.open() as entries:
        order = entries.find("order", token)
    if order is None:
        return _html("This payment does not exist", "<p>The link is not one of ours.</p>", 404)
    if order["status"] not in APPROVABLE:
        return _html("This payment is finished", f"<p>The order is {escape(order['status'])}.</p>", 200)
    return _html("Pay with PayPal", _offer(order), 200)


async def press(request: web.Request) -> web.Response:
    """POST /checkoutnow?token=, one of the buttons; leads the browser back to the shop."""
    simulator = request.app[SIMULATOR]
    token = request.query.get("token", "")
    choice = str((await request.post()).get("choice", ""))
    with simulator.books.open() as entries:
        order = entries.find("order", token)
        if order is None:
            return _html("This payment does not exist", "<p>The link is not one of ours.</p>", 404)
        if order["status"] not in APPROVABLE:
            return _html("This payment is finished", f"<p>The order is {escape(order['status'])}.</p>", 409)
        if choice in happenings.OUTCOMES:
            happenings.approve(entries, order, simulator.links, outcome=choice)
    simulator.courier.wake()
    target = way_back(order, approved=choice in happenings.OUTCOMES)
    if target is None:
        return _html("Done", "<p>You can close this page and go back to the shop.</p>", 200)
    raise web.HTTPSeeOther(target)


def way_back(order: Document, *, approved: bool) -> str | None:
    """return_url?token=&PayerID=, or cancel_url?token=; None where the shop gave none."""
    url = order["_context"].get("return_url" if approved else "cancel_url")
    if not url:
        return None
    added = {"token": order["id"], **({"PayerID": order["_payer_id"]} if approved else {})}
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *added.items()])
    return str(urlunsplit(parts._replace(query=query)))


def _offer(order: Document) -> str:
    unit = order["purchase_units"][0]
    amount = unit["amount"]
    rows = [
        f"<tr><td>{escape(item['quantity'])} × {escape(item['name'])}</td><td>{_text(_line(item))}</td></tr>"
        for item in unit.get("items") or []
    ]
    rows += [
        f"<tr><td class=muted>{escape(part.replace('_', ' '))}</td>"
        f"<td>{'−' if 'discount' in part else ''}{_text(value)}</td></tr>"
        for part, value in (amount.get("breakdown") or {}).items()
    ]
    address = (unit.get("shipping") or {}).get("address") or {}
    name = ((unit.get("shipping") or {}).get("name") or {}).get("full_name", "")
    lines = [name, *(str(value) for value in address.values())]
    shipping = f"<p class=muted>Ship to {escape(', '.join(line for line in lines if line))}</p>" if address else ""
    buttons = "".join(
        f'<button name=choice value={value} title="{escape(hint)}"{" class=first" if not index else ""}>'
        f"{escape(label)}</button>"
        for index, (value, label, hint) in enumerate(BUTTONS)
    )
    brand = order["_context"].get("brand_name", "the shop")
    return (
        f"<p class=muted>to {escape(brand)} · invoice {escape(unit.get('invoice_id', '–'))}</p>"
        f"<p class=total>{_text(amount)}</p>{shipping}<table>{''.join(rows)}</table>"
        # No action: the form goes back to wherever the browser found this page, behind a gateway or not.
        f"<form method=post>{buttons}<button name=choice value=cancel class=quiet>Cancel and go back</button></form>"
    )


def _line(item: Document) -> Document:
    price = item["unit_amount"]
    return money(price["currency_code"], amount_of(price) * int(item["quantity"]))


def _text(amount: Document) -> str:
    return f"{escape(amount['value'])} {escape(amount['currency_code'])}"


def _html(title: str, content: str, status: int) -> web.Response:
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<div class=note>Simulator: no money moves here</div><main><h1>{escape(title)}</h1>{content}</main></html>"
    )
    return web.Response(text=body, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})
