"""The bot check of a checkout: asked before anything is held, with no lock, once for a key; never let through."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from local.database import Address
from shared.inventory.stock import OutOfStock
from shared.kernel.errors import Invalid, Unavailable
from shared.kernel.idempotency import Answering
from shared.orders import placing
from tests.local.vendor_processes import PayPalProcess, Process, Receiver, paypal_process
from tests.orders.shop import ADDRESS, Shop
from tests.served import serve
from tools.scratch_database import ScratchServer

SECRET = "0x4AAAAAAAsecretOfTheSite"


class Doorkeeper:
    """A BotCheck that says what the test wants, and what the database looked like while it was being asked."""

    def __init__(self, shop: Shop, *answers: Exception | None) -> None:
        self.shop = shop
        self.answers = list(answers)
        self.asked: list[tuple[str | None, UUID]] = []
        self.seen: list[tuple[int, int]] = []

    def admit(self, token: str | None, *, request_id: UUID) -> None:
        self.asked.append((token, request_id))
        (locks,) = self.shop.database.call(
            """
            select count(*)::int as n from pg_locks l join pg_stat_activity a using (pid)
            where a.datname = current_database() and a.application_name = 'tests' and a.pid <> pg_backend_pid()
                and l.mode in ('RowExclusiveLock', 'RowShareLock')
            """
        )
        (held,) = self.shop.database.call("select coalesce(sum(held), 0)::int as n from stock_levels where held > 0")
        self.seen.append((locks["n"], held["n"]))
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def place(shop: Shop, cart_id: str, bots: Doorkeeper, *, key: str | None = None) -> placing.Placed:
    claim = shop.claim(cart_id, key or uuid4().hex)
    return placing.place_order(
        placing.PlaceOrder(cart_id, 2, shop.email_of(cart_id), shop.network_of(cart_id), bot_check="token"),
        claim=claim,
        answering=lambda status: Answering(claim, status, lambda order: order.number),
        return_url=lambda order: "https://shop.example/return",
        cancel_url=lambda order: "https://shop.example/cancel",
        store=shop.orders,
        cashier=shop.paypal,
        clock=shop.clock,
        bots=bots,
    )


def test_a_bot_is_kept_out_before_anything_is_held_and_with_no_lock(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    (before,) = shop.database.call("select coalesce(sum(held), 0)::int as n from stock_levels where held > 0")
    bots = Doorkeeper(shop, Invalid(), Unavailable(), None)

    with pytest.raises(Invalid):
        place(shop, cart, bots)
    with pytest.raises(Unavailable):
        place(shop, cart, bots)

    assert bots.seen == [(0, before["n"])] * 2
    assert shop.level(lamp) == (5, 0)
    assert shop.paypal.calls == []
    assert place(shop, cart, bots).is_new
    assert shop.level(lamp) == (5, 1)


def test_an_order_that_is_there_is_found_again_without_another_check(shop: Shop) -> None:
    """Its token is spent: who lost the answer could never come back."""
    cart = shop.make_cart({shop.make_stock("LAMP", 5): 1})
    bots = Doorkeeper(shop, None)
    first = place(shop, cart, bots)

    again = place(shop, cart, bots)

    assert (first.order.id, first.is_new, again.is_new) == (again.order.id, True, False)
    assert len(bots.asked) == 1


def test_what_is_wrong_with_the_cart_costs_no_token(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 1)
    cart = shop.make_cart({lamp: 1})
    shop.order({lamp: 1})
    bots = Doorkeeper(shop)

    with pytest.raises(OutOfStock):
        place(shop, cart, bots)

    assert bots.asked == []


def test_the_same_key_is_the_same_question_and_another_key_another(shop: Shop) -> None:
    cart = shop.make_cart({shop.make_stock("LAMP", 5): 1})

    ids = [shop.claim(cart, key).request_id for key in ("one", "one", "two")]
    elsewhere = shop.claim(shop.make_cart({}), "one").request_id

    assert ids[0] == ids[1]
    assert len({*ids, elsewhere}) == 3


# Over HTTP, with the simulators ------------------------------------------------------------------------


class TurnstileProcess(Process):
    def token(self, **wanted: str) -> str:
        return str(self.call("POST", "/_local/turnstile/tokens", wanted).json["token"])

    def asked_about(self, token: str) -> list[tuple[str, bool]]:
        """(idempotency key, success) of every siteverify about it."""
        asked = self.call("GET", "/_local/turnstile/requests").json
        return [(each["idempotency_key"], each["success"]) for each in asked if each["response"] == token]


@dataclass
class Checkout:
    """The deployment as it is served, its bot check switched on."""

    client: FlaskClient
    shop: Shop
    turnstile: TurnstileProcess
    paypal: PayPalProcess

    def make_cart(self, sku: str) -> Any:
        cart = self.post("/v1/carts", {"shipping_address": ADDRESS}).json
        assert cart is not None
        return self.client.put(f"/v1/carts/{cart['id']}/lines/{sku}", json={"quantity": 1}).json

    def place(self, cart: Any, token: str | None, *, key: str) -> TestResponse:
        body = {"cart_id": cart["id"], "cart_version": cart["version"], "email": f"{cart['id']}@example.com"}
        return self.post("/v1/checkouts", body if token is None else {**body, "turnstile_token": token}, key=key)

    def post(self, path: str, body: object, *, key: str = "") -> TestResponse:
        return self.client.post(path, json=body, headers={"Idempotency-Key": key or uuid4().hex})

    def paypal_orders(self) -> int:
        return len(self.paypal.ledger()["orders"])


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TurnstileProcess, PayPalProcess]]:
    turnstile = TurnstileProcess("turnstile", tmp_path_factory.mktemp("turnstile"), ["--secret", SECRET])
    receiver = Receiver()
    try:
        with paypal_process(tmp_path_factory.mktemp("paypal"), receiver) as paypal:
            yield turnstile.start(), paypal
    finally:
        turnstile.stop()
        receiver.close()


@pytest.fixture
def checkout(
    vendors: tuple[TurnstileProcess, PayPalProcess],
    shop: Shop,
    postgres: ScratchServer,
    module_database: Address,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Checkout]:
    turnstile, paypal = vendors
    environment = {
        "VITRINE_DEPLOYMENT": "checkout",
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": "vitrine-test",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",  # nobody: events stay in the outbox
        "FUNCTION_TIMEOUT_S": "60",
        "DATABASE_ACCESS": "url",
        "DATABASE_URL": postgres.login(module_database, "checkout").url,
        "POOL_SIZE": "2",
        "PUBLIC_URL": "http://127.0.0.1:8080",
        "TOKEN_KEYS": '{"current": "k", "keys": {"k": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}',
        "PAYPAL_BASE_URL": paypal.url,
        "PAYPAL_CLIENT_ID": "client",
        "PAYPAL_CLIENT_SECRET": "secret",
        "TURNSTILE_BASE_URL": turnstile.url,
        "TURNSTILE_SECRET": SECRET,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app, _ = serve("checkout", "checkout", monkeypatch)
    wiring = sys.modules["functions.checkout.wiring"]
    yield Checkout(app.test_client(), shop, turnstile, paypal)
    wiring.database().close()
    wiring.paypal().close()
    wiring.bots().close()
    asked = turnstile.faults.list()
    turnstile.faults.clear()
    assert all(fault["fired"] for fault in asked), "a fault was asked for and never fired"


@pytest.mark.slow
def test_a_checkout_is_checked_once_however_often_its_key_comes(checkout: Checkout) -> None:
    lamp = checkout.shop.make_stock("LAMP", 5)
    cart, token = checkout.make_cart(lamp), checkout.turnstile.token()

    first, again = (checkout.place(cart, token, key="once") for _ in range(2))
    later = checkout.place(cart, None, key="another")

    assert (first.status_code, again.status_code, later.status_code) == (201, 201, 200)
    assert (first.json, again.headers["Idempotency-Replayed"]) == (again.json, "true")
    ((key, success),) = checkout.turnstile.asked_about(token)
    assert (UUID(key).version, success) == (5, True)
    assert checkout.shop.level(lamp) == (5, 1)


@pytest.mark.slow
@pytest.mark.parametrize("fetch", ["nothing", "dummy", "spent", "elsewhere", "other action", "too old"])
def test_a_checkout_without_a_good_token_is_a_422_that_names_it_and_holds_nothing(
    checkout: Checkout, fetch: str
) -> None:
    lamp, opened = checkout.shop.make_stock("LAMP", 5), checkout.paypal_orders()
    cart = checkout.make_cart(lamp)
    turnstile = checkout.turnstile
    token: str | None = {"nothing": None, "dummy": "XXXX.DUMMY.TOKEN.XXXX"}.get(fetch)
    if fetch == "spent":
        token = turnstile.token()
        assert (
            checkout.place(checkout.make_cart(checkout.shop.make_stock("OTHER", 1)), token, key="").status_code == 201
        )
        opened += 1
    elif fetch == "elsewhere":
        token = turnstile.token(hostname="evil.example")
    elif fetch == "other action":
        token = turnstile.token(action="newsletter")
    elif fetch == "too old":
        token = turnstile.token()
        turnstile.clock.advance(301)

    refused, again = (checkout.place(cart, token, key=f"refused {fetch}".replace(" ", "-")) for _ in range(2))

    assert (refused.status_code, again.status_code) == (422, 422)
    assert refused.json is not None
    assert refused.json["type"] == "https://vitrine.example/problems/invalid"
    assert [error["pointer"] for error in refused.json["errors"]] == ["/turnstile_token"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert checkout.shop.level(lamp) == (5, 0)
    assert checkout.paypal_orders() == opened
    assert checkout.place(cart, turnstile.token(), key="").status_code == 201


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["error", "lose", "timeout_after_effect"])
def test_while_cloudflare_is_away_nobody_is_let_through_and_the_same_token_is_good_afterwards(
    checkout: Checkout, fault: str
) -> None:
    lamp, opened = checkout.shop.make_stock("LAMP", 5), checkout.paypal_orders()
    cart, token = checkout.make_cart(lamp), checkout.turnstile.token()
    checkout.turnstile.faults.add("turnstile", fault)

    refused = checkout.place(cart, token, key="patient")

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert checkout.shop.level(lamp) == (5, 0)
    assert checkout.paypal_orders() == opened
    assert checkout.place(cart, token, key="patient").status_code == 201
    keys = {key for key, _success in checkout.turnstile.asked_about(token)}
    assert len(keys) == 1
