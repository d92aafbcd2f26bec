"""One purchase, told: a search, a product, a cart, a checkout, an approval at PayPal, the capture, and what it left."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from local.demo.shop import Shop, StepFailed
from local.demo.telling import Telling, cut_inside

EMAIL = "ada@example.com"
ADDRESS = {
    "name": "Ada Buyer",
    "line1": "1 Main St",
    "city": "Los Angeles",
    "region": "CA",
    "postal_code": "90001",
    "country": "US",
}
QUANTITY = 2
# Another buyer may take the last unit of what was found: so many finds are tried.
FINDS = 10

Document = dict[str, Any]


def buy(shop: Shop, telling: Telling, *, words: str | None) -> str:
    """Buys what `words` find, else a word of what sells best; the number of the paid order. Raises StepFailed."""
    found = _search(shop, telling, words)
    cart = _fill_cart(shop, telling, found)
    order = _check_out(shop, telling, cart)
    _approve(shop, telling, order)
    _capture(shop, telling, order)
    _settle(shop, telling)

    order = _show_order(shop, telling, order)
    _show_stock(shop, telling, order)
    _show_ledger(shop, telling, order)
    _show_mail(shop, telling, order)
    return str(order["number"])


# The buyer -------------------------------------------------------------------------------------------------


def _search(shop: Shop, telling: Telling, words: str | None) -> list[Document]:
    telling.step("Search the catalogue")
    if words is None:
        best = shop.get("/v1/products", in_stock="true", sort="popularity", limit=1)["items"]
        if not best:
            raise StepFailed("The shop has nothing in stock. `make import FILE=...` brings in a catalogue.")
        words = _kind_of(best[0])
    page = shop.get("/v1/products", q=words, in_stock="true", limit=FINDS)
    items: list[Document] = page["items"]
    if not items:
        raise StepFailed(f"Nothing in stock is found by “{words}”.")
    number = f"{'' if page['total']['exact'] else 'more than '}{page['total']['value']:,}"
    telling.say(f"“{words}” finds {number} in stock; the first is {cut_inside(items[0]['name'], 44)}")
    return items


def _kind_of(product: Document) -> str:
    """What a shopper would type: the last whole word of its name that is not the brand's; in names without one, all."""
    brand = (product["brand"] or "").casefold().split()
    words = [word for word in product["name"].split() if word.isalpha() and word.casefold() not in brand]
    return next((word for word in reversed(words) if len(word) > 3), str(product["name"]))[:100]


def _fill_cart(shop: Shop, telling: Telling, found: Iterable[Document]) -> Document:
    """A cart with something of `found` that can be ordered."""
    cart: Document = {}
    for listed in found:
        telling.step("Look at a product")
        product = shop.get(f"/v1/products/{quote(listed['slug'])}")
        variant = next((each for each in product["variants"] if each["in_stock"]), None)
        if variant is None:
            telling.say(f"{product['name']} has just been sold out.")
            continue
        where = " › ".join(crumb["name"] for crumb in product["breadcrumbs"])
        telling.say(f"{product['name']}{_options(variant['options'])}")
        telling.say(
            ", ".join(part for part in (variant["price"]["display"], variant["sku"], product["brand"], where) if part)
        )

        telling.step("Put it into a cart")
        if not cart:
            cart = shop.send("POST", "/v1/carts", {"email": EMAIL, "shipping_address": ADDRESS}, status=201)
        line_path = f"/v1/carts/{cart['id']}/lines/{quote(variant['sku'], safe='')}"
        cart = shop.send("PUT", line_path, {"quantity": QUANTITY})
        line = next(line for line in cart["lines"] if line["sku"] == variant["sku"])
        if line["problem"] == "short" and line["available"]:
            cart = shop.send("PUT", line_path, {"quantity": line["available"]})
            line = next(line for line in cart["lines"] if line["sku"] == variant["sku"])
        if line["problem"] is None:
            telling.say(f"{line['quantity']} × {line['unit_price']['display']} = {line['total']['display']}")
            return cart
        telling.say("Somebody else was quicker.")
        cart = shop.send("DELETE", line_path)
    raise StepFailed("Nothing of what was found can be ordered.")


def _options(options: Mapping[str, str]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""


def _check_out(shop: Shop, telling: Telling, cart: Document) -> Document:
    telling.step("Check out")
    body = {"cart_id": cart["id"], "cart_version": cart["version"], "email": EMAIL}
    order: Document = shop.send("POST", "/v1/checkouts", body, status=201)
    if "approve_url" not in order:
        raise StepFailed(f"The order is {order['status']} and has no page at PayPal to approve it on.")
    telling.say(
        f"Order {order['number']} over {order['totals']['total']['display']}; "
        f"its stock is held until {_time(order['hold_expires_at'])} UTC"
    )
    return order


def _approve(shop: Shop, telling: Telling, order: Document) -> None:
    telling.step("Approve the payment at PayPal (simulated)")
    shown = shop.ask("GET", order["approve_url"])
    if shown.status != 200:
        raise StepFailed(f"PayPal's page for the buyer was answered with {shown.status}.")
    pressed = shop.ask("POST", order["approve_url"], form={"choice": "completed"})
    if pressed.status != 303:
        raise StepFailed(f"PayPal did not take the approval and answered with {pressed.status}.")
    telling.say(f"Approved; the browser is sent back to {pressed.location.partition('?')[0]}")


def _capture(shop: Shop, telling: Telling, order: Document) -> None:
    telling.step("Take the payment: the buyer is back")
    token = {"X-Order-Token": order["access_token"]}
    captured = shop.send("POST", f"/v1/checkouts/{order['id']}/capture", headers=token)
    telling.say(f"The order is {captured['status']}, the payment {captured['payment']['status'].replace('_', ' ')}")


def _settle(shop: Shop, telling: Telling) -> None:
    telling.step("Let the shop finish: webhooks, events, mail")
    answer = shop.ask("POST", "/_local/settle?timeout_s=60", {})
    if answer.status == 504:
        left = answer.json.get("left", {})
        raise StepFailed(f"After a minute there is still work under way: {', '.join(left) or 'nobody says what'}.")
    if answer.status != 200:
        raise StepFailed(f"Settling was answered with {answer.status}: {answer.complaint}")
    telling.say("Nothing is under way any more")


# What it left ----------------------------------------------------------------------------------------------


def _show_order(shop: Shop, telling: Telling, order: Document) -> Document:
    telling.step("Look at the order")
    shown: Document = shop.get(f"/v1/orders/{order['number']}", headers={"X-Order-Token": order["access_token"]})
    telling.section(f"Order {shown['number']}: {shown['status']}")
    rows = [
        (f"{line['quantity']} × {line['name']}{_options(line['options'])}", line["total"]["display"])
        for line in shown["lines"]
    ]
    rows += [(shown["shipping_option"]["name"], shown["totals"]["shipping"]["display"])]
    if shown["totals"]["discount"]["amount_minor"]:
        rows += [("discount", shown["totals"]["discount"]["display"])]
    rows += [(name, shown["totals"][name]["display"]) for name in ("tax", "total")]
    telling.table([(cut_inside(name, 66), amount) for name, amount in rows], right=(1,))
    telling.say(f"placed {_time(shown['placed_at'])}, paid {_time(shown['paid_at'] or '–')} UTC")
    if shown["status"] != "paid":
        raise StepFailed(f"The order is {shown['status']}, not paid.")
    return shown


def _show_stock(shop: Shop, telling: Telling, order: Document) -> None:
    telling.step("Look at its stock, as staff")
    session = shop.send("POST", "/_local/staff-session", {"permissions": ["stock:read"]}, status=201)
    staff = {"Authorization": f"Bearer {session['token']}"}
    moved = [
        movement
        for line in order["lines"]
        for movement in _movements(shop, staff, line["sku"])
        if movement["order_number"] == order["number"]
    ]
    levels = [shop.get(f"/v1/inventory/levels/{quote(line['sku'], safe='')}", staff) for line in order["lines"]]
    telling.section("Stock")
    rows = [("at", "SKU", "what", "on hand", "held", "by")]
    rows += [
        (
            _time(each["at"]),
            each["sku"],
            each["kind"],
            f"{each['delta_on_hand']:+d}",
            f"{each['delta_held']:+d}",
            each["actor"],
        )
        for each in reversed(moved)
    ]
    rows += [("now", each["sku"], "", f"{each['on_hand']:,}", f"{each['held']:,}", "") for each in levels]
    telling.table(rows, right=(3, 4))
    held, wanted = sum(each["delta_held"] for each in moved), sum(line["quantity"] for line in order["lines"])
    if held != wanted:
        raise StepFailed(f"The stock movements of the order keep {held} units, not {wanted}.")


def _movements(shop: Shop, staff: Mapping[str, str], sku: str) -> list[Document]:
    """The newest movements of a SKU: those of an order that was placed just now are among them."""
    items: list[Document] = shop.get("/v1/inventory/movements", staff, sku=sku, limit=100)["items"]
    return items


def _show_ledger(shop: Shop, telling: Telling, order: Document) -> None:
    telling.step("Look into PayPal's books (simulated)")
    books = shop.get("/_local/paypal/ledger")
    order_id = order["payment"]["paypal_order_id"]
    at_paypal = next((each for each in books["orders"] if each["id"] == order_id), None)
    if at_paypal is None:
        raise StepFailed(f"PayPal's books know no order {order_id}.")
    captures = [capture for unit in at_paypal["purchase_units"] for capture in _captures(unit)]
    telling.section("PayPal")
    unit = at_paypal["purchase_units"][0]
    rows = [("order", at_paypal["id"], at_paypal["status"], _amount(unit["amount"]), f"invoice {unit['invoice_id']}")]
    rows += [("capture", made["id"], made["status"], _amount(made["amount"]), _fee(made)) for made in captures]
    telling.table(rows, right=(3,))
    asked = [each for each in books["requests"] if order_id in each["path"]]
    telling.table([(f"{each['method']} {each['path']}", str(each["status"])) for each in asked])
    taken = sum(Decimal(made["amount"]["value"]) for made in captures if made["status"] == "COMPLETED")
    total = order["totals"]["total"]["display"]
    if len(captures) != 1 or taken != _decimal(total):
        raise StepFailed(f"PayPal took {taken} in {len(captures)} captures, and the order's total is {total}.")


def _captures(unit: Document) -> list[Document]:
    captures: list[Document] = (unit.get("payments") or {}).get("captures") or []
    return captures


def _fee(capture: Document) -> str:
    breakdown = capture.get("seller_receivable_breakdown") or {}
    return f"fee {_amount(breakdown['paypal_fee'])}" if "paypal_fee" in breakdown else ""


def _show_mail(shop: Shop, telling: Telling, order: Document) -> None:
    telling.step("Look into the inbox")
    mails = [mail for mail in shop.get("/_local/mail") if order["number"] in mail["subject"]]
    if len(mails) != 1:
        raise StepFailed(f"{len(mails)} mails lie in the inbox for this order, not one.")
    (mail,) = mails
    telling.section("Mail")
    telling.table([(name, mail[name.lower()]) for name in ("From", "To", "Subject")])
    telling.quote(mail["text"], lines=12)


def _amount(amount: Mapping[str, str]) -> str:
    return f"{amount['value']} {amount['currency_code']}"


def _decimal(display: str) -> Decimal:
    return Decimal(display.partition(" ")[0].replace(",", ""))


def _time(moment: str) -> str:
    """Of an ISO 8601 moment the time of day."""
    return moment[11:19] or moment
