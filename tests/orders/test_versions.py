"""Migrations run before functions are deployed, one by one: what the version before reads stays as it was (rule 15)."""

from tests.orders.shop import Shop

# The fields of a line when order_json_v1 was all there was: its reader refused any other.
_LINE = {
    "sku", "location", "position", "name", "options", "quantity", "unit_price_minor", "total_minor", "tax_minor",
    "tax_class", "held", "allocated", "consumed", "released", "expired", "returned",
}  # fmt: skip


def test_readers_of_the_version_before_are_told_what_they_know_of_a_line(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 2})

    [old] = shop.database.call("select order_json_v1(:id::uuid) as found", id=order.id)
    [new] = shop.database.call("select order_json_v2(:id::uuid) as found", id=order.id)

    assert old["found"]["lines"][0].keys() == _LINE
    assert new["found"]["lines"][0].keys() == {*_LINE, "discount_minor", "tax_rate"}
