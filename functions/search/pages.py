"""What lies at the shop's own addresses: products as pages for people, previews and search engines, and sitemaps.

Rendering is imported by whoever asks for a page: no answer of search waits for it.
"""

from typing import Any

from functions.search.wiring import catalogue, parts, platform
from shared.edge.caching import cacheable
from shared.edge.calls import Call, Reply
from shared.edge.routing import Routes
from shared.search.listing import Moved, ProductNotFound, SitemapNotFound

HTML = "text/html; charset=utf-8"
XML = "application/xml"
# Longer than an answer of the API: who looks again after a minute comes from a result or a preview that is older.
PAGE_FOR_S = 60
# They come by to see what is new, not what is there this minute.
SITEMAP_FOR_S = 3600

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
        found = catalogue().get_product(call.path["slug"], now=call.at)
    except ProductNotFound:
        return Reply(404, render_no_such_product(public_url=public_url), headers)
    if isinstance(found, Moved):
        return Reply(301, None, {"Location": f"/products/{found.slug}", "Cache-Control": "public, max-age=60"})
    page = render_product(found, public_url=public_url, media_url=media_url)
    return cacheable(call, page, max_age_s=PAGE_FOR_S, headers=headers)


@routes.get("/sitemap.xml", answers={200: None, 304: None}, media=[XML], errors=[SitemapNotFound])
def show_sitemap_index(call: Call[Any]) -> Reply:
    """The names of all sitemaps, for search engines (sitemaps.org)."""
    from shared.persistence.sitemaps import ProductsOfSitemaps
    from shared.search.sitemaps import write_index

    index = write_index(ProductsOfSitemaps(parts.database(), now=call.at), public_url=platform().public_url)
    return cacheable(call, index, max_age_s=SITEMAP_FOR_S, headers={"Content-Type": XML})


# No slug has a point in it: this is no product's page.
@routes.get("/products/sitemap-<part>.xml", answers={200: None, 304: None}, media=[XML], errors=[SitemapNotFound])
def show_sitemap(call: Call[Any]) -> Reply:
    """One sitemap: the pages of products on sale, and when what they say was changed."""
    from shared.persistence.sitemaps import ProductsOfSitemaps
    from shared.search.sitemaps import write_file

    products = ProductsOfSitemaps(parts.database(), now=call.at)
    file = write_file(call.path["part"], products, public_url=platform().public_url)
    return cacheable(call, file, max_age_s=SITEMAP_FOR_S, headers={"Content-Type": XML})
