"""Staff rename and move categories: all paths of a subtree at once, no circles, and search follows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from shared.kernel.errors import Invalid
from shared.persistence import categories as categories_sql
from shared.persistence.categories import Categories
from shared.persistence.search import CatalogueReader
from shared.search.listing import CategoryPage, MovedCategory
from tests.catalog.conftest import Office
from tests.orders.shop import at_once
from tests.support.conftest import problem_of


def tree(shelf: Office) -> dict[str, Any]:
    """The categories of this test by path, without its own mark."""
    own = shelf.own
    return {item["path"].replace(own, ""): item for item in listed(shelf, limit=100) if own in item["path"]}


def listed(shelf: Office, *, limit: int) -> list[Any]:
    """Every category, of other tests too, page after page."""
    items: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = shelf.desk.get(f"/v1/admin/categories?limit={limit}{cursor and f'&cursor={cursor}'}")
        items += page["items"]
        cursor = page["next_cursor"]
    return items


def grow(shelf: Office, *paths: str) -> None:
    """A product in each category; the names of the top carry this test's mark."""
    shelf.bring(
        *({"sku": f"P{n}", "name": f"P{n}", "price": 1, "category_path": path.replace("*", shelf.own)}
          for n, path in enumerate(paths))
    )  # fmt: skip


def patch(shelf: Office, category: Any, **body: Any) -> TestResponse:
    return shelf.desk.call("PATCH", f"/v1/admin/categories/{category['id']}", body)


def placed(shelf: Office, category: Any, **body: Any) -> Any:
    answer = patch(shelf, category, **body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def field_of(answer: TestResponse) -> tuple[str, str]:
    assert answer.status_code == 422, answer.get_data(as_text=True)
    [field] = answer.get_json()["errors"]
    return field["pointer"], field["detail"]


def test_a_subtree_moves_with_all_its_paths_and_search_follows(
    shelf: Office, search: Callable[[], CatalogueReader]
) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps > Desk", "Home* > Lamps", "Home*", "Office* > Chairs")
    desk = shelf.find("P0")

    moved = placed(shelf, tree(shelf)["home/lamps"], parent=f"office{own}")

    assert moved == {
        "id": moved["id"], "path": f"office{own}/lamps", "name": "Lamps", "parent": f"office{own}", "position": 0,
        "products": 1,
    }  # fmt: skip
    assert list(tree(shelf)) == ["home", "office", "office/chairs", "office/lamps", "office/lamps/desk"]
    reader = search()
    copies = shelf.ask(
        "select s.category_path, s.words @@ plainto_tsquery('public.shop', :home::text) as home,"
        " s.words @@ plainto_tsquery('public.shop', :office::text) as office, s.words @@ :within::tsquery as within"
        " from search_products s join products p on p.id = s.product_id"
        " where p.group_key = any(:keys::text[]) order by p.group_key",
        keys=[shelf.sku(f"P{n}") for n in range(3)],
        home=f"Home{own}",
        office=f"Office{own}",
        within=f"'c:office{own}'",
    )
    assert [tuple(copy.values()) for copy in copies] == [
        (f"office{own}/lamps/desk", False, True, True),
        (f"office{own}/lamps", False, True, True),
        (f"home{own}", True, False, False),
    ]
    page = reader.get_category(f"office{own}/lamps/desk")
    assert isinstance(page, CategoryPage)
    assert [crumb.path for crumb in page.breadcrumbs] == [
        f"office{own}", f"office{own}/lamps", f"office{own}/lamps/desk",
    ]  # fmt: skip
    assert reader.get_category(f"home{own}/lamps") == MovedCategory(f"office{own}/lamps")
    assert reader.get_category(f"home{own}/lamps/desk") == MovedCategory(f"office{own}/lamps/desk")
    assert (shelf.told(desk), shelf.told(shelf.find("P2")), shelf.find("P0")["version"]) == (2, 1, 2)
    [entry] = shelf.ask("select actor, action, detail from audit_log where subject = :subject::text",
                        subject=f"category:{moved['id']}")  # fmt: skip
    assert entry == {
        "actor": shelf.desk.actor,
        "action": "category.changed",
        "detail": {"path": {"was": f"home{own}/lamps", "now": f"office{own}/lamps"}, "products": 2},
    }


def test_a_category_that_goes_back_has_its_old_path_again(shelf: Office, search: Callable[[], CatalogueReader]) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps", "Office*")
    placed(shelf, tree(shelf)["home/lamps"], parent=f"office{own}")

    placed(shelf, tree(shelf)["office/lamps"], parent=f"home{own}")

    reader = search()
    assert isinstance(reader.get_category(f"home{own}/lamps"), CategoryPage)
    assert reader.get_category(f"office{own}/lamps") == MovedCategory(f"home{own}/lamps")
    assert shelf.ask("select path from category_history where path like :path::text", path=f"%{own}%") == [
        {"path": f"office{own}/lamps"}
    ]


def test_a_new_name_is_a_new_slug_and_the_words_of_its_products(
    shelf: Office, search: Callable[[], CatalogueReader]
) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps > Desk")

    renamed = placed(shelf, tree(shelf)["home/lamps"], name=" Lights  & Candles ")

    assert (renamed["path"], renamed["name"]) == (f"home{own}/lights-candles", "Lights & Candles")
    assert list(tree(shelf)) == ["home", "home/lights-candles", "home/lights-candles/desk"]
    search()
    [copy] = shelf.ask("select s.words @@ 'candl'::tsquery as candles, s.words @@ 'lamp'::tsquery as lamps"
                       " from search_products s join products p on p.id = s.product_id where p.group_key = :key::text",
                       key=shelf.sku("P0"))  # fmt: skip
    assert copy == {"candles": True, "lamps": False}
    assert shelf.find("P0")["category"] == {"path": f"home{own}/lights-candles/desk", "name": "Desk"}


def test_an_import_finds_a_category_where_it_is_now(shelf: Office) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps", "Office*")
    placed(shelf, tree(shelf)["home/lamps"], parent=f"office{own}")

    shelf.bring({"sku": "P0", "category_path": f"Office{own} > LAMPS"})

    assert (list(tree(shelf)), shelf.find("P0")["version"]) == (["home", "office", "office/lamps"], 2)


def test_a_path_that_is_taken_is_numbered_and_a_name_beside_it_is_refused(shelf: Office) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps", "Office* > Lamps!", "Attic* > lamps")
    before = tree(shelf)

    moved = placed(shelf, before["home/lamps"], parent=f"office{own}")
    refused = patch(shelf, before["attic/lamps"], parent=f"office{own}")

    assert moved["path"] == f"office{own}/lamps-2"
    assert (problem_of(refused), refused.get_json()["path"]) == ((409, "category-taken"), f"office{own}/lamps-2")
    assert tree(shelf)["attic/lamps"] == before["attic/lamps"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"parent": "home*/lamps/desk"}, ("/parent", "is the category itself, or below it")),
        ({"parent": "home*/lamps"}, ("/parent", "is the category itself, or below it")),
        ({"parent": "home*/none"}, ("/parent", "is no category of this shop")),
        ({"parent": "a*/b/c/d/e/f/g"}, ("/parent", "would make the tree more than 8 levels deep")),
        ({"name": "Lamps > Desk"}, ("/name", "must be a name, without >")),
        ({"name": " \u2003 "}, ("/name", "must be a name, without >")),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    shelf: Office, body: dict[str, str], field: tuple[str, str]
) -> None:
    grow(shelf, "Home* > Lamps > Desk", "Home* > Lampshades", "A* > B > C > D > E > F > G")
    before = tree(shelf)

    answer = patch(shelf, before["home/lamps"], **{name: text.replace("*", shelf.own) for name, text in body.items()})

    assert field_of(answer) == field
    assert tree(shelf) == before
    moved = placed(shelf, before["home/lamps"], parent=f"home{shelf.own}/lampshades")
    assert moved["path"] == f"home{shelf.own}/lampshades/lamps", "a path that begins alike is not below it"


def test_two_that_move_into_each_other_at_once_make_no_circle(shelf: Office) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps", "Office* > Chairs")
    before = tree(shelf)
    categories = Categories(shelf.desk.shop.database, shelf.desk.shop.clock)

    def move(path: str, parent: str) -> Callable[[], object]:
        return lambda: categories.place(
            UUID(before[path]["id"]), lambda was: replace(was, parent_path=parent), actor="staff:test"
        )

    moved, refused = at_once([move("home", f"office{own}/chairs"), move("office", f"home{own}/lamps")])

    assert (len(moved), [type(refusal) for refusal in refused]) == (1, [Invalid])
    assert list(tree(shelf)) in (
        ["office", "office/chairs", "office/chairs/home", "office/chairs/home/lamps"],
        ["home", "home/lamps", "home/lamps/office", "home/lamps/office/chairs"],
    )


def test_a_position_moves_nothing_and_tells_nobody(shelf: Office) -> None:
    grow(shelf, "Home* > Lamps")
    before = tree(shelf)["home/lamps"]

    after = placed(shelf, before, position=7)
    again = placed(shelf, before, position=7, name="Lamps")

    assert after == again == before | {"position": 7}
    assert (shelf.told(shelf.find("P0")), shelf.find("P0")["version"]) == (1, 1)
    [entry] = shelf.ask(
        "select detail from audit_log where subject = :subject::text", subject=f"category:{before['id']}"
    )
    assert entry["detail"] == {"position": {"was": before["position"], "now": 7}, "products": 0}


def test_what_is_too_large_for_one_transaction_is_moved_in_parts(
    shelf: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shelf.own
    grow(shelf, "Home* > Lamps", "Home* > Lamps > Desk", "Office*")
    monkeypatch.setattr(categories_sql, "MOST_PRODUCTS", 1)
    before = tree(shelf)

    refused = patch(shelf, before["home/lamps"], parent=f"office{own}")

    assert (problem_of(refused), refused.get_json()["most"]) == ((409, "category-too-large"), 1)
    assert tree(shelf) == before
    assert placed(shelf, before["home/lamps/desk"], parent=f"office{own}")["path"] == f"office{own}/desk"


def test_a_large_subtree_is_told_in_batches(shelf: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(shelf, *["Home* > Lamps"] * 5)
    monkeypatch.setattr(categories_sql, "_BATCH", 2)

    placed(shelf, tree(shelf)["home/lamps"], name="Lights")

    assert [shelf.told(shelf.find(f"P{n}")) for n in range(5)] == [2] * 5
    assert {shelf.find(f"P{n}")["version"] for n in range(5)} == {2}


def test_staff_need_the_permission_and_a_category(shelf: Office) -> None:
    grow(shelf, "Home*")
    home = tree(shelf)["home"]

    def asked(category_id: str, *permissions: str) -> tuple[int, str]:
        path = f"/v1/admin/categories/{category_id}"
        return problem_of(shelf.desk.call("PATCH", path, {"name": "X"}, permissions=permissions))

    assert asked(home["id"], "products:read")[0] == 403
    assert asked(str(uuid4()), "products:write") == (404, "unknown-category")
    assert problem_of(shelf.desk.call("GET", "/v1/admin/categories", permissions=("stock:read",)))[0] == 403


def test_a_list_goes_on_behind_the_longest_path(shelf: Office) -> None:
    names = [f"{level} {'x' * 77}" for level in range(1, 9)]
    grow(shelf, " > ".join(["Deep*", *names[1:]]))

    paths = [item["path"] for item in listed(shelf, limit=1) if shelf.own in item["path"]]

    assert [len(path) for path in paths] == [12 + 80 * level for level in range(8)]
