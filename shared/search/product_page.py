"""A product's page of HTML: people read it, link previews show its head, search engines its JSON-LD.

It stands alone: no script runs, only pictures are fetched, and all that a feed said is escaped.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.kernel.first_use import first_use
from shared.kernel.money import Money
from shared.kernel.texts import one_line
from shared.search.links import picture_url, product_url
from shared.search.listing import ListedProduct, OfferedVariant, ProductPage

_TEMPLATES = Path(__file__).parent / "templates"
# As much as a result or a preview shows; Google takes 5,000 characters of a description in JSON-LD
# (developers.google.com/search/docs/appearance/structured-data/merchant-listing).
_TITLE, _SUMMARY, _DESCRIPTION = 120, 200, 5000
_PICTURES = 20


@first_use
def _style() -> str:
    return (_TEMPLATES / "page.css").read_text()


@first_use
def content_security_policy() -> str:
    """The page may have its own style, known by its digest, and pictures from where the feed says."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src 'self' http: https:; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


@first_use
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_product(page: ProductPage, *, public_url: str, media_url: str) -> bytes:
    """The same bytes for the same product."""
    listed = page.listed
    url = product_url(public_url, listed.slug)
    price = Money(listed.price_minor, listed.currency)
    name = one_line(listed.name)
    description = "\n".join(one_line(line) for line in page.description.split("\n")).strip()
    pictures = [_absolute(picture_url(image, media_url), public_url) for image in page.images[:_PICTURES]]
    return _render(
        "product.html",
        url=url,
        name=name,
        title=_shortened(name, _TITLE),
        summary=_shortened(one_line(page.description), _SUMMARY) or _shortened(name, _SUMMARY),
        description=description,
        brand=one_line(listed.brand or ""),
        price=price,
        amount=_amount(price),
        in_stock=listed.in_stock,
        pictures=pictures,
        breadcrumbs=[one_line(crumb.name) for crumb in page.breadcrumbs],
        variants=[_variant(variant) for variant in page.variants],
        attributes=_shown(page.attributes),
        related=[_related(each, public_url, media_url) for each in page.related],
        data=_structured_data(page, url=url, name=name, description=description, pictures=pictures),
    )


def render_no_such_product(*, public_url: str) -> bytes:
    return _render("no_such_product.html", shop_url=f"{public_url}/")


def _render(template: str, **values: Any) -> bytes:
    return _environment().get_template(template).render(style=_style(), **values).encode()


def _structured_data(
    page: ProductPage, *, url: str, name: str, description: str, pictures: list[str]
) -> dict[str, Any]:
    """schema.org Product, an Offer for each variant that is sold; without a variant nothing is offered."""
    listed = page.listed
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": name,
        "url": url,
        "description": description[:_DESCRIPTION],
        "image": pictures,
        "sku": listed.sku,
        "brand": {"@type": "Brand", "name": one_line(listed.brand)} if listed.brand else None,
        "category": " > ".join(one_line(crumb.name) for crumb in page.breadcrumbs),
        "offers": [_offer(variant, url) for variant in page.variants],
    }
    return {key: value for key, value in data.items() if value}


def _offer(variant: OfferedVariant, url: str) -> dict[str, str]:
    return {
        "@type": "Offer",
        "url": url,
        "sku": variant.sku,
        "price": _amount(Money(variant.price_minor, variant.currency)),
        "priceCurrency": variant.currency,
        "availability": f"https://schema.org/{'InStock' if variant.in_stock else 'OutOfStock'}",
    }


def _variant(variant: OfferedVariant) -> dict[str, Any]:
    return {
        "sku": variant.sku,
        "options": ", ".join(f"{one_line(name)} {one_line(value)}" for name, value in variant.options.items()),
        "price": Money(variant.price_minor, variant.currency),
        "in_stock": variant.in_stock,
    }


def _related(product: ListedProduct, public_url: str, media_url: str) -> dict[str, Any]:
    picture = picture_url(product.image_url, media_url) if product.image_url else ""
    return {
        "url": product_url(public_url, product.slug),
        "name": one_line(product.name),
        "price": Money(product.price_minor, product.currency),
        "in_stock": product.in_stock,
        "picture": _absolute(picture, public_url) if picture else "",
    }


def _amount(price: Money) -> str:
    """Major units, a point before as many decimals as the currency has (schema.org, price): 1234.50, for JPY 1234."""
    return f"{price.major():f}"


def _absolute(picture: str, public_url: str) -> str:
    """A preview is shown elsewhere, where a path alone leads nowhere."""
    if picture.startswith(("http://", "https://")):
        return picture
    return f"https:{picture}" if picture.startswith("//") else f"{public_url}/{picture.lstrip('/')}"


def _shown(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is a text or a number, by name; lists and objects are for programs."""
    return [
        (one_line(name), one_line(str(value)))
        for name, value in sorted(attributes.items())
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip()
    ]


def _shortened(text: str, length: int) -> str:
    """At most so many characters, cut between words where there is a space to cut at."""
    if len(text) <= length:
        return text
    kept = text[: length - 1]
    return f"{kept.rpartition(' ')[0] or kept}…"
