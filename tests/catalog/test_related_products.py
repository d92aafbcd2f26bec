"""Staff say over HTTP what is shown beside a product."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from shared.persistence.search import CatalogueReader
from shared.search.listing import ProductPage
from tests.catalog.conftest import Office
from tests.catalog.test_products import refused_fields
from tests.support.conftest import problem_of


def show(shelf: Office, product: Any, *others: str, if_match: int | None = None, **options: Any) -> TestResponse:
    headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
    path, body = f"/v1/admin/products/{product['id']}/related", {"product_ids": list(others)}
    return shelf.desk.call("PUT", path, body, headers=headers, **options)


def shown(reader: CatalogueReader, shelf: Office, product: Any) -> list[str]:
    page = reader.get_product(product["slug"], now=shelf.desk.shop.clock.now())
    assert isinstance(page, ProductPage)
    return [each.slug for each in page.related]


def test_a_list_is_set_read_replaced_and_emptied(shelf: Office, search: Callable[[], CatalogueReader]) -> None:
    shelf.bring(*({"sku": name, "name": f"{name} {shelf.own}", "price": 5, "on_hand": 1} for name in "ABCD"))
    a, b, c, d = (shelf.find(name) for name in "ABCD")
    path = f"/v1/admin/products/{a['id']}/related"

    first = show(shelf, a, c["id"], b["id"])
    seen = shown(search(), shelf, a)
    same = show(shelf, a, c["id"], b["id"])
    stale = show(shelf, a, d["id"], if_match=1)
    second = show(shelf, a, d["id"], c["id"], if_match=2)
    read = shelf.desk.call("GET", path, permissions=("products:read",))
    seen_then = shown(search(), shelf, a)
    emptied = show(shelf, a)

    items = [
        {"id": each["id"], "slug": each["slug"], "name": each["name"], "published_at": each["published_at"]}
        for each in (d, c, b)
    ]
    assert (first.status_code, first.headers["ETag"]) == (200, '"2"')
    assert first.get_json() == same.get_json() == {"version": 2, "items": items[1:]}
    assert problem_of(stale) == (412, "product-stale")
    assert second.get_json() == read.get_json() == {"version": 3, "items": items[:2]}
    assert (seen, seen_then) == ([c["slug"], b["slug"]], [d["slug"], c["slug"]])
    assert emptied.get_json() == {"version": 4, "items": []}
    assert [detail for _, _, detail in shelf.audit(a)] == [
        {"related": {"was": [], "now": [c["slug"], b["slug"]]}},
        {"related": {"was": [c["slug"], b["slug"]], "now": [d["slug"], c["slug"]]}},
        {"related": {"was": [d["slug"], c["slug"]], "now": []}},
    ]
    assert shelf.told(a) == 4, "an event of the import, and one of each change"


def test_what_is_deleted_leaves_the_list_and_what_is_withdrawn_is_not_shown(
    shelf: Office, search: Callable[[], CatalogueReader]
) -> None:
    shelf.bring(*({"sku": name, "name": f"{name} {shelf.own}", "price": 5, "on_hand": 1} for name in "ABC"))
    a, b, c = (shelf.find(name) for name in "ABC")
    made = {"name": f"Draft {shelf.own}", "variants": [{"sku": shelf.sku("D"), "price_minor": 1}]}
    draft = shelf.desk.call("POST", "/v1/admin/products", made).get_json()
    show(shelf, a, draft["id"], b["id"], c["id"])

    shelf.patched(b, published_at=None)
    seen = shown(search(), shelf, a)
    gone = shelf.desk.call("DELETE", f"/v1/admin/products/{draft['id']}")

    assert (seen, gone.status_code) == ([c["slug"]], 204)
    listed = shelf.desk.get(f"/v1/admin/products/{a['id']}/related")
    assert [(each["id"], each["published_at"]) for each in listed["items"]] == [
        (b["id"], None),
        (c["id"], c["published_at"]),
    ]
    assert shown(search(), shelf, a) == [c["slug"]]


@pytest.mark.parametrize("bad", ["unknown", "itself", "twice"])
def test_what_cannot_be_shown_is_named_and_nothing_changes(shelf: Office, bad: str) -> None:
    shelf.bring({"sku": "A", "name": "A", "price": 5}, {"sku": "B", "name": "B", "price": 5})
    a, b = shelf.find("A"), shelf.find("B")
    show(shelf, a, b["id"])
    second, detail = {
        "unknown": (str(uuid4()), "is no product"),
        "itself": (a["id"], "is the product itself"),
        "twice": (b["id"], "is named twice"),
    }[bad]

    refused = show(shelf, a, b["id"], second)

    assert refused_fields(refused) == [("/product_ids/1", detail)]
    listed = shelf.desk.get(f"/v1/admin/products/{a['id']}/related")
    assert (listed["version"], [each["id"] for each in listed["items"]]) == (2, [b["id"]])


def test_twenty_four_fit_and_no_more(shelf: Office) -> None:
    shelf.bring(*({"sku": f"P{n}", "name": f"P{n}", "price": 1} for n in range(26)))
    ids = [str(row["id"]) for row in shelf.ask(
        "select id from products where group_key = any(:keys::text[]) order by id",
        keys=[shelf.sku(f"P{n}") for n in range(26)])]  # fmt: skip
    product = {"id": ids[0]}

    full = show(shelf, product, *ids[1:25])

    assert [each["id"] for each in full.get_json()["items"]] == ids[1:25]
    assert problem_of(show(shelf, product, *ids[1:26])) == (422, "invalid")


def test_who_may_only_read_changes_none_and_what_is_not_there_has_none(shelf: Office) -> None:
    shelf.bring({"sku": "A", "name": "A", "price": 5})
    a, nothing = shelf.find("A"), {"id": str(uuid4())}

    assert problem_of(show(shelf, a, permissions=("products:read",)))[0] == 403
    assert problem_of(show(shelf, nothing)) == (404, "unknown-product")
    path = f"/v1/admin/products/{nothing['id']}/related"
    assert problem_of(shelf.desk.call("GET", path)) == (404, "unknown-product")
    assert shelf.ask("select 1 from related_products where product_id = :id::uuid", id=UUID(a["id"])) == []
