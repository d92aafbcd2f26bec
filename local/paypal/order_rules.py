"""What PayPal asks of an order before it takes it: the schema (400), then its rules of sums and currencies (422)."""

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from local.paypal.money import CURRENCIES, LARGEST, Money, amount_of, has_too_many_decimals, money
from local.paypal.problems import detail, invalid, unprocessable

_VALUE = re.compile(r"((-?[0-9]+)|(-?([0-9]+)?[.][0-9]+))")
_QUANTITY = re.compile(r"[1-9][0-9]{0,9}")
_ADDED = ("item_total", "tax_total", "shipping", "handling", "insurance")
_TAKEN = ("shipping_discount", "discount")
_TEXTS = {"reference_id": 256, "description": 127, "custom_id": 127, "invoice_id": 127, "soft_descriptor": 22}
_PREFERENCES = {
    "shipping_preference": {"GET_FROM_FILE", "NO_SHIPPING", "SET_PROVIDED_ADDRESS"},
    "user_action": {"CONTINUE", "PAY_NOW"},
}
# Where a postal address without them is refused; a sample of PayPal's table, which is not published as data.
_WANTS_CITY = frozenset(
    {"AT", "AU", "BE", "BR", "CA", "CH", "DE", "DK", "ES", "FI", "FR", "GB"}
    | {"IE", "IT", "JP", "MX", "NL", "NO", "NZ", "PL", "PT", "SE", "US"}
)
_WANTS_POSTAL_CODE = _WANTS_CITY - {"IE"}

Details = list[dict[str, Any]]


def check_order(request: Any) -> None:
    """Raises Problem: 400 with every field that does not fit the schema, or 422 with the first rule that is broken."""
    details: Details = []
    if not isinstance(request, dict):
        raise invalid([detail("INVALID_PARAMETER_SYNTAX", "/")])
    _one_of(details, request, "intent", {"CAPTURE", "AUTHORIZE"}, "")
    units = request.get("purchase_units")
    if units is None:
        details.append(detail("MISSING_REQUIRED_PARAMETER", "/purchase_units"))
    elif not isinstance(units, list):
        details.append(detail("INVALID_PARAMETER_SYNTAX", "/purchase_units"))
    elif not 1 <= len(units) <= 10:
        issue = "INVALID_ARRAY_MAX_ITEMS" if units else "INVALID_ARRAY_MIN_ITEMS"
        details.append(detail(issue, "/purchase_units"))
    else:
        for index, unit in enumerate(units):
            check_unit_schema(details, unit, f"/purchase_units/{index}")
    _check_context(details, request)
    if details:
        raise invalid(details)
    assert isinstance(units, list)
    if request["intent"] == "AUTHORIZE":
        raise unprocessable("AUTH_CAPTURE_NOT_ENABLED")
    check_units_rules(units)


def check_unit_schema(details: Details, unit: Any, at: str) -> None:
    if not isinstance(unit, dict):
        details.append(detail("INVALID_PARAMETER_SYNTAX", at))
        return
    for name, longest in _TEXTS.items():
        _text(details, unit, name, at, longest)
    _money(details, unit.get("amount"), f"{at}/amount")
    amount = unit.get("amount")
    breakdown = amount.get("breakdown") if isinstance(amount, dict) else None
    if breakdown is not None:
        if isinstance(breakdown, dict):
            for part in (*_ADDED, *_TAKEN):
                if breakdown.get(part) is not None:
                    _money(details, breakdown[part], f"{at}/amount/breakdown/{part}")
        else:
            details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/amount/breakdown"))
    items = unit.get("items", [])
    if not isinstance(items, list):
        details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/items"))
        items = []
    for index, item in enumerate(items):
        _check_item(details, item, f"{at}/items/{index}")
    _check_shipping(details, unit.get("shipping"), f"{at}/shipping")


def check_units_rules(units: list[dict[str, Any]]) -> None:
    """The 422s. Fields are named as PayPal names them, by reference_id."""
    references = [unit.get("reference_id", "default") for unit in units]
    if len(units) > 1 and not all(unit.get("reference_id") for unit in units):
        raise unprocessable("REFERENCE_ID_REQUIRED", "/purchase_units")
    if len(set(references)) < len(references):
        raise unprocessable("DUPLICATE_REFERENCE_ID", "/purchase_units")
    currencies = set()
    for unit, reference in zip(units, references, strict=True):
        at = f"/purchase_units/@reference_id=='{reference}'"
        for path, amount in _amounts(unit):
            _check_amount(amount, f"{at}{path}", positive=path == "/amount")
            currencies.add(amount["currency_code"])
        if len(currencies) > 1:
            raise unprocessable("MULTI_CURRENCY_ORDER", f"{at}/amount/currency_code")
        _check_sums(unit, at)
        address = (unit.get("shipping") or {}).get("address")
        if address is not None:
            country = address["country_code"]
            if country in _WANTS_CITY and not address.get("admin_area_2"):
                raise unprocessable("CITY_REQUIRED", f"{at}/shipping/address/admin_area_2")
            if country in _WANTS_POSTAL_CODE and not address.get("postal_code"):
                raise unprocessable("POSTAL_CODE_REQUIRED", f"{at}/shipping/address/postal_code")


def normal(unit: dict[str, Any]) -> dict[str, Any]:
    """The unit as PayPal shows it: amounts with all their decimals, a reference_id even where none was sent."""
    shown = {"reference_id": "default", **unit}
    shown["amount"] = _normal_amount(unit["amount"])
    if "items" in unit:
        shown["items"] = [
            {name: _normal_amount(value) if name in ("unit_amount", "tax") else value for name, value in item.items()}
            for item in unit["items"]
        ]
    return shown


def context_of(request: dict[str, Any]) -> dict[str, Any]:
    """return_url, cancel_url, shipping_preference and the rest, from either of the two places PayPal takes them."""
    source = request.get("payment_source") or {}
    wallet = source.get("paypal") or {}
    return {**(request.get("application_context") or {}), **(wallet.get("experience_context") or {})}


def _check_sums(unit: dict[str, Any], at: str) -> None:
    amount = unit["amount"]
    breakdown = amount.get("breakdown") or {}
    parts = {part: amount_of(value) for part, value in breakdown.items() if part in (*_ADDED, *_TAKEN)}
    items = unit.get("items") or []
    if items:
        if "item_total" not in parts:
            raise unprocessable("ITEM_TOTAL_REQUIRED", f"{at}/amount/breakdown/item_total")
        total = sum((amount_of(item["unit_amount"]) * int(item["quantity"]) for item in items), Decimal(0))
        if total != parts["item_total"]:
            value = breakdown["item_total"]["value"]
            raise unprocessable("ITEM_TOTAL_MISMATCH", f"{at}/amount/breakdown/item_total/value", value=value)
    if any("tax" in item for item in items):
        if "tax_total" not in parts:
            raise unprocessable("TAX_TOTAL_REQUIRED", f"{at}/amount/breakdown/tax_total")
        total = sum((amount_of(item["tax"]) * int(item["quantity"]) for item in items if "tax" in item), Decimal(0))
        if total != parts["tax_total"]:
            value = breakdown["tax_total"]["value"]
            raise unprocessable("TAX_TOTAL_MISMATCH", f"{at}/amount/breakdown/tax_total/value", value=value)
    if parts:
        total = sum((parts.get(part, Decimal(0)) for part in _ADDED), Decimal(0))
        total -= sum((parts.get(part, Decimal(0)) for part in _TAKEN), Decimal(0))
        if total != amount_of(amount):
            raise unprocessable("AMOUNT_MISMATCH", f"{at}/amount/value", value=amount["value"])


def _amounts(unit: dict[str, Any]) -> list[tuple[str, Money]]:
    amount = unit["amount"]
    found = [("/amount", amount)]
    breakdown = amount.get("breakdown") or {}
    found += [
        (f"/amount/breakdown/{part}", breakdown[part]) for part in (*_ADDED, *_TAKEN) if breakdown.get(part) is not None
    ]
    for index, item in enumerate(unit.get("items") or []):
        found += [(f"/items/{index}/{name}", item[name]) for name in ("unit_amount", "tax") if name in item]
    return found


def _check_amount(amount: Money, at: str, *, positive: bool) -> None:
    currency, value = amount["currency_code"], amount_of(amount)
    if currency not in CURRENCIES:
        raise unprocessable("INVALID_CURRENCY_CODE", f"{at}/currency_code", value=currency)
    if has_too_many_decimals(currency, value):
        raise unprocessable("DECIMAL_PRECISION", f"{at}/value", value=amount["value"])
    if positive and value <= 0:
        raise unprocessable("CANNOT_BE_ZERO_OR_NEGATIVE", f"{at}/value", value=amount["value"])
    if value < 0:
        raise unprocessable("CANNOT_BE_NEGATIVE", f"{at}/value", value=amount["value"])
    if value > LARGEST:
        raise unprocessable("MAX_VALUE_EXCEEDED", f"{at}/value", value=amount["value"])


def _check_item(details: Details, item: Any, at: str) -> None:
    if not isinstance(item, dict):
        details.append(detail("INVALID_PARAMETER_SYNTAX", at))
        return
    _text(details, item, "name", at, 127, required=True)
    _text(details, item, "sku", at, 127, shortest=0)
    _text(details, item, "description", at, 127, shortest=0)
    _money(details, item.get("unit_amount"), f"{at}/unit_amount")
    if "tax" in item:
        _money(details, item["tax"], f"{at}/tax")
    quantity = item.get("quantity")
    if quantity is None:
        details.append(detail("MISSING_REQUIRED_PARAMETER", f"{at}/quantity"))
    elif not isinstance(quantity, str) or not _QUANTITY.fullmatch(quantity):
        details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/quantity", value=quantity))
    if "category" in item:
        _one_of(details, item, "category", {"DIGITAL_GOODS", "PHYSICAL_GOODS", "DONATION"}, at)


def _check_shipping(details: Details, shipping: Any, at: str) -> None:
    if shipping is None:
        return
    if not isinstance(shipping, dict):
        details.append(detail("INVALID_PARAMETER_SYNTAX", at))
        return
    if isinstance(shipping.get("name"), dict):
        _text(details, shipping["name"], "full_name", f"{at}/name", 300, shortest=0)
    address = shipping.get("address")
    if not isinstance(address, dict):
        return
    for name, longest in (("address_line_1", 300), ("address_line_2", 300), ("admin_area_2", 120)):
        _text(details, address, name, f"{at}/address", longest, shortest=0)
    _text(details, address, "admin_area_1", f"{at}/address", 300, shortest=0)
    _text(details, address, "postal_code", f"{at}/address", 60, shortest=0)
    country = address.get("country_code")
    if country is None:
        details.append(detail("MISSING_REQUIRED_PARAMETER", f"{at}/address/country_code"))
    elif not isinstance(country, str) or not re.fullmatch(r"[A-Z]{2}|C2", country):
        details.append(detail("INVALID_COUNTRY_CODE", f"{at}/address/country_code", value=country))


def _check_context(details: Details, request: dict[str, Any]) -> None:
    source = request.get("payment_source")
    if source is not None and not isinstance(source, dict):
        details.append(detail("INVALID_PARAMETER_SYNTAX", "/payment_source"))
        return
    wallet = (source or {}).get("paypal") or {}
    for at, context in (
        ("/application_context", request.get("application_context") or {}),
        ("/payment_source/paypal/experience_context", wallet.get("experience_context") or {}),
    ):
        if not isinstance(context, dict):
            details.append(detail("INVALID_PARAMETER_SYNTAX", at))
            continue
        _text(details, context, "brand_name", at, 127)
        for name, allowed in _PREFERENCES.items():
            if name in context:
                _one_of(details, context, name, allowed, at)
        for name in ("return_url", "cancel_url"):
            if name in context and not _is_url(context[name]):
                details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/{name}", value=context[name]))


def _is_url(text: Any) -> bool:
    return isinstance(text, str) and urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).netloc)


def _one_of(details: Details, holder: dict[str, Any], name: str, allowed: set[str], at: str) -> None:
    value = holder.get(name)
    if value is None:
        details.append(detail("MISSING_REQUIRED_PARAMETER", f"{at}/{name}"))
    elif value not in allowed:
        details.append(detail("INVALID_PARAMETER_VALUE", f"{at}/{name}", value=value))


def _text(
    details: Details,
    holder: dict[str, Any],
    name: str,
    at: str,
    longest: int,
    *,
    shortest: int = 1,
    required: bool = False,
) -> None:
    value = holder.get(name)
    if value is None:
        if required:
            details.append(detail("MISSING_REQUIRED_PARAMETER", f"{at}/{name}"))
    elif not isinstance(value, str):
        details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/{name}", value=value))
    elif not shortest <= len(value) <= longest:
        details.append(detail("INVALID_STRING_LENGTH", f"{at}/{name}", value=value))


def _money(details: Details, value: Any, at: str) -> None:
    if not isinstance(value, dict):
        details.append(detail("MISSING_REQUIRED_PARAMETER" if value is None else "INVALID_PARAMETER_SYNTAX", at))
        return
    for name in ("currency_code", "value"):
        if value.get(name) is None:
            details.append(detail("MISSING_REQUIRED_PARAMETER", f"{at}/{name}"))
        elif not isinstance(value[name], str):
            details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/{name}", value=value[name]))
    currency, number = value.get("currency_code"), value.get("value")
    if isinstance(currency, str) and len(currency) != 3:
        details.append(detail("INVALID_STRING_LENGTH", f"{at}/currency_code", value=currency))
    if isinstance(number, str) and (len(number) > 32 or not _VALUE.fullmatch(number)):
        details.append(detail("INVALID_PARAMETER_SYNTAX", f"{at}/value", value=number))


def _normal_amount(amount: dict[str, Any]) -> dict[str, Any]:
    shown = money(amount["currency_code"], amount_of(amount))
    breakdown = amount.get("breakdown")
    if breakdown:
        shown["breakdown"] = {part: _normal_amount(value) for part, value in breakdown.items() if value is not None}
    return shown
