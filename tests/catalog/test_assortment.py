"""Staff add products and variants over HTTP, and remove what was never stocked."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from functions.inventory import cli
from shared.catalog.assortment import HasHistory
from shared.inventory.stock import UnknownSku
from shared.kernel.clock import iso
from shared.persistence.assortment import Assortment
from shared.persistence.search import CatalogueReader
from shared.persistence.stock import Stock
from shared.search.listing import ProductNotFound, ProductPage
from tests.catalog.conftest import Office
from tests.catalog.test_products import refused_fields
from tests.orders.shop import at_once
from tests.support.conftest import problem_of


def shirt(shelf: Office, **said: Any) -> dict[str, Any]:
    """Two sizes, in the order L, S."""
    return {
        "product": shelf.sku("T"),
        "name": f"  Plain  Tee {shelf.own}",
        "brand": f"Wren {shelf.own}",
        "description": "Soft.\r\nGrey.",
        "attributes": {"fit": "loose", "gone": "", "deep": {"n": 5.0, "m": 0.25}},
        "image_urls": ["a.jpg", "my picture.jpg"],
        "variants": [
            {"sku": f" {shelf.sku('T-S')} ", "price_minor": 1500, "options": {" size": "S "}, "position": 7},
            {"sku": shelf.sku("T-L"), "price_minor": 1700, "options": {"size": "L"}, "weight_g": 190,
             "tax_class": "Reduced", "position": 3},
        ],
    } | said  # fmt: skip


def made(shelf: Office, body: Any) -> Any:
    answer = shelf.desk.call("POST", "/v1/admin/products", body)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.get_json()


def test_a_product_is_made_as_a_draft_once_and_told_once(shelf: Office, search: Callable[[], CatalogueReader]) -> None:
    key, session = str(uuid4()), {"Authorization": f"Bearer {shelf.desk.token('products:write')}"}
    own = shelf.own
    shelf.bring({"sku": "X", "name": "X", "price": 1, "category_path": f"Attic{own} > Boxes"})

    answers = [
        shelf.desk.call(
            "POST", "/v1/admin/products", shirt(shelf, category=f"attic{own}/boxes"), key=key, headers=session
        )
        for _ in range(2)
    ]

    product = answers[0].get_json()
    at = product["created_at"]
    assert product == {
        "id": product["id"], "version": 1, "product": f"T-{own}", "slug": f"plain-tee-{own}",
        "name": f"Plain Tee {own}", "brand": f"Wren {own}",
        "category": {"path": f"attic{own}/boxes", "name": "Boxes"}, "description": "Soft.\nGrey.",
        "attributes": {"fit": "loose", "deep": {"n": 5, "m": 0.25}}, "image_urls": ["a.jpg", "my picture.jpg"],
        "popularity": 0, "published_at": None, "created_at": at, "updated_at": at,
        "variants": [
            {"sku": f"T-L-{own}", "options": {"size": "L"}, "weight_g": 190, "tax_class": "reduced", "position": 3,
             "active": True, "price": {"amount_minor": 1700, "currency": "USD", "display": "17.00 USD"}},
            {"sku": f"T-S-{own}", "options": {"size": "S"}, "weight_g": None, "tax_class": "standard", "position": 7,
             "active": True, "price": {"amount_minor": 1500, "currency": "USD", "display": "15.00 USD"}},
        ],
    }  # fmt: skip
    address = f"/v1/admin/products/{product['id']}"
    assert [(a.status_code, a.get_json(), a.headers["Location"], a.headers["ETag"]) for a in answers] == [
        (201, product, address, '"1"'),
        (201, product, address, '"1"'),
    ]
    assert shelf.desk.get(address) == product
    assert shelf.audit(product) == [(shelf.desk.actor, "product.created", {
        "name": f"Plain Tee {own}", "slug": f"plain-tee-{own}", "skus": [f"T-S-{own}", f"T-L-{own}"],
        "published_at": None,
    })]  # fmt: skip
    assert shelf.told(product) == 1
    with pytest.raises(ProductNotFound):
        search().get_product(product["slug"], now=shelf.desk.shop.clock.now())

    published = shelf.patched(product, published_at=iso(shelf.desk.shop.clock.now()))
    reader = search()
    page = reader.get_product(product["slug"], now=shelf.desk.shop.clock.now() + timedelta(seconds=1))

    assert published["version"] == 2
    assert isinstance(page, ProductPage)
    assert [(each.sku, each.in_stock) for each in page.variants] == [(f"T-L-{own}", False), (f"T-S-{own}", False)]
    [copy] = shelf.ask("select sku, price_minor, words @@ 'attic'::tsquery as named, tier <= 4 as listed"
                       " from search_products where product_id = :id::uuid", id=product["id"])  # fmt: skip
    assert copy == {"sku": f"T-S-{own}", "price_minor": 1500, "named": False, "listed": True}


def test_what_was_made_by_hand_comes_back_from_an_export_unchanged(
    shelf: Office, tmp_path: Any, say: Callable[[], list[str]]
) -> None:
    texts = {
        "name": f'=Mug, "best" {shelf.own}',
        "brand": f"-Brand {shelf.own}",
        "description": "\t@a;\r\rb\x0bc",
        "attributes": {"n": [1, 2.5, 1e20, None, True], "sku": "x", "'=": " é"},
        "image_urls": ["[1].jpg"],
    }
    variants = [
        {"sku": f"'={shelf.own} a", "price_minor": 0, "options": {"+": "@"}, "weight_g": 0, "tax_class": "x-1"},
        {"sku": f"{shelf.own}/b", "price_minor": 999, "active": False},
    ]
    made(shelf, {"product": f"'{shelf.own}", **texts, "variants": variants})
    before = shelf.ask("select * from products p join variants v on v.product_id = p.id order by sku")
    file = tmp_path / "catalogue.csv"
    say()

    assert cli.main(["export", str(file), "--quiet"]) == 0
    assert cli.main(["import", str(file)]) == 0

    assert ": 0 new, 0 changed, " in say()[0]
    assert shelf.ask("select * from products p join variants v on v.product_id = p.id order by sku") == before


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"name": "\u200a "}, [("/name", "has nothing to read in it")]),
        ({"category": "no/where"}, [("/category", "is no category of this shop")]),
        ({"published_at": "soon"},
         [("/published_at", "A moment of ISO 8601 with its time zone, 2026-12-01T00:00:00Z.")]),
        ({"attributes": {"a": [[[[[[[[[[1]]]]]]]]]]}}, [("/attributes", "a is nested too deeply")]),
        ({"product": ".."}, [("/product", "product cannot be '..': it would not survive an address")]),
        ({"variants": [{"sku": "A", "price_minor": 1}, {"sku": " A", "price_minor": 1}]},
         [("/variants/1/sku", "is another variant's")]),
        ({"variants": [{"sku": "A", "price_minor": 1}, {"sku": "\t", "price_minor": 1}]},
         [("/variants/1/sku", "sku is missing")]),
        ({"variants": [{"sku": "A", "price_minor": 1, "tax_class": "a b"}]},
         [("/variants/0/tax_class", "tax_class is not a word of letters, digits, - and _")]),
        ({"variants": []}, [("/variants", "Expected array of length >= 1")]),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_new_product_is_named_and_nothing_is_made(shelf: Office, said: Any, fields: Any) -> None:
    before = shelf.ask("select count(*) as n from products")

    answer = shelf.desk.call("POST", "/v1/admin/products", shirt(shelf, **said))

    assert refused_fields(answer) == fields
    assert shelf.ask("select count(*) as n from products") == before


def test_attributes_as_deep_as_they_come_are_refused(shelf: Office) -> None:
    body = json.dumps(shirt(shelf, attributes={"a": "HERE"})).replace('"HERE"', "[" * 100_000 + "]" * 100_000)
    headers = {"Authorization": f"Bearer {shelf.desk.token('*')}", "Idempotency-Key": str(uuid4())}

    answer = shelf.desk.client.post(
        "/v1/admin/products", data=body, headers=headers | {"Content-Type": "application/json"}
    )

    assert problem_of(answer)[0] in (400, 422)


def test_a_sku_and_a_key_belong_to_one_product(shelf: Office) -> None:
    shelf.bring({"sku": "T-L", "product": "OTHER", "name": "Other", "price": 5})

    sku = shelf.desk.call("POST", "/v1/admin/products", shirt(shelf))
    key = shelf.desk.call("POST", "/v1/admin/products", shirt(
        shelf, product=shelf.sku("OTHER"), variants=[{"sku": shelf.sku("NEW"), "price_minor": 1}]
    ))  # fmt: skip

    assert (problem_of(sku), sku.get_json()["skus"]) == ((409, "sku-taken"), [shelf.sku("T-L")])
    assert (problem_of(key), key.get_json()["product"]) == ((409, "product-taken"), shelf.sku("OTHER"))
    assert shelf.desk.get(f"/v1/admin/products?sku={shelf.sku('NEW')}")["items"] == []


def test_two_who_make_the_same_sku_make_one_product(shelf: Office) -> None:
    body = shirt(shelf)

    answers, _ = at_once([lambda: shelf.desk.call("POST", "/v1/admin/products", body)] * 2)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(shelf.ask("select id from products where group_key = :key::text", key=shelf.sku("T"))) == 1


def test_what_is_published_at_once_has_something_for_sale(shelf: Office) -> None:
    body = shirt(shelf, published_at=iso(shelf.desk.shop.clock.now()))
    nothing = [variant | {"active": False} for variant in body["variants"]]

    refused = shelf.desk.call("POST", "/v1/admin/products", body | {"variants": nothing})

    assert problem_of(refused) == (409, "nothing-for-sale")
    assert made(shelf, body)["published_at"] == body["published_at"]


def test_a_variant_is_added_changed_and_removed(shelf: Office) -> None:
    product = made(shelf, shirt(shelf))
    path = f"/v1/admin/products/{product['id']}"
    new = {"sku": shelf.sku("T-M"), "price_minor": 1600, "options": {"size": "M"}}

    added = shelf.desk.call("POST", f"{path}/variants", new)
    taken = shelf.desk.call("POST", f"{path}/variants", new)
    changed = shelf.patched(
        product,
        attributes={"fit": None, "cut": "slim"},
        variants=[{"sku": new["sku"], "options": {"size": "M", "fit": "slim"}, "weight_g": 170, "tax_class": "zero",
                   "position": 5}],
    )  # fmt: skip
    cleared = shelf.patched(product, variants=[{"sku": new["sku"], "options": {}, "weight_g": None}])
    stale = shelf.desk.call("DELETE", f"{path}/variants/{new['sku']}", headers={"If-Match": '"1"'})
    gone = shelf.desk.call("DELETE", f"{path}/variants/{new['sku']}", headers={"If-Match": '"4"'})
    again = shelf.desk.call("DELETE", f"{path}/variants/{new['sku']}")

    assert (added.status_code, added.headers["Location"], added.headers["ETag"]) == (201, path, '"2"')
    assert [variant["sku"] for variant in added.get_json()["variants"]] == [
        shelf.sku(sku) for sku in ("T-L", "T-S", "T-M")
    ]
    assert problem_of(taken) == (409, "sku-taken")
    assert changed["attributes"] == {"cut": "slim", "deep": {"n": 5, "m": 0.25}}
    assert changed["variants"][1] == {
        "sku": new["sku"], "options": {"size": "M", "fit": "slim"}, "weight_g": 170, "tax_class": "zero", "position": 5,
        "active": True, "price": {"amount_minor": 1600, "currency": "USD", "display": "16.00 USD"},
    }  # fmt: skip
    assert (cleared["variants"][1]["options"], cleared["variants"][1]["weight_g"]) == ({}, None)
    assert (problem_of(stale), gone.status_code, problem_of(again)) == (
        (412, "product-stale"),
        204,
        (404, "unknown-variant"),
    )
    after = shelf.desk.get(path)
    assert (after["version"], [variant["sku"] for variant in after["variants"]]) == (
        5,
        [shelf.sku("T-L"), shelf.sku("T-S")],
    )
    details = [detail for _, action, detail in shelf.audit(product) if action == "product.changed"]
    assert details == [
        {"variants": {new["sku"]: {"created": {"price_minor": 1600}}}},
        {"attributes": {"cut": {"was": None, "now": "slim"}, "fit": {"was": "loose", "now": None}},
         "variants": {new["sku"]: {
             "options": {"was": {"size": "M"}, "now": {"size": "M", "fit": "slim"}},
             "weight_g": {"was": None, "now": 170}, "tax_class": {"was": "standard", "now": "zero"},
             "position": {"was": 8, "now": 5}}}},
        {"variants": {new["sku"]: {"options": {"was": {"size": "M", "fit": "slim"}, "now": {}},
                                   "weight_g": {"was": 170, "now": None}}}},
        {"variants": {new["sku"]: {"deleted": True}}},
    ]  # fmt: skip


def test_the_last_variant_and_the_last_for_sale_stay(shelf: Office) -> None:
    product = made(shelf, shirt(shelf, published_at=iso(shelf.desk.shop.clock.now())))
    path, (small, large) = f"/v1/admin/products/{product['id']}", (shelf.sku("T-S"), shelf.sku("T-L"))
    shelf.patched(product, variants=[{"sku": small, "active": False}])

    for_sale = shelf.desk.call("DELETE", f"{path}/variants/{large}")
    inactive = shelf.desk.call("DELETE", f"{path}/variants/{small}")
    last = shelf.desk.call("DELETE", f"{path}/variants/{large}")

    assert (problem_of(for_sale), inactive.status_code) == ((409, "nothing-for-sale"), 204)
    assert problem_of(last) == (409, "last-variant")


def test_a_draft_is_deleted_and_what_was_stocked_is_not(shelf: Office, search: Callable[[], CatalogueReader]) -> None:
    product = made(shelf, shirt(shelf, published_at=iso(shelf.desk.shop.clock.now())))
    path = f"/v1/admin/products/{product['id']}"
    search()
    count = {"sku": shelf.sku("T-S"), "counted": 0, "reason": "stocktaking"}
    unique = {"sku": shelf.sku("U"), "price_minor": 1}
    other = made(shelf, shirt(shelf, product=unique["sku"], name=f"U {shelf.own}", variants=[unique]))
    counted = shelf.desk.call("POST", "/v1/inventory/counts", count | {"sku": unique["sku"]})

    kept = shelf.desk.call("DELETE", f"/v1/admin/products/{other['id']}")
    stale = shelf.desk.call("DELETE", path, headers={"If-Match": '"9"'})
    gone = shelf.desk.call("DELETE", path)
    again = shelf.desk.call("DELETE", path)
    reader = search()

    assert counted.get_json()["on_hand"] == 0
    assert (problem_of(kept), kept.get_json()["skus"]) == ((409, "has-history"), [shelf.sku("U")])
    assert shelf.desk.get(f"/v1/admin/products/{other['id']}") == other
    assert (problem_of(stale), gone.status_code, problem_of(again)) == (
        (412, "product-stale"),
        204,
        (404, "unknown-product"),
    )
    with pytest.raises(ProductNotFound):
        reader.get_product(product["slug"], now=shelf.desk.shop.clock.now())
    assert shelf.ask("select tier from search_products where product_id = :id::uuid", id=product["id"]) == [{"tier": 9}]
    assert [action for _, action, _ in shelf.audit(product)] == ["product.created", "product.deleted"]
    assert shelf.desk.call("POST", "/v1/inventory/counts", count).status_code == 404
    assert made(shelf, shirt(shelf))["slug"] == product["slug"]


def test_no_variant_goes_while_its_first_unit_comes(shelf: Office) -> None:
    """Whoever stocks it has it locked: who removes it waits, and finds the movement."""
    product = made(shelf, shirt(shelf))
    sku, shop = shelf.sku("T-S"), shelf.desk.shop
    assortment = Assortment(shop.database, shop.clock)
    stock = Stock(shop.database, shop.clock)

    _, refused = at_once(
        [
            lambda: assortment.delete(UUID(product["id"]), actor="staff:a", if_match=None),
            lambda: stock.adjust(sku, 3, reason="came", actor="staff:b"),
        ]
    )

    left = shelf.ask("select sku from variants where sku = :sku::text", sku=sku)
    moved = shelf.ask("select delta_on_hand from stock_movements where sku = :sku::text", sku=sku)
    assert (type(refused[0]), len(left), len(moved)) in ((HasHistory, 1, 1), (UnknownSku, 0, 0))
    assert len(refused) == 1


def test_who_may_only_read_products_makes_and_removes_none(shelf: Office) -> None:
    product = made(shelf, shirt(shelf))
    path, may = f"/v1/admin/products/{product['id']}", ("products:read",)
    variant = {"sku": shelf.sku("N"), "price_minor": 1}

    answers = [
        shelf.desk.call("POST", "/v1/admin/products", shirt(shelf), permissions=may),
        shelf.desk.call("POST", f"{path}/variants", variant, permissions=may),
        shelf.desk.call("DELETE", path, permissions=may),
        shelf.desk.call("DELETE", f"{path}/variants/{shelf.sku('T-S')}", permissions=may),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert shelf.desk.get(path) == product
