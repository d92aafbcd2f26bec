"""Lists of products: what is found, in which order, page by page."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from local.database import Address
from shared.persistence.search_finding import counted_total
from shared.persistence.search_projection import SearchProjection
from shared.search.listing import Total
from shared.search.projecting import follow_stock


def items(client: FlaskClient, query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/products?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["items"]
    return found


def skus(client: FlaskClient, query: str) -> list[str]:
    return [item["sku"] for item in items(client, query)]


def all_pages(client: FlaskClient, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(200):
        page = client.get(f"/v1/products?{query}{cursor}").get_json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("sort", ["relevance", "price_asc", "price_desc", "newest", "popularity"])
@pytest.mark.parametrize("query", ["", "q=lamp", "category=home", "q=lamp&in_stock=true", "q=mp-"])
@pytest.mark.parametrize("limit", [3, 50])
def test_every_sort_pages_to_the_end_without_a_gap_or_a_repeat(
    client: FlaskClient, query: str, sort: str, limit: int
) -> None:
    whole = client.get(f"/v1/products?{query}&sort={sort}&limit=100").get_json()

    found = all_pages(client, f"{query}&sort={sort}&limit={limit}")

    assert [item["slug"] for item in found] == [item["slug"] for item in whole["items"]]
    assert len({item["slug"] for item in found}) == len(found) == whole["total"]["value"]


def test_prices_sort_both_ways(client: FlaskClient) -> None:
    up = [item["price"]["amount_minor"] for item in items(client, "q=lamp&sort=price_asc&limit=100")]
    down = [item["price"]["amount_minor"] for item in items(client, "q=lamp&sort=price_desc&limit=100")]

    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert len(up) == len(down) == 60


def test_what_is_popular_comes_first_without_a_text(client: FlaskClient) -> None:
    assert skus(client, "category=home/lighting&limit=100") == skus(
        client, "category=home/lighting&limit=100&sort=popularity"
    )
    assert skus(client, "brand=halden&limit=1")[0].startswith("LAMP-")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=KT-INS114", ["KT-INS114-DRE"]),
        ("q=kt-ins114-dre", ["KT-INS114-DRE"]),
        ("q=INS114", ["KT-INS114-DRE"]),
        ("q=ns114", ["KT-INS114-DRE"]),
        ("q=pct", ["PCT"]),
        ("q=lamp-07", ["LAMP-07"]),
        ("q=bottles", ["KT-INS114-DRE"]),
        ("q=insulated%20bot", ["KT-INS114-DRE"]),
        ("q=kestrel", ["KT-INS114-DRE"]),
        ("q=creme%20brulee", ["CAFE-1"]),
        ("q=BR%C3%9BL%C3%89E", ["CAFE-1"]),
        ("q=caramel", ["CAFE-1"]),
        ("q=kitchen", ["CAFE-1"]),
        ("q=%E6%89%8B%E6%9C%BA", ["ZH-1"]),
        ("q=%E7%BA%A2%E8%89%B2", ["ZH-1"]),
        ("q=100%25", ["PCT"]),
        ("q=cotton_t", ["PCT"]),
        ("q=no-such-thing", []),
        ("q=%25", []),
        ("q=_", []),
        ("q=%27%22%5C", []),
        ("q=lamp&category=office", []),
        ("category=no/such", []),
        ("brand=no-such", []),
        ("category=office", ["LAPTOP-1"]),
        ("brand=northloop", ["LAPTOP-1"]),
        ("price_min=9900&price_max=9900", ["ZH-1"]),
        ("q=stand&price_max=4900&in_stock=true&category=office&brand=northloop", ["LAPTOP-1"]),
        ("q=stand&price_max=4899", []),
        ("q=plain", ["TEE-M"]),
        ("q=tee-l", ["TEE-M"]),
        ("q=kestral", ["KT-INS114-DRE"]),
        ("q=insulatd%20botle", ["KT-INS114-DRE"]),
        ("q=kestral&correct=false", []),
        ("q=%E6%89%8B", ["ZH-1"]),
        ("q=%E5%B0%8F%E7%B1%B3%20%E7%BA%A2", ["ZH-1"]),
        ("q=%E6%9C%BA%E5%B0%8F", []),
        ("q=unheard%20kestrel", ["KT-INS114-DRE"]),
        ("q=the&category=office", []),
        ("q=null", []),
        ("q=Null%20kestrel", ["KT-INS114-DRE"]),
    ],
)
def test_a_search_finds_what_it_names(client: FlaskClient, query: str, found: list[str]) -> None:
    assert skus(client, query) == found


def test_a_category_includes_what_lies_below_it(client: FlaskClient) -> None:
    def total(path: str) -> int:
        value: int = client.get(f"/v1/products?category={path}").get_json()["total"]["value"]
        return value

    assert (total("home"), total("home/lighting"), total("home/lighting/desk")) == (61, 40, 20)


def test_an_item_says_what_a_list_shows(client: FlaskClient) -> None:
    assert items(client, "q=plain+tee") == [
        {
            "slug": "plain-tee",
            "sku": "TEE-M",
            "name": "Plain Tee",
            "brand": "Wren",
            "brand_slug": "wren",
            "category": {"path": "clothing/tops", "name": "Tops"},
            "price": {"amount_minor": 1700, "currency": "USD", "display": "17.00 USD"},
            "in_stock": True,
            "image_url": "https://media.example/bucket/demo/tee.webp",
        }
    ]


def test_what_is_held_is_not_in_stock(
    client: FlaskClient, catalogue_database: Address, projection: SearchProjection
) -> None:
    """S13"""
    connection = catalogue_database.connect()
    try:
        connection.run("update stock_levels set held = on_hand where sku = 'LAPTOP-1'")
        assert follow_stock(["LAPTOP-1"], projection=projection) == 1

        assert skus(client, "q=stand&in_stock=true") == []
        assert [item["in_stock"] for item in items(client, "q=stand")] == [False]

        connection.run("update stock_levels set held = on_hand - 1 where sku = 'LAPTOP-1'")
        assert follow_stock(["LAPTOP-1"], projection=projection) == 1

        assert skus(client, "q=stand&in_stock=true") == ["LAPTOP-1"]
    finally:
        connection.run("update stock_levels set held = 0 where sku = 'LAPTOP-1'")
        follow_stock(["LAPTOP-1"], projection=projection)
        connection.close()


def test_a_sold_out_product_shows_its_cheapest_variant(
    client: FlaskClient, catalogue_database: Address, projection: SearchProjection
) -> None:
    connection = catalogue_database.connect()
    try:
        connection.run("update stock_levels set held = on_hand where sku in ('TEE-M', 'TEE-L')")
        assert follow_stock(["TEE-M", "TEE-L"], projection=projection) == 1

        assert [(item["sku"], item["in_stock"]) for item in items(client, "q=plain")] == [("TEE-S", False)]
    finally:
        connection.run("update stock_levels set held = 0 where sku in ('TEE-M', 'TEE-L')")
        follow_stock(["TEE-M", "TEE-L"], projection=projection)
        connection.close()


def test_a_total_beyond_a_thousand_says_that_it_is_not_exact() -> None:
    assert counted_total(1000) == Total(1000, exact=True)
    assert counted_total(1001) == Total(1000, exact=False)


def test_a_misspelt_word_is_spelt_as_the_catalogue_spells_it_and_the_page_says_so(client: FlaskClient) -> None:
    page = client.get("/v1/products?q=coper%20lamp&limit=3&sort=relevance").get_json()
    following = client.get(
        f"/v1/products?q=coper%20lamp&limit=100&sort=relevance&cursor={page['next_cursor']}"
    ).get_json()

    assert page["corrected_query"] == following["corrected_query"] == "copper lamp"
    assert {item["name"] for item in page["items"] + following["items"]} == {"Copper Lamp"}
    assert len(page["items"] + following["items"]) == page["total"]["value"] == 30
    assert client.get("/v1/products?q=copper%20lamp").get_json()["corrected_query"] is None


def test_a_sku_goes_before_whatever_has_its_words(client: FlaskClient) -> None:
    assert skus(client, "q=LAMP-07&limit=1") == ["LAMP-07"]
    assert sorted(skus(client, "q=lamp-1&limit=10")) == [f"LAMP-{number}" for number in range(10, 20)]
