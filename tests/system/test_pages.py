"""A search engine's way through the running shop: from the sitemap to a product's page, by GET and by HEAD."""

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.system.cloud import Answer, Cloud

pytestmark = pytest.mark.slow


def named_in(answer: Answer) -> list[str]:
    assert (answer.status, answer.headers["content-type"]) == (200, "application/xml"), answer.raw.decode()
    return re.findall("<loc>(.*?)</loc>", answer.raw.decode())


def test_every_address_of_the_sitemap_is_a_page_of_the_shop(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 2, price_minor=1999)

    files = named_in(cloud.call("GET", "/sitemap.xml"))
    assert files == [f"{cloud.url}/products/sitemap-all.xml"]
    (address,) = [url for url in named_in(cloud.call("GET", urlsplit(files[0]).path)) if url.endswith(lamp.lower())]
    got = cloud.call("GET", urlsplit(address).path + "?utm_source=mail")
    head = cloud.call("HEAD", urlsplit(address).path)

    assert (got.status, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f'<link rel="canonical" href="{address}">' in got.raw.decode()
    (data,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', got.raw.decode())
    assert json.loads(data)["offers"] == [
        {
            "@type": "Offer",
            "url": address,
            "sku": lamp,
            "price": "19.99",
            "priceCurrency": "USD",
            "availability": "https://schema.org/InStock",
        }
    ]
    assert (head.status, head.raw, head.headers["content-length"]) == (200, b"", str(len(got.raw)))
    assert head.headers["etag"] == got.headers["etag"]
    again = cloud.call("GET", urlsplit(address).path, headers={"If-None-Match": got.headers["etag"]})
    assert (again.status, again.raw) == (304, b"")


def test_an_address_that_leads_nowhere_says_so_in_html(cloud: Cloud) -> None:
    answer = cloud.call("GET", "/products/%3Cscript%3Ealert(1)%3C/script%3E")

    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<script" not in answer.raw
