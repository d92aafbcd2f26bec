"""Staff list, read and change products over HTTP, and two of them at the same time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from shared.catalog.editing import KeptProduct, ProductStale
from shared.kernel.clock import iso
from shared.persistence.search import CatalogueReader
from shared.search.listing import Moved, ProductNotFound, ProductPage, Search
from tests.catalog.conftest import Office
from tests.orders.shop import at_once
from tests.support.conftest import problem_of

SHIRT = [
    {"sku": "T-S", "product": "T", "name": "Plain Tee", "brand": "Wren", "category_path": "Clothing > Tops",
     "description": "Soft.", "price": 15, "option.size": "S", "weight_g": 150, "image_url": "a.jpg", "fit": "loose"},
    {"sku": "T-M", "product": "T", "price": 17, "option.size": "M"},
]  # fmt: skip


def refused_fields(answer: TestResponse) -> list[tuple[str, str]]:
    assert problem_of(answer) == (422, "invalid"), answer.get_data(as_text=True)
    return [(field["pointer"], field["detail"]) for field in answer.get_json()["errors"]]


def test_a_product_is_listed_and_read_with_all_that_is_kept_of_it(shelf: Office) -> None:
    shelf.bring(*SHIRT)

    [listed] = shelf.desk.get(f"/v1/admin/products?sku={shelf.sku('T-M')}")["items"]
    answer = shelf.desk.call("GET", f"/v1/admin/products/{listed['id']}", permissions=("products:read",))

    page = answer.get_json()
    assert answer.headers["ETag"] == '"1"'
    at, slug = page["created_at"], page["slug"]
    assert slug in ("plain-tee", f"plain-tee-t-{shelf.own}")
    assert page == {
        "id": listed["id"], "version": 1, "product": shelf.sku("T"), "slug": slug, "name": "Plain Tee", "brand": "Wren",
        "category": {"path": "clothing/tops", "name": "Tops"}, "description": "Soft.", "attributes": {"fit": "loose"},
        "image_urls": ["a.jpg"], "popularity": 0, "published_at": at, "created_at": at, "updated_at": at,
        "variants": [
            {"sku": shelf.sku("T-S"), "options": {"size": "S"}, "weight_g": 150, "tax_class": "standard",
             "position": 0, "active": True, "price": {"amount_minor": 1500, "currency": "USD", "display": "15.00 USD"}},
            {"sku": shelf.sku("T-M"), "options": {"size": "M"}, "weight_g": None, "tax_class": "standard",
             "position": 1, "active": True, "price": {"amount_minor": 1700, "currency": "USD", "display": "17.00 USD"}},
        ],
    }  # fmt: skip
    assert listed == {
        "id": listed["id"], "version": 1, "slug": slug, "name": "Plain Tee", "brand": "Wren",
        "category": {"path": "clothing/tops", "name": "Tops"},
        "price": {"amount_minor": 1500, "currency": "USD", "display": "15.00 USD"}, "variants": 2, "active_variants": 2,
        "published_at": at, "created_at": at, "updated_at": at,
    }  # fmt: skip


def test_a_list_is_narrowed_and_goes_on_where_it_ended(shelf: Office) -> None:
    own, brand = shelf.own, f"Brand {shelf.own}"
    paths = (f"C{own}", f"C{own} > D")
    shelf.bring(*({"sku": f"L{n}", "name": f"Lamp {n}", "brand": brand, "category_path": paths[n % 2], "price": 5}
                  for n in range(5)))  # fmt: skip
    shelf.patched(shelf.find("L4"), published_at=None)

    def names(query: str) -> list[str]:
        return sorted(item["name"] for item in shelf.desk.get(f"/v1/admin/products?{query}")["items"])

    everything = ["Lamp 0", "Lamp 1", "Lamp 2", "Lamp 3", "Lamp 4"]
    assert names(f"brand=brand-{own}") == names(f"category=c{own}") == everything
    assert names(f"category=c{own}/d") == ["Lamp 1", "Lamp 3"]
    assert names(f"brand=brand-{own}&published=false") == ["Lamp 4"]
    assert names(f"brand=brand-{own}&published=true&category=c{own}/d") == ["Lamp 1", "Lamp 3"]
    assert names(f"category=c{own}/") == names("sku=none") == []
    first = shelf.desk.get(f"/v1/admin/products?brand=brand-{own}&limit=3")
    second = shelf.desk.get(f"/v1/admin/products?brand=brand-{own}&limit=3&cursor={first['next_cursor']}")
    assert ([len(page["items"]) for page in (first, second)], second["next_cursor"]) == ([3, 2], None)
    assert sorted(item["name"] for page in (first, second) for item in page["items"]) == everything


def test_a_new_name_moves_the_address_and_search_follows(shelf: Office, search: Callable[[], CatalogueReader]) -> None:
    own = shelf.own
    shelf.bring({"sku": "LAMP", "name": f"Lamp {own}", "price": 5})
    shelf.bring({"sku": "OTHER", "name": f"Other {own}", "price": 5})
    lamp, other = shelf.find("LAMP"), shelf.find("OTHER")

    renamed = shelf.patched(lamp, name=f"  Desk  Light {own}", description="Warm\r\nlight.", brand=f"Nordby {own}")
    taken = shelf.patched(other, name=f"Lamp {own}")

    assert (renamed["name"], renamed["slug"], renamed["version"]) == (f"Desk Light {own}", f"desk-light-{own}", 2)
    assert (renamed["description"], renamed["brand"]) == ("Warm\nlight.", f"Nordby {own}")
    assert taken["slug"] == f"lamp-{own}-other-{own}"
    reader, now = search(), shelf.desk.shop.clock.now()
    assert reader.get_product(f"lamp-{own}", now=now) == Moved(f"desk-light-{own}")
    page = reader.get_product(f"desk-light-{own}", now=now)
    assert isinstance(page, ProductPage)
    assert page.listed.name == f"Desk Light {own}"
    [copy] = shelf.ask("select name, slug, brand_name, words @@ to_tsquery('public.shop', 'warm') as described"
                       " from search_products where product_id = :id::uuid", id=lamp["id"])  # fmt: skip
    assert copy == {"name": f"Desk Light {own}", "slug": f"desk-light-{own}", "brand_name": f"Nordby {own}",
                    "described": True}  # fmt: skip
    assert shelf.audit(lamp) == [
        (shelf.desk.actor, "product.changed", {
            "slug": {"was": f"lamp-{own}", "now": f"desk-light-{own}"},
            "name": {"was": f"Lamp {own}", "now": f"Desk Light {own}"},
            "brand": {"was": "", "now": f"Nordby {own}"},
            "description": {"was": "", "now": "Warm\nlight."},
        }),
    ]  # fmt: skip

    back = shelf.patched(lamp, name=f"Lamp {own}")

    assert back["slug"] == f"lamp-{own}"
    assert search().get_product(f"desk-light-{own}", now=shelf.desk.shop.clock.now()) == Moved(f"lamp-{own}")


def test_what_changes_nothing_leaves_no_trace(shelf: Office) -> None:
    shelf.bring(*SHIRT)
    before = shelf.find("T-S")
    told = shelf.told(before)

    after = shelf.patched(
        before, name="Plain  Tee ", brand="WREN", category="clothing/tops", image_urls=["a.jpg"],
        variants=[{"sku": shelf.sku("T-S"), "price_minor": 1500, "active": True}],
    )  # fmt: skip
    answer = shelf.change(product_ids=[before["id"]], price={"percent": "0"}, published=True)

    assert after == before
    assert answer.get_json() == {"changed": []}
    assert (shelf.audit(before), shelf.told(before)) == ([], told)


def test_a_version_that_was_replaced_is_refused_and_nothing_changes(shelf: Office) -> None:
    shelf.bring(*SHIRT)
    seen = shelf.find("T-S")
    shelf.bring({"sku": "T-M", "price": 18})  # an import counts as well

    answer = shelf.patch(seen, {"description": "Softer."}, if_match=seen["version"])

    assert problem_of(answer) == (412, "product-stale")
    assert answer.get_json()["version"] == 2
    now = shelf.find("T-S")
    assert (now["version"], now["description"], shelf.audit(seen)) == (2, "Soft.", [])
    assert shelf.patch(seen, {"description": "Softer."}, if_match=2).headers["ETag"] == '"3"'


def test_two_who_edit_the_same_version_are_one_edit_and_one_refusal(shelf: Office) -> None:
    shelf.bring(*SHIRT)
    product = shelf.find("T-S")
    product_id = UUID(product["id"])

    def describe(text: str) -> Callable[[], KeptProduct]:
        return lambda: shelf.products.change(
            product_id, lambda before: replace(before, description=text), actor=f"staff:{text}", if_match=1
        )

    edited, refused = at_once([describe("first"), describe("second")])

    assert [type(refusal) for refusal in refused] == [ProductStale]
    assert [product.version for product in edited] == [2]
    after = shelf.find("T-S")
    assert (after["version"], after["description"]) == (2, edited[0].description)
    assert [actor for actor, _, _ in shelf.audit(product)] == [f"staff:{edited[0].description}"]


def test_two_who_edit_different_things_at_once_lose_neither(shelf: Office) -> None:
    shelf.bring(*SHIRT)
    product_id = UUID(shelf.find("T-S")["id"])
    works = [
        lambda: shelf.products.change(
            product_id, lambda before: replace(before, description="Softer."), actor="staff:a", if_match=None
        ),
        lambda: shelf.products.change(
            product_id, lambda before: replace(before, image_urls=("b.jpg",)), actor="staff:b", if_match=None
        ),
    ]

    at_once(works)

    after = shelf.find("T-S")
    assert (after["version"], after["description"], after["image_urls"]) == (3, "Softer.", ["b.jpg"])


def test_no_edit_waits_for_whoever_holds_its_stock(shelf: Office) -> None:
    shelf.bring({"sku": "LAMP", "name": "Lamp", "price": 5, "on_hand": 3})
    lamp = shelf.find("LAMP")

    def while_held(tx: Any) -> Any:
        tx.rows("select 1 from stock_levels where sku = :sku::text for update", sku=shelf.sku("LAMP"))
        return shelf.patched(lamp, variants=[{"sku": shelf.sku("LAMP"), "price_minor": 700}])

    assert shelf.desk.shop.database.step(while_held)["variants"][0]["price"]["amount_minor"] == 700


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": " \u200a"}, [("/name", "has nothing to read in it")]),
        ({"image_urls": ["javascript:alert(1)"]},
         [("/image_urls", "image_url is not an http(s) address: 'javascript:alert(1)'")]),
        ({"category": "no/where"}, [("/category", "is no category of this shop")]),
        ({"variants": [{"sku": "NONE", "active": False}]}, [("/variants/0/sku", "is no variant of this product")]),
        ({"published_at": "2126-01-01"},
         [("/published_at", "A moment of ISO 8601 with its time zone, 2026-12-01T00:00:00Z.")]),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_and_nothing_changes(shelf: Office, body: Any, fields: Any) -> None:
    shelf.bring(*SHIRT)
    before = shelf.find("T-S")

    assert refused_fields(shelf.patch(before, {"description": "other", **body})) == fields
    assert (shelf.find("T-S"), shelf.audit(before)) == (before, [])


def test_what_is_published_keeps_something_for_sale(shelf: Office, search: Callable[[], CatalogueReader]) -> None:
    shelf.bring(*SHIRT)
    shirt = shelf.find("T-S")
    small, medium = ({"sku": shelf.sku(sku), "active": False} for sku in ("T-S", "T-M"))

    one_left = shelf.patched(shirt, variants=[small])
    refused = shelf.patch(shirt, {"variants": [medium]})
    listed = shelf.desk.get(f"/v1/admin/products?sku={shelf.sku('T-S')}")["items"][0]
    shelf.bring({"sku": "T-S", "price": 1}, {"sku": "T-M", "description": "Softer."})
    after_import = shelf.desk.get(f"/v1/admin/products?sku={shelf.sku('T-S')}")["items"][0]
    search()
    [copy] = shelf.ask(
        "select sku, price_minor, tier from search_products where product_id = :id::uuid", id=shirt["id"]
    )
    gone = shelf.patched(shirt, variants=[medium], published_at=None)
    search()
    [copy_of_gone] = shelf.ask("select tier from search_products where product_id = :id::uuid", id=shirt["id"])
    back = shelf.patch(shirt, {"published_at": iso(shelf.desk.shop.clock.now() - timedelta(days=1))})

    assert [variant["active"] for variant in one_left["variants"]] == [False, True]
    assert (problem_of(refused), refused.get_json()["product_ids"]) == ((409, "nothing-for-sale"), [shirt["id"]])
    assert (listed["price"]["amount_minor"], listed["active_variants"]) == (1700, 1)
    assert after_import["price"]["amount_minor"] == 1700, "what is not sold has no say in the price"
    assert (copy["sku"], copy["price_minor"], copy["tier"] <= 4) == (shelf.sku("T-M"), 1700, True)
    assert (gone["published_at"], copy_of_gone["tier"]) == (None, 9)
    assert problem_of(back) == (409, "nothing-for-sale")


def test_what_is_published_later_is_scheduled_and_seen_by_nobody_until_then(
    shelf: Office, search: Callable[[], CatalogueReader]
) -> None:
    own = shelf.own
    shelf.bring({"sku": "A", "name": f"A {own}", "brand": f"Brand {own}", "price": 5})
    product, now = shelf.find("A"), shelf.desk.shop.clock.now()
    due = now + timedelta(days=2)
    shelf.patched(product, name=f"B {own}")

    planned = shelf.patched(product, published_at=iso(due))
    lists = [
        [item["id"] for item in shelf.desk.get(f"/v1/admin/products?brand=brand-{own}&{asked}")["items"]]
        for asked in ("published=true", "published=false", "scheduled=true", "scheduled=false")
    ]
    reader = search()
    unseen = []
    for slug in (f"a-{own}", f"b-{own}"):
        with pytest.raises(ProductNotFound):
            reader.get_product(slug, now=now + timedelta(days=1))
        unseen.append(reader.list_products(Search(text=f"b {own}", brand=f"brand-{own}"), limit=5).items)
    shown = [reader.get_product(slug, now=due) for slug in (f"a-{own}", f"b-{own}")]

    assert planned["published_at"] == iso(due)
    assert lists == [[], [product["id"]], [product["id"]], []]
    assert (unseen, shown[0], isinstance(shown[1], ProductPage)) == ([(), ()], Moved(f"b-{own}"), True)


def test_many_that_are_scheduled_are_published_now_and_what_is_sold_keeps_its_moment(shelf: Office) -> None:
    shelf.bring({"sku": "A", "name": "A", "price": 5}, {"sku": "B", "name": "B", "price": 4})
    [a, b] = [shelf.find(sku) for sku in ("A", "B")]
    shelf.patched(b, published_at=iso(shelf.desk.shop.clock.now() + timedelta(days=2)))

    answer = shelf.change(product_ids=[a["id"], b["id"]], published=True)

    assert answer.get_json() == {"changed": [{"id": b["id"], "version": 3}]}
    assert shelf.find("A")["published_at"] == a["published_at"]
    assert a["published_at"] < shelf.find("B")["published_at"] <= iso(shelf.desk.shop.clock.now())


def test_what_is_scheduled_keeps_something_for_sale(shelf: Office) -> None:
    shelf.bring({"sku": "A", "name": "A", "price": 5})
    product = shelf.patched(shelf.find("A"), published_at=iso(shelf.desk.shop.clock.now() + timedelta(days=2)))

    refused = shelf.patch(product, {"variants": [{"sku": shelf.sku("A"), "active": False}]})

    assert problem_of(refused) == (409, "nothing-for-sale")
    assert shelf.find("A") == product


def test_staff_need_the_permission_and_a_product(shelf: Office) -> None:
    shelf.bring(*SHIRT)
    shirt, nothing = shelf.find("T-S"), {"id": str(uuid4())}

    assert problem_of(shelf.patch(shirt, {"name": "X"}, permissions=("products:read",)))[0] == 403
    assert problem_of(shelf.desk.call("GET", "/v1/admin/products", permissions=("stock:read",)))[0] == 403
    assert problem_of(shelf.desk.client.get("/v1/admin/products"))[0] == 401
    assert problem_of(shelf.patch(nothing, {"name": "X"})) == (404, "unknown-product")
    assert problem_of(shelf.desk.call("GET", "/v1/admin/products/none"))[0] == 404
    assert problem_of(shelf.desk.call("GET", "/v1/admin/products/changes"))[0] == 405


# Many at once -------------------------------------------------------------------------------------------------------


def test_many_prices_change_together_and_once(shelf: Office) -> None:
    shelf.bring({"sku": "A", "name": "A", "price": "19.95"}, {"sku": "B", "name": "B", "price": "0.15"},
                {"sku": "C", "name": "C", "price": 3})  # fmt: skip
    a, b = shelf.find("A"), shelf.find("B")
    body: dict[str, Any] = {"product_ids": [a["id"], b["id"]], "price": {"percent": "-10"}}
    key = str(uuid4())

    session = {"Authorization": f"Bearer {shelf.desk.token('products:write')}"}

    answers = [shelf.change(key=key, headers=session, **body) for _ in range(2)]
    other = shelf.change(key=key, headers=session, active=True, **body)

    versions = sorted([{"id": each["id"], "version": 2} for each in (a, b)], key=lambda each: str(each["id"]))
    assert [answer.get_json() for answer in answers] == [{"changed": versions}] * 2
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert problem_of(other) == (422, "key-reused")
    assert shelf.prices("A", "B", "C") == [1796, 14, 300]
    assert shelf.audit(a) == [
        (
            shelf.desk.actor,
            "product.changed",
            {"variants": {shelf.sku("A"): {"price_minor": {"was": 1995, "now": 1796}}}},
        )
    ]
    assert (shelf.told(a), shelf.told(shelf.find("C"))) == (2, 1), "an event of the import, and one of the edit"


def test_skus_are_repriced_and_taken_from_sale_beside_their_siblings(shelf: Office) -> None:
    shelf.bring(*SHIRT)

    answer = shelf.change(skus=[shelf.sku("T-S")], price={"amount_minor": -400}, active=False)

    assert answer.get_json() == {"changed": [{"id": shelf.find("T-S")["id"], "version": 2}]}
    assert shelf.prices("T-S", "T-M") == [1100, 1700]
    assert [variant["active"] for variant in shelf.find("T-S")["variants"]] == [False, True]


def test_one_price_that_cannot_be_leaves_all_as_they_were(shelf: Office) -> None:
    shelf.bring({"sku": "A", "name": "A", "price": 5}, {"sku": "B", "name": "B", "price": 4})
    ids = [shelf.find("A")["id"], shelf.find("B")["id"]]

    answer = shelf.change(product_ids=ids, price={"amount_minor": -450})

    assert refused_fields(answer) == [("/price", f"{shelf.sku('B')} would cost less than nothing")]
    assert shelf.prices("A", "B") == [500, 400]


def test_category_and_publication_of_many_change_and_search_follows(
    shelf: Office, search: Callable[[], CatalogueReader]
) -> None:
    own = shelf.own
    shelf.bring({"sku": "A", "name": f"A {own}", "price": 5}, {"sku": "B", "name": f"B {own}", "price": 4},
                {"sku": "C", "name": "C", "price": 4, "category_path": f"Attic{own} > Boxes"})  # fmt: skip
    ids = [shelf.find("A")["id"], shelf.find("B")["id"]]

    assert shelf.change(product_ids=ids, category=f"attic{own}/boxes").status_code == 200
    assert shelf.change(product_ids=ids[1:], published=False).status_code == 200

    search()
    copies = shelf.ask("select p.group_key, s.category_path, s.tier = 9 as gone, p.words @@ :word::tsquery as named"
                       " from products p join search_products s on s.product_id = p.id where p.id = any(:ids::uuid[])"
                       " order by 1", ids=[UUID(each) for each in ids], word="box")  # fmt: skip
    assert [(copy["gone"], copy["named"]) for copy in copies] == [(False, True), (True, True)]
    assert copies[0]["category_path"] == f"attic{own}/boxes"


def test_two_bulk_edits_in_opposite_order_both_go_in(shelf: Office) -> None:
    shelf.bring(*({"sku": f"P{n:02d}", "name": f"P{n}", "price": 10} for n in range(20)))
    skus = [shelf.sku(f"P{n:02d}") for n in range(20)]

    def raised(before: KeptProduct) -> KeptProduct:
        [variant] = before.variants
        return replace(before, variants=(replace(variant, price_minor=variant.price_minor + 100),))

    works = [
        lambda: shelf.products.change_many(raised, skus=skus, actor="staff:a"),
        lambda: shelf.products.change_many(raised, skus=skus[::-1], actor="staff:b"),
        lambda: shelf.products.change_many(raised, skus=skus[::2], actor="staff:c"),
    ]
    changed, refused = at_once(works)

    assert (sorted(map(len, changed)), refused) == ([10, 20, 20], [])
    assert shelf.prices(*(f"P{n:02d}" for n in range(20))) == [1300, 1200] * 10


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"price": {"percent": "5"}}, [("", "needs either product_ids or skus")]),
        ({"skus": ["A"]}, [("", "changes nothing")]),
        ({"skus": ["A", "A"], "active": True}, [("/skus", "names one twice")]),
        ({"skus": ["A"], "price": {}}, [("/price", "needs either percent or amount_minor")]),
        ({"skus": ["A"], "price": {"percent": "5", "amount_minor": 5}},
         [("/price", "needs either percent or amount_minor")]),
        ({"skus": ["A"], "published": True}, [("/published", "is the whole product's; select by product_ids")]),
        ({"skus": ["NONE"], "active": True}, [("/skus/0", "is no SKU of this shop")]),
        ({"product_ids": ["00000000-0000-0000-0000-000000000001"], "active": True},
         [("/product_ids/0", "is no product")]),
    ],
)  # fmt: skip
def test_a_selection_that_cannot_be_meant_is_refused(shelf: Office, body: Any, fields: Any) -> None:
    assert refused_fields(shelf.change(**body)) == fields


def test_a_call_takes_two_hundred_and_no_more(shelf: Office) -> None:
    shelf.bring(*({"sku": f"P{n:03d}", "name": f"P{n}", "price": 1} for n in range(201)))
    skus = [shelf.sku(f"P{n:03d}") for n in range(201)]

    assert problem_of(shelf.change(skus=skus, price={"amount_minor": 1}))[0] == 422
    answer = shelf.change(skus=skus[:200], price={"amount_minor": 1})

    assert len(answer.get_json()["changed"]) == 200
    assert shelf.prices("P000", "P199", "P200") == [101, 101, 100]


def test_an_edit_beside_an_import_of_the_same_products_loses_neither(shelf: Office) -> None:
    rows = [{"sku": f"P{n:03d}", "name": f"P{n}", "price": 1, "description": "old"} for n in range(60)]
    names = [f"P{n:03d}" for n in range(60)]
    shelf.bring(*rows)
    skus = [shelf.sku(name) for name in names]

    def raised(before: KeptProduct) -> KeptProduct:
        return replace(before, variants=tuple(replace(v, price_minor=v.price_minor + 100) for v in before.variants))

    at_once(
        [
            lambda: shelf.bring(*({"sku": name, "description": "new"} for name in names[::-1])),
            lambda: shelf.products.change_many(raised, skus=skus, actor="staff:a"),
        ]
    )

    assert shelf.prices(*names) == [200] * 60
    found = shelf.ask(
        "select distinct description, version from products where group_key = any(:skus::text[])", skus=skus
    )
    assert found == [{"description": "new", "version": 3}]
