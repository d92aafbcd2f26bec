"""The tree of categories, as staff keep it."""

from functions.inventory.wiring import parts
from shared.catalog.tree import CategoryTaken, CategoryTooLarge, UnknownCategory
from shared.edge.calls import Call, Reply
from shared.edge.category_views import (
    CategoriesQuery,
    CategoryChangeBody,
    KeptCategoriesPage,
    KeptCategoryView,
    kept_category_view,
)
from shared.edge.paging import cursor_after, read_cursor
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.persistence.categories import Categories

routes = Routes()


@first_use
def categories() -> Categories:
    return Categories(parts.database(), parts.clock)


@routes.get(
    "/v1/admin/categories", query=CategoriesQuery, answers={200: KeptCategoriesPage}, permission="products:read"
)
def list_categories(call: Call[None]) -> Reply:
    """Every category, by path."""
    found = read_cursor(call, 1)
    listed = categories().list_categories(after=found[0] if found else "", limit=call.query.limit)
    cursor = cursor_after(call, listed, lambda category: (category.path,))
    items = [kept_category_view(category) for category in listed]
    return Reply(200, KeptCategoriesPage(items=items, next_cursor=cursor))


@routes.patch(
    "/v1/admin/categories/<uuid:category_id>",
    body=CategoryChangeBody,
    answers={200: KeptCategoryView},
    errors=[UnknownCategory, CategoryTaken, CategoryTooLarge, Invalid],
    permission="products:write",
)
def change_category(call: Call[CategoryChangeBody]) -> Reply:
    """Rename a category, or move it with all that is below it; its old paths lead to the new ones."""
    category = categories().place(call.uuid("category_id"), call.body.placed, actor=call.actor)
    return Reply(200, kept_category_view(category))
