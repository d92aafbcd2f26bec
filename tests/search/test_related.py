"""Beside a product stands what staff show there, else what is popular in its category."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient
from pg8000.native import Connection

from local.database import Address
from shared.persistence.search_pages import POPULAR_LOOKED_AT, POPULAR_SHOWN
from shared.persistence.search_projection import SearchProjection
from tests.search.test_product_pages import open_page


@pytest.fixture
def owner(catalogue_database: Address, projection: SearchProjection) -> Iterator[Connection]:
    """The owner's connection; what a test relates or takes from sale is undone."""
    connection = catalogue_database.connect()
    yield connection
    connection.run("delete from related_products")
    back = connection.run("update products set published_at = created_at where published_at is null returning id")
    projection.project([row[0] for row in back])
    connection.close()


def relate(owner: Connection, slug: str, others: Sequence[str]) -> None:
    for position, other in enumerate(others):
        owner.run(
            "insert into related_products select p.id, :position, o.id from products p, products o"
            " where p.slug = :slug and o.slug = :other",
            position=position,
            slug=slug,
            other=other,
        )


def related(client: FlaskClient, slug: str) -> list[Any]:
    answer = client.get(f"/v1/products/{slug}")
    assert answer.status_code == 200
    items: list[Any] = answer.get_json()["related"]
    return items


def slugs(items: Sequence[Any]) -> list[str]:
    return [item["slug"] for item in items]


def test_what_staff_show_is_shown_in_their_order_and_what_is_in_stock_first(
    client: FlaskClient, owner: Connection
) -> None:
    relate(owner, "laptop-stand", ["creme-brulee-torch", "plain-tee", "insulated-bottle"])

    items = related(client, "laptop-stand")

    assert slugs(items) == ["plain-tee", "insulated-bottle", "creme-brulee-torch"]
    assert [item["in_stock"] for item in items] == [True, True, False]
    [listed] = client.get("/v1/products?q=plain+tee").get_json()["items"]
    assert items[0] == listed


def test_what_is_taken_from_sale_is_not_shown_and_comes_back_in_its_place(
    client: FlaskClient, owner: Connection, projection: SearchProjection
) -> None:
    relate(owner, "laptop-stand", ["plain-tee", "insulated-bottle"])
    [[tee]] = owner.run("update products set published_at = null where slug = 'plain-tee' returning id")
    projection.project([tee])
    without = slugs(related(client, "laptop-stand"))
    owner.run("update products set published_at = created_at where slug = 'plain-tee'")
    projection.project([tee])

    assert (without, slugs(related(client, "laptop-stand"))) == (
        ["insulated-bottle"],
        ["plain-tee", "insulated-bottle"],
    )


def popular_beside(owner: Connection, slug: str) -> list[str]:
    """The first few of its category by popularity, of which those in stock come first."""
    rows = owner.run(
        "select slug, in_stock from search_products where tier <= 4 and slug <> :slug and category_id ="
        " (select category_id from products where slug = :slug) order by place limit :most",
        slug=slug,
        most=POPULAR_LOOKED_AT,
    )
    return [row[0] for row in sorted(rows, key=lambda row: not row[1])][:POPULAR_SHOWN]


def test_where_staff_show_nothing_it_is_what_is_popular_in_the_category(client: FlaskClient, owner: Connection) -> None:
    [lamp] = client.get("/v1/products?q=LAMP-03&limit=1").get_json()["items"]

    items = related(client, lamp["slug"])

    assert (slugs(items), len(items)) == (popular_beside(owner, lamp["slug"]), POPULAR_SHOWN)
    assert {item["category"]["path"] for item in items} == {lamp["category"]["path"]} == {"home/lighting"}
    stock = [item["in_stock"] for item in items]
    assert stock == sorted(stock, reverse=True)
    assert lamp["slug"] not in slugs(items)


def test_where_nothing_that_staff_show_is_on_sale_it_is_what_is_popular(
    client: FlaskClient, owner: Connection, projection: SearchProjection
) -> None:
    [lamp] = client.get("/v1/products?q=LAMP-03&limit=1").get_json()["items"]
    relate(owner, lamp["slug"], ["plain-tee"])
    [[tee]] = owner.run("update products set published_at = null where slug = 'plain-tee' returning id")
    projection.project([tee])

    assert slugs(related(client, lamp["slug"])) == popular_beside(owner, lamp["slug"])


@pytest.mark.parametrize("slug", ["laptop-stand", "insulated-bottle"])
def test_what_is_alone_in_its_category_or_has_none_stands_alone(client: FlaskClient, slug: str) -> None:
    page = open_page(client, f"/products/{slug}")

    assert related(client, slug) == []
    assert page.find("section") == page.find("h2") == []


@pytest.fixture
def tagged(owner: Connection, projection: SearchProjection) -> Iterator[None]:
    """The bottle is called something that is HTML, and afterwards what other tests know it as."""

    def call_it(name: str) -> None:
        [[bottle]] = owner.run(
            "update products set name = :name, updated_at = updated_at + interval '1 second'"
            " where slug = 'insulated-bottle' returning id",
            name=name,
        )
        projection.project([bottle])

    [[before]] = owner.run("select name from products where slug = 'insulated-bottle'")
    call_it("<b>Bottle</b>")
    yield
    call_it(before)


@pytest.mark.usefixtures("tagged")
def test_the_page_links_to_what_it_shows(client: FlaskClient, owner: Connection) -> None:
    relate(owner, "laptop-stand", ["plain-tee", "insulated-bottle", "creme-brulee-torch"])

    page = open_page(client, "/products/laptop-stand")

    assert [link["href"] for link in page.find("a")] == [
        f"https://shop.example/products/{slug}" for slug in ("plain-tee", "insulated-bottle", "creme-brulee-torch")
    ]
    assert page.find("img", loading="lazy") == [
        {"src": "https://media.example/bucket/demo/tee.webp", "alt": "", "loading": "lazy"}
    ]
    assert page.texts["h2"] == "You may also like"
    assert "&lt;b&gt;Bottle&lt;/b&gt;" in page.raw
    assert "29.00 USD, sold out" in page.raw


def test_a_page_of_related_products_is_no_longer_fresh_when_they_change(client: FlaskClient, owner: Connection) -> None:
    ask: Callable[[], str] = lambda: str(client.get("/v1/products/laptop-stand").headers["ETag"])  # noqa: E731
    before = ask()
    relate(owner, "laptop-stand", ["plain-tee"])

    assert ask() != before
