"""PATCH of an order: JSON Patch on one purchase unit, checked by the rules of a new one."""

import re
from typing import Any

from local.paypal.books import Document
from local.paypal.order_rules import Details, check_unit_schema, check_units_rules, normal
from local.paypal.problems import detail, invalid, unprocessable

_PATH = re.compile(r"/purchase_units/@reference_id=='([^']*)'(?:/(.+))?")
# orders.patch: what may change, and how. The rest of the table (payee, payment_instruction) is not simulated.
_MAY_CHANGE = frozenset(
    {
        "custom_id",
        "description",
        "invoice_id",
        "soft_descriptor",
        "amount",
        "items",
        "shipping/name",
        "shipping/address",
    }
)


def patch_order(order: Document, operations: Any) -> None:
    """Change the document as asked, all of it or nothing. Raises Problem."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise invalid([detail("INVALID_PARAMETER_SYNTAX", "/")])
    if order["status"] == "COMPLETED":
        raise unprocessable("ORDER_ALREADY_COMPLETED")
    units = {unit["reference_id"]: dict(unit) for unit in order["purchase_units"]}
    for index, operation in enumerate(operations):
        _patch(units, operation, index)
    details: Details = []
    for index, unit in enumerate(units.values()):
        check_unit_schema(details, unit, f"/purchase_units/{index}")
    if details:
        raise invalid(details)
    check_units_rules(list(units.values()))
    order["purchase_units"] = [normal(unit) for unit in units.values()]


def _patch(units: dict[str, dict[str, Any]], operation: dict[str, Any], index: int) -> None:
    action = operation.get("op")
    if action not in ("add", "replace", "remove"):
        raise invalid([detail("INVALID_PARAMETER_VALUE", f"/{index}/op", value=action)])
    match = _PATH.fullmatch(str(operation.get("path", "")))
    if match is None:
        raise unprocessable("INVALID_JSON_POINTER_FORMAT", f"/{index}/path", value=operation.get("path"))
    unit = units.get(match[1])
    if unit is None:
        raise unprocessable("REFERENCE_ID_NOT_FOUND", f"/{index}/path", value=match[1])
    name = match[2] or ""
    if name not in _MAY_CHANGE:
        raise unprocessable("NOT_PATCHABLE", f"/{index}/path", value=operation.get("path"))
    if action != "remove" and "value" not in operation:
        raise invalid([detail("MISSING_REQUIRED_PARAMETER", f"/{index}/value")])
    holder, _, leaf = name.rpartition("/")
    target = unit if not holder else unit.setdefault(holder, {})
    if action == "remove":
        target.pop(leaf, None)
    else:
        target[leaf] = operation["value"]
