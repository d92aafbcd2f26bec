"""Benchmarks gate nothing: nobody would notice that they no longer measure. The parts that can be wrong are tried."""

import socket
import threading

import pytest

from benchmarks import goods, ordering
from benchmarks.buyers import Buyers
from benchmarks.figures import Goal, as_table, bounded, compare, skipped
from benchmarks.following import Product
from benchmarks.travelling import counting
from local.database import Address


def test_a_ratio_is_the_median_over_pairs_and_not_the_ratio_of_medians() -> None:
    figure = compare("start", [100, 200, 400], [150, 320, 500], unit="ms", goal=Goal(at_most=1.5), floor_name="hello")

    assert figure.ratio == 1.5
    assert (figure.floor, figure.ours, figure.stand) == ("hello 200 ms", "320 ms", "met")
    assert figure.note == "ratios 1.25-1.60 of 3"


@pytest.mark.parametrize(
    ("goal", "ratio", "stand"),
    [
        (Goal(at_most=1.6), 1.61, "missed"),
        (Goal(at_most=1.6), 1.6, "met"),
        (Goal(at_least=0.35), 0.34, "missed"),
        (Goal(at_least=0.35), 0.36, "met"),
        (Goal(), 7.0, "shown"),
    ],
)
def test_where_a_figure_stands(goal: Goal, ratio: float, stand: str) -> None:
    assert goal.stand(ratio) == stand


@pytest.mark.parametrize(("worst", "stand"), [(2001, "missed"), (2000, "met")])
def test_a_goal_that_is_no_ratio_is_held_against_the_slowest(worst: int, stand: str) -> None:
    figure = bounded(compare("seen", [10], [20], unit="ms", goal=Goal()), "worst", worst, at_most=2000, unit="ms")

    assert (figure.ratio, figure.goal, figure.stand, figure.note) == (
        2,
        "worst <= 2,000 ms",
        stand,
        f"worst {worst:,} ms",
    )


@pytest.mark.parametrize(
    ("sku", "price_minor", "in_stock", "shown"),
    [
        ("LAMP", 1234, True, True),
        ("LAMP", 1233, True, False),
        ("LAMP", 1234, False, False),
        ("VASE", 1234, True, False),
    ],
)
def test_a_change_is_seen_where_the_list_says_all_that_staff_said(
    sku: str, price_minor: int, in_stock: bool, shown: bool
) -> None:
    lamp = Product("id", "LAMP", price_minor=1234, on_hand=1)

    assert lamp.is_shown_by([{"sku": sku, "price": {"amount_minor": price_minor}, "in_stock": in_stock}]) is shown


def test_what_could_not_be_measured_is_in_the_table_with_its_reason() -> None:
    assert "it is not installed" in as_table([skipped("over TLS", "it is not installed")])


def test_a_round_trip_is_counted_where_the_client_speaks_after_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                for wanted in (b"onetwo", b"three"):
                    received = b""
                    while received != wanted:
                        received += client.recv(64)
                    client.sendall(b"answer")

        thread = threading.Thread(target=serve)
        thread.start()
        with counting("127.0.0.1", server.getsockname()[1]) as wire:
            with socket.create_connection(("127.0.0.1", wire.port)) as client:
                for part in (b"one", b"two"):
                    client.sendall(part)
                assert client.recv(64) == b"answer"
                client.sendall(b"three")
                assert client.recv(64) == b"answer"

            assert wire.trips == 2
        thread.join()


def test_the_buyers_of_a_benchmark_place_orders_and_oversell_nothing(fresh_database: Address) -> None:
    scarce = goods.sku_of(29)
    goods.fill(fresh_database, 30)
    carts = goods.make_carts(fresh_database, "spread", 6, among=27)
    carts += goods.make_carts_of(fresh_database, "scarce", 8, sku=scarce, free=6)
    buyers = Buyers(fresh_database.url, 2, carts)

    buyers.buy_for(60)
    buyers.close()

    assert buyers.failures == []
    assert (len(buyers.took_s), buyers.refused) == (12, 2)
    assert ordering.held(fresh_database, scarce) == 6
    assert ordering.oversold(fresh_database, scarce) == 0
