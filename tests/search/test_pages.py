"""Product and category pages, facets and suggestions over HTTP, and every status that they promise."""

import time

import pytest
from flask.testing import FlaskClient

from local.database import Address
from shared.persistence.search_projection import SearchProjection


def test_a_product_page_says_everything_about_it(client: FlaskClient) -> None:
    answer = client.get("/v1/products/plain-tee")

    assert answer.status_code == 200
    page = answer.get_json()
    assert page["description"] == "Soft."
    assert page["sku"] == "TEE-M"
    assert page["price"]["amount_minor"] == 1700
    assert page["images"] == ["https://media.example/bucket/demo/tee.webp", "https://x.example/t.jpg"]
    assert page["breadcrumbs"] == [
        {"path": "clothing", "name": "Clothing"},
        {"path": "clothing/tops", "name": "Tops"},
    ]
    assert [(v["sku"], v["options"], v["price"]["amount_minor"], v["in_stock"]) for v in page["variants"]] == [
        ("TEE-S", {"size": "S"}, 1500, False),
        ("TEE-M", {"size": "M"}, 1700, True),
        ("TEE-L", {"size": "L"}, 1900, True),
    ]


def test_an_old_address_leads_to_the_new_one(client: FlaskClient, catalogue_database: Address) -> None:
    connection = catalogue_database.connect()
    try:
        connection.run("insert into slug_history select 'simple-tee', id from products where slug = 'plain-tee'")

        answer = client.get("/v1/products/simple-tee")

        assert (answer.status_code, answer.headers["Location"]) == (301, "/v1/products/plain-tee")
    finally:
        connection.run("delete from slug_history where slug = 'simple-tee'")
        connection.close()


def test_the_old_path_of_a_category_leads_to_the_new_one(client: FlaskClient, catalogue_database: Address) -> None:
    connection = catalogue_database.connect()
    try:
        connection.run(
            "insert into category_history (path, category_id)"
            " select v.path, c.id from (values ('shop/lights'), ('home')) v (path)"
            " join categories c on c.path = 'home/lighting'"
        )

        answer = client.get("/v1/categories/shop/lights")

        assert (answer.status_code, answer.headers["Location"]) == (301, "/v1/categories/home/lighting")
        sorted_by_price = client.get("/v1/categories/shop/lights?sort=price_asc&limit=24").headers["Location"]
        assert sorted_by_price == "/v1/categories/home/lighting?sort=price_asc"
        assert client.get("/v1/categories/home").status_code == 200, "what is there goes before what was"
    finally:
        connection.run("delete from category_history")
        connection.close()


@pytest.mark.parametrize("published_at", ["null", "now() + interval '1 hour'"])
def test_what_is_not_published_is_nowhere(
    client: FlaskClient, catalogue_database: Address, projection: SearchProjection, published_at: str
) -> None:
    connection = catalogue_database.connect()
    try:
        changed = connection.run(
            f"update products set published_at = {published_at} where slug = 'laptop-stand' returning id"
        )
        projection.project([changed[0][0]])

        assert client.get("/v1/products/laptop-stand").status_code == 404
        assert client.get("/v1/products?q=laptop").get_json()["items"] == []
        assert client.get("/v1/suggestions?q=lapt").get_json()["items"] == []
        assert client.get("/v1/facets?q=laptop").get_json()["total"] == {"value": 0, "exact": True}
    finally:
        connection.run("update products set published_at = created_at where slug = 'laptop-stand'")
        projection.project([changed[0][0]])
        connection.close()


def test_the_tree_of_categories(client: FlaskClient) -> None:
    tree = client.get("/v1/categories").get_json()["items"]

    assert [node["path"] for node in tree] == ["home", "office", "kitchen", "shou-ji", "clothing"]
    assert tree[0]["children"] == [
        {
            "path": "home/lighting",
            "name": "Lighting",
            "children": [{"path": "home/lighting/desk", "name": "Desk", "children": []}],
        }
    ]


def test_a_category_page_knows_its_place_and_its_first_products(client: FlaskClient) -> None:
    page = client.get("/v1/categories/home/lighting?limit=5&sort=price_asc").get_json()

    assert (page["path"], page["name"]) == ("home/lighting", "Lighting")
    assert page["breadcrumbs"] == [{"path": "home", "name": "Home"}, {"path": "home/lighting", "name": "Lighting"}]
    assert page["children"] == [{"path": "home/lighting/desk", "name": "Desk"}]
    assert page["products"]["total"] == {"value": 40, "exact": True}
    assert len(page["products"]["items"]) == 5
    cursor = page["products"]["next_cursor"]
    following = client.get(f"/v1/products?category=home/lighting&sort=price_asc&limit=100&cursor={cursor}").get_json()
    assert len(following["items"]) == 35


def test_facets_count_what_was_found(client: FlaskClient) -> None:
    facets = client.get("/v1/facets?q=lamp&category=home/lighting").get_json()

    assert facets["total"] == {"value": 40, "exact": True}
    assert facets["brands"] == [
        {"name": "Lumo", "count": 20, "slug": "lumo"},
        {"name": "Nordby", "count": 20, "slug": "nordby"},
    ]
    assert facets["categories"] == [
        {"name": "Lighting", "count": 20, "path": "home/lighting"},
        {"name": "Desk", "count": 20, "path": "home/lighting/desk"},
    ]
    assert facets["price"]["min"]["amount_minor"] == 1000
    assert facets["price"]["max"]["amount_minor"] == 3500


def test_facets_of_nothing_are_empty(client: FlaskClient) -> None:
    assert client.get("/v1/facets?q=%25").get_json() == {
        "total": {"value": 0, "exact": True}, "brands": [], "categories": [], "price": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ins", [("product", "Insulated Bottle", "insulated-bottle")]),
        ("insulated%20bo", [("product", "Insulated Bottle", "insulated-bottle")]),
        ("bott", [("product", "Insulated Bottle", "insulated-bottle")]),
        ("bo", [("product", "Insulated Bottle", "insulated-bottle")]),
        ("cr%C3%A8me%20br", [("product", "Crème Brûlée Torch", "creme-brulee-torch")]),
        ("wre", [("brand", "Wren", "wren")]),
        ("cloth", [("category", "Clothing", "clothing")]),
        ("%E6%89%8B", [("category", "手机", "shou-ji")]),
        ("%25", []),
        ("%27", []),
    ],
)
def test_suggestions_go_on_from_what_was_typed(
    client: FlaskClient, typed: str, found: list[tuple[str, str, str]]
) -> None:
    items = client.get(f"/v1/suggestions?q={typed}").get_json()["items"]

    assert [(item["kind"], item["text"], item["key"]) for item in items] == found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/products/no-such-product", 404),
        ("/v1/products/%F0%9F%99%82", 404),
        ("/v1/products/" + "x" * 5000, 404),
        ("/v1/products/a%00b", 400),
        ("/v1/categories/no/such", 404),
        ("/v1/categories/home/", 404),
        ("/v1/categories/home?page=2", 400),
        ("/v1/products/plain-tee?x=1", 400),
        ("/v1/products?q=a%00b", 400),
        ("/v1/products?q=%FF", 400),
        ("/v1/products?q=" + "x" * 201, 400),
        ("/v1/products?q=" + "x" * 10_000, 400),
        ("/v1/products?page=2", 400),
        ("/v1/products?limit=0", 400),
        ("/v1/products?limit=101", 400),
        ("/v1/products?limit=ten", 400),
        ("/v1/products?sort=random", 400),
        ("/v1/products?price_min=-1", 400),
        ("/v1/products?price_min=9.99", 400),
        ("/v1/products?price_max=99999999999999999999999", 400),
        ("/v1/products?in_stock=maybe", 400),
        ("/v1/products?cursor=", 400),
        ("/v1/products?q=a&q=b", 400),
        ("/v1/products?category=", 400),
        ("/v1/suggestions", 400),
        ("/v1/suggestions?q=", 400),
        ("/v1/facets?sort=newest", 400),
        ("/v1/nothing", 404),
    ],
)
def test_bad_input_is_refused_with_a_problem(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    assert answer.get_json()["status"] == status


@pytest.mark.parametrize(
    "text",
    [
        "the", "a", "and or not", "-", "--", "'", '"', "''", '"open', "\\", "%", "_", "%%%%", "(", ")", "!(", "&|!",
        ":*", "<->", "a & b | !c", "*", "\t\n\r", "\x01\x02", "\u200b", "🙂", "手", "手机", "ﷺ", "x" * 200, "a " * 100,
        "'); drop", "${jndi}", "../..", "＼％", "ÀÉÎ", "\u0301", "-lamp", "lamp -brass", "lamp or", "1 2 3",
        "www.example.com/a?b=c",
    ],
)  # fmt: skip
@pytest.mark.parametrize("route", ["/v1/products", "/v1/facets", "/v1/suggestions"])
def test_no_text_of_a_shopper_is_query_language(client: FlaskClient, route: str, text: str) -> None:
    answer = client.get(route, query_string={"q": text[:100] if "suggestions" in route else text})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_here_can_be_changed(client: FlaskClient, method: str) -> None:
    answer = client.open("/v1/products", method=method)

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_a_search_that_has_to_wait_is_a_503_soon_and_the_next_one_answers(
    client: FlaskClient, catalogue_database: Address
) -> None:
    connection = catalogue_database.connect()
    try:
        connection.run("begin")
        connection.run("lock table search_products in access exclusive mode")
        began = time.monotonic()

        answer = client.get("/v1/products?q=lamp")

        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert time.monotonic() - began < 5
    finally:
        connection.run("rollback")
        connection.close()
    assert client.get("/v1/products?q=lamp").status_code == 200
