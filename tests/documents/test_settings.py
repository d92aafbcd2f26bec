"""Who sells, and how numbers begin, as the shop's settings keep and show it."""

import json
from typing import Any

import pytest

from shared.edge.inventory_views import SettingsBody, settings_view
from shared.edge.parsing import parse_body
from shared.kernel.errors import Field, Invalid
from shared.shop.settings import Invoicing, from_json, to_json
from tests.documents.paper import SELLER, make_shop


def patch(**invoicing: Any) -> SettingsBody:
    return parse_body(json.dumps({"invoicing": invoicing}).encode(), SettingsBody)


def test_the_seller_is_the_same_after_the_database_and_at_the_api() -> None:
    shop = make_shop()

    view = settings_view(shop)
    again = patch(**{name: getattr(view.invoicing, name) for name in view.invoicing.__struct_fields__})

    assert from_json(json.loads(json.dumps(to_json(shop)))) == shop
    assert again.changed(make_shop(invoicing=Invoicing())).invoicing == SELLER


def test_settings_from_before_and_after_this_version_can_be_read() -> None:
    value = to_json(make_shop())

    older = from_json({name: part for name, part in value.items() if name != "invoicing"})
    newer = from_json({**value, "invoicing": {**value["invoicing"], "said_later": True}})

    assert older.invoicing == Invoicing()
    assert newer.invoicing == SELLER


def test_invoices_and_credit_notes_may_not_begin_alike() -> None:
    with pytest.raises(Invalid) as refused:
        patch(invoice_prefix="V-", credit_note_prefix="V-").changed(make_shop())

    assert refused.value.fields == (Field("/invoicing/credit_note_prefix", "Is the prefix of invoices already."),)


@pytest.mark.parametrize("prefix", ["inv-", "RE/", "A" * 13, "É", "A\n", '"'])
def test_a_prefix_is_of_capitals_digits_and_dashes(prefix: str) -> None:
    """It stands in a file's name and in an address."""
    with pytest.raises(Invalid):
        patch(invoice_prefix=prefix)
