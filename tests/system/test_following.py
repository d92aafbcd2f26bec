"""What shoppers find follows what staff change, over HTTP: by its event, and all of it however much is changed."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.following import Staff, by_events, follow, look, lose, shoppers
from local.database import read_url
from local.demo.shop import Shop
from tests.numbers import CHANGES_IN_SEARCH
from tests.system.cloud import Cloud

PRODUCTS = 40
# A test fails after so long; what is right is seen within a second.
WITHIN_S = 45

# What a copy says that is not so, whatever it says of.
_COPIES_THAT_DIFFER = """
select s.sku, s.price_minor, s.offer_minor, s.in_stock, s.brand_name, o.*
from products p
join search_products s on s.product_id = p.id
left join brands b on b.id = p.brand_id
cross join lateral (
    select v.sku as cheapest, v.price_minor as price, l.on_hand > l.held as is_there
    from variants v join stock_levels l on l.sku = v.sku and l.location = 'main' where v.product_id = p.id
    order by 3 desc, v.price_minor limit 1) o
where p.name like :word::text || '%'
    and (s.sku, s.price_minor, s.offer_minor, s.in_stock, s.source_updated_at, s.name, s.brand_name)
        is distinct from (o.cheapest, p.price_minor, o.price, o.is_there, p.updated_at, p.name, b.name)
"""


@pytest.fixture
def unswept(cloud: Cloud) -> Iterator[Cloud]:
    """The next sweep finds nothing that was missed: what search learns meanwhile it learns by an event."""
    [[since, seen]] = cloud.sql("select products_since::text, movements_seen from search_sweep")
    cloud.sql("update search_sweep set products_since = '2200-01-01', movements_seen = 4611686018427387904")
    yield cloud
    cloud.sql(
        "update search_sweep set products_since = :since::timestamptz, movements_seen = :seen", since=since, seen=seen
    )


def test_a_price_and_a_stock_that_staff_change_are_in_the_list_once_their_events_have_come(
    cloud: Cloud, unswept: Cloud
) -> None:
    sku, staff = unswept.make_stock("LAMP", 3), unswept.staff()
    [product] = unswept.call("GET", f"/v1/admin/products?sku={sku}", headers=staff).json["items"]
    shown = [see(unswept, sku, lambda item: item["in_stock"])]

    change = {"variants": [{"sku": sku, "price_minor": 1234}]}
    priced = unswept.call("PATCH", f"/v1/admin/products/{product['id']}", change, headers=staff)
    shown.append(see(unswept, sku, lambda item: item["price"]["amount_minor"] != 1000))
    sold = adjust(unswept, sku, -3, staff)
    shown.append(see(unswept, sku, lambda item: not item["in_stock"]))
    returned = adjust(unswept, sku, 1, staff)
    shown.append(see(unswept, sku, lambda item: item["in_stock"]))

    assert (priced.status, sold, returned) == (200, 201, 201)
    said = [(item["price"]["amount_minor"], item["in_stock"]) for item in shown]
    assert said == [(1000, True), (1234, True), (1234, False), (1234, True)]
    wait_until_none_is_left_to_publish(unswept)


def see(cloud: Cloud, sku: str, is_so: Callable[[Any], bool]) -> Any:
    """The product as the list shows it, once it is so."""
    until = time.monotonic() + WITHIN_S
    while True:
        items = cloud.patiently("GET", f"/v1/products?q={sku}").json["items"]
        # Before its event has come, others are found by a part of its SKU.
        if found := [item for item in items if item["sku"] == sku and is_so(item)]:
            return found[0]
        assert time.monotonic() < until, items


def wait_until_none_is_left_to_publish(cloud: Cloud) -> None:
    """An event is marked as published after it was: search may have shown it before."""
    until = time.monotonic() + WITHIN_S
    waiting = "select name from outbox where destination = 'topic:catalog' and published_at is null"
    while left := cloud.sql(waiting):
        assert time.monotonic() < until, left
        time.sleep(0.02)


def adjust(cloud: Cloud, sku: str, delta: int, staff: dict[str, str]) -> int:
    body = {"sku": sku, "delta": delta, "reason": "a test's"}
    return cloud.patiently("POST", "/v1/inventory/adjustments", body, headers=staff).status


def test_none_of_many_changes_under_search_is_lost(cloud: Cloud) -> None:
    """Prices by the hand full, brands and stock one by one, while shoppers search: every answer has every product."""
    word = f"zq{uuid4().hex[:8]}"
    skus = [cloud.make_stock(f"{word}-{n:02d}", 3) for n in range(PRODUCTS)]
    cloud.settle()
    staff, place = cloud.staff(), "/v1/admin/products"
    ids = [cloud.call("GET", f"{place}?sku={sku}", headers=staff).json["items"][0]["id"] for sku in skus]
    rounds = CHANGES_IN_SEARCH // (PRODUCTS + 10)
    changing = threading.Event()
    changing.set()

    def price() -> list[int]:
        body = {"skus": skus, "price": {"amount_minor": 7}}
        return [cloud.patiently("POST", f"{place}/changes", body, headers=cloud.staff()).status for _ in range(rounds)]

    def brand() -> list[int]:
        statuses = []
        for first in range(0, rounds * 5, 5):
            headers = cloud.staff()  # a token lives for ten minutes
            for n in range(first, first + 5):
                path, body = f"{place}/{ids[n % PRODUCTS]}", {"brand": f"Brand {n}"}
                statuses.append(cloud.patiently("PATCH", path, body, headers=headers).status)
        return statuses

    def stock() -> list[int]:
        statuses = []
        for first in range(0, rounds * 5, 5):
            headers = cloud.staff()
            for n in range(first, first + 5):
                delta = -3 if n // PRODUCTS % 2 == 0 else 3
                statuses.append(adjust(cloud, skus[n % PRODUCTS], delta, headers))
        return statuses

    def search() -> set[tuple[int, int]]:
        answers = set()
        while changing.is_set():
            answer = cloud.patiently("GET", f"/v1/products?q={word}&limit=100")
            answers.add((answer.status, len(answer.json["items"])))
        return answers

    with ThreadPoolExecutor(5) as pool:
        searching = [pool.submit(search) for _ in range(2)]
        try:
            done = [each.result() for each in [pool.submit(change) for change in (price, brand, stock)]]
        finally:
            changing.clear()
        found = set().union(*(each.result() for each in searching))
    cloud.settle(timeout_s=90)

    assert [set(statuses) for statuses in done] == [{200}, {200}, {201}]
    assert found == {(200, PRODUCTS)}
    assert cloud.sql(_COPIES_THAT_DIFFER, word=word) == []
    items = cloud.patiently("GET", f"/v1/products?q={word}&limit=100").json["items"]
    prices = {item["sku"]: item["price"]["amount_minor"] for item in items}
    assert prices == dict.fromkeys(skus, 1000 + 7 * rounds)
    turns = [len(range(n, rounds * 5, PRODUCTS)) for n in range(PRODUCTS)]
    assert {item["sku"]: item["in_stock"] for item in items} == {sku: turns[n] % 2 == 0 for n, sku in enumerate(skus)}


def test_the_benchmark_of_this_sees_what_is_told_and_loses_what_only_a_sweep_finds(cloud: Cloud) -> None:
    shop, database = Shop(cloud.url, lambda call: None), read_url(cloud.database_url)
    sku, staff = cloud.make_stock("LAMP", 1), Staff(shop)
    cloud.settle()
    lamp, told = staff.find(sku), "select count(*) from outbox where destination = 'topic:catalog'"

    [[before]] = cloud.sql(told)
    with shoppers(cloud.url, ["lamp"]) as searched_s:
        prices, stocks = by_events(shop, staff, [lamp], many=2)
    [[after_changes]] = cloud.sql(told)
    shown = lamp.is_shown_by(look(shop, sku).json["items"])
    answers = [lose(shop, staff, database, lamp, price=price) for price in (True, False)]
    cloud.settle()
    [[after_losses]] = cloud.sql(told)
    found_by_look = [follow(shop, lamp, answered).looks for answered in answers]

    assert (len(prices), len(stocks), searched_s != []) == (2, 2, True)
    assert (after_changes - before, shown) == (4, True)
    assert (after_losses - after_changes, found_by_look) == (0, [1, 1])
    assert (lamp.price_minor, lamp.on_hand) == (1003, 0)
    assert cloud.call("GET", "/_local/faults").json == []
