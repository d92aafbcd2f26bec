"""What lies at the shop's own addresses: products as pages for people, previews and search engines.

Rendering is imported by whoever asks for a page: no answer of search waits for it.
"""

from typing import Any

from functions.search.wiring import catalogue, platform
from shared.edge.caching import cacheable
from shared.edge.calls import Call, Reply
from shared.edge.routing import Routes
from shared.search.listing import Moved, ProductNotFound

HTML = "text/html; charset=utf-8"
# Longer than an answer of the API: who looks again after a minute comes from a result or a preview that is older.
PAGE_FOR_S = 60

routes = Routes()


@routes.get(
    "/products/<path:slug>",
    any_query=True,
    answers={200: None, 301: None, 304: None, 404: None},
    media=["text/html"],
)
def show_product_page(call: Call[Any]) -> Reply:
    """A product as a page of HTML, with what link previews and search engines read; an old address leads to the new."""
    from shared.search.product_page import content_security_policy, render_no_such_product, render_product

    headers = {"Content-Type": HTML, "Content-Security-Policy": content_security_policy()}
    public_url, media_url = platform().public_url, platform().media_url
    try:
        found = catalogue().get_product(call.path["slug"])
    except ProductNotFound:
        return Reply(404, render_no_such_product(public_url=public_url), headers)
    if isinstance(found, Moved):
        return Reply(301, None, {"Location": f"/products/{found.slug}", "Cache-Control": "public, max-age=60"})
    page = render_product(found, public_url=public_url, media_url=media_url)
    return cacheable(call, page, max_age_s=PAGE_FOR_S, headers=headers)
