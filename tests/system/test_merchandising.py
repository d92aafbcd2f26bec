"""What searches find, from the back office to the shopper, over HTTP."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.system.cloud import Cloud

PROBLEMS = "https://vitrine.example/problems/"


def make_products(cloud: Cloud) -> list[str]:
    """Two that search knows; their slugs."""
    skus = [cloud.make_stock("LAMP", 3), cloud.make_stock("TORCH", 3)]
    cloud.settle(timeout_s=60)
    return [found(cloud, sku)[0] for sku in skus]


def found(cloud: Cloud, text: str) -> list[str]:
    items: list[dict[str, Any]] = cloud.patiently("GET", f"/v1/products?q={text}&limit=100").json["items"]
    return [item["slug"] for item in items]


def test_staff_pin_and_bury_and_the_next_search_knows(cloud: Cloud) -> None:
    word, key, staff = f"zq{uuid4().hex[:8]}", str(uuid4()), cloud.staff()
    products = make_products(cloud)
    body = {"query": word.upper(), "pinned": products}

    made = cloud.call("POST", "/v1/admin/search-rules", body, key=key, headers=staff)
    again = cloud.call("POST", "/v1/admin/search-rules", body, key=key, headers=staff)
    pinned = found(cloud, word)
    path = f"/v1/admin/search-rules/{made.json['id']}"
    twice = cloud.call("POST", "/v1/admin/search-rules", body, headers=staff)
    stale = cloud.call("PATCH", path, {"pinned": []}, headers=staff | {"If-Match": '"7"'})
    bad = cloud.call("PATCH", path, {"pinned": [products[0], "no-such-product"]}, headers=staff)
    changed = cloud.call("PATCH", path, {"pinned": products[1:]}, headers=staff | {"If-Match": '"1"'})
    after = found(cloud, word)
    listed = cloud.call("GET", "/v1/admin/search-rules?limit=1", headers=staff)
    gone = cloud.call("DELETE", path, headers=staff)

    assert (made.status, again.status, again.raw) == (201, 201, made.raw)
    assert (made.json["query"], [each["slug"] for each in made.json["pinned"]]) == (word, products)
    assert (pinned, after, found(cloud, word)) == (products, products[1:], [])
    assert (twice.status, twice.json["type"], twice.json["query"]) == (409, f"{PROBLEMS}rule-taken", word)
    assert (stale.status, bad.status, [each["pointer"] for each in bad.json["errors"]]) == (412, 422, ["/pinned/1"])
    assert (changed.status, changed.json["version"], changed.headers["etag"]) == (200, 2, '"2"')
    assert [item["id"] for item in listed.json["items"]] == [made.json["id"]]
    assert (gone.status, cloud.call("GET", path, headers=staff).status) == (204, 404)
    log = cloud.call("GET", f"/v1/admin/audit-log?subject=search-rule:{made.json['id']}", headers=staff)
    assert [entry["action"] for entry in log.json["items"]] == [
        "search_rule.deleted",
        "search_rule.changed",
        "search_rule.created",
    ]


def test_a_product_is_found_and_sold_from_its_moment_on(cloud: Cloud) -> None:
    sku, staff = cloud.make_stock("LAMP", 3), cloud.staff()
    cloud.settle(timeout_s=60)
    slug, cart = found(cloud, sku)[0], cloud.make_cart({})
    line = f"/v1/carts/{cart['id']}/lines/{sku}"
    [product] = cloud.call("GET", f"/v1/admin/products?sku={sku}", headers=staff).json["items"]
    path = f"/v1/admin/products/{product['id']}"
    now = cloud.call("PATCH", path, {"description": "Brass."}, headers=staff).json["updated_at"]
    due = datetime.fromisoformat(now) + timedelta(minutes=10)

    planned = cloud.call("PATCH", path, {"published_at": due.isoformat()}, headers=staff)
    cloud.settle(timeout_s=60)
    before = [cloud.patiently("GET", f"{place}/products/{slug}").status for place in ("/v1", "")]
    before += [slug in found(cloud, sku), cloud.patiently("PUT", line, {"quantity": 1}).status]
    cloud.advance(11 * 60)
    after = [cloud.patiently("GET", f"{place}/products/{slug}").status for place in ("/v1", "")]
    after += [slug in found(cloud, sku), cloud.patiently("PUT", line, {"quantity": 1}).status]

    assert planned.status == 200
    assert (before, after) == ([404, 404, False, 404], [200, 200, True, 200])


def test_staff_name_synonyms_and_nobody_else_does(cloud: Cloud) -> None:
    word = f"zq{uuid4().hex[:8]}"
    lamp, _ = make_products(cloud)
    body = {"term": word, "synonyms": [lamp], "one_way": True}
    session = cloud.call("POST", "/_local/staff-session", {"permissions": ["search:read"]}).json
    reader = {"Authorization": f"Bearer {session['token']}"}

    refused = cloud.call("POST", "/v1/admin/synonyms", body, headers=reader)
    anonymous = cloud.call("GET", "/v1/admin/synonyms")
    made = cloud.call("POST", "/v1/admin/synonyms", body, headers=cloud.staff())
    path = f"/v1/admin/synonyms/{made.json['id']}"
    widened = found(cloud, word)
    taken = cloud.call("POST", "/v1/admin/synonyms", body, headers=cloud.staff())
    changed = cloud.call("PATCH", path, {"synonyms": [f"{word}x"]}, headers=cloud.staff())
    read = cloud.call("GET", path, headers=reader)
    gone = cloud.call("DELETE", path, headers=cloud.staff())

    assert (refused.status, anonymous.status, made.status) == (403, 401, 201)
    assert widened == [lamp]
    assert (taken.status, taken.json["type"], taken.json["words"]) == (409, f"{PROBLEMS}synonym-taken", [word])
    assert (changed.status, read.json["synonyms"], read.json["version"]) == (200, [f"{word}x"], 2)
    assert (gone.status, found(cloud, word)) == (204, [])
