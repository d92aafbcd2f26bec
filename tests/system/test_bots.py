"""The bot check switched on, as .env does it: a shop of its own, its simulator, its control surface."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.auditor.auditor import audit_shop
from tests.system.cloud import ROOT, Answer, Cloud

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checked_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The same code under another root, which has a .env."""
    root = tmp_path_factory.mktemp("root")
    for name in ("functions", "shared", "migrations", "local", "alembic.ini", "pyproject.toml"):
        if (ROOT / name).exists():
            (root / name).symlink_to(ROOT / name)
    (root / ".env").write_text("TURNSTILE_SECRET=0x4AAAAAAAsecretOfTheSite\n")
    cloud = Cloud(tmp_path_factory.mktemp("shop"), root=root)
    try:
        yield cloud.start()
    finally:
        cloud.stop()


def _place(cloud: Cloud, cart: Any, key: str, **token: str) -> Answer:
    body = {"cart_id": cart["id"], "cart_version": cart["version"], "email": "ada@example.com", **token}
    return cloud.call("POST", "/v1/checkouts", body, key=key)


def _token(cloud: Cloud) -> str:
    return str(cloud.call("POST", "/_local/turnstile/tokens", {}).json["token"])


def test_a_checkout_needs_a_token_and_waits_for_cloudflare(checked_cloud: Cloud) -> None:
    cloud = checked_cloud
    lamp = cloud.make_stock("LAMP", 5)
    cart = cloud.make_cart({lamp: 1})
    token = _token(cloud)

    without = _place(cloud, cart, "without")
    forged = _place(cloud, cart, "forged", turnstile_token="XXXX.DUMMY.TOKEN.XXXX")
    cloud.fault("turnstile", "error")
    away = _place(cloud, cart, "good", turnstile_token=token)
    held = cloud.level(lamp)
    placed = _place(cloud, cart, "good", turnstile_token=token)
    again = _place(cloud, cart, "good", turnstile_token=token)
    other = _place(cloud, cloud.make_cart({lamp: 1}), "other", turnstile_token=token)

    assert [answer.status for answer in (without, forged, away, placed, again, other)] == [422, 422, 503, 201, 201, 422]
    pointers = [answer.json["errors"][0]["pointer"] for answer in (without, forged, other)]
    assert pointers == ["/turnstile_token"] * 3
    assert int(away.headers["retry-after"]) > 0
    assert (held, cloud.level(lamp)) == ((5, 0), (5, 1))
    assert [fault["fired"] for fault in cloud.clear_faults()] == [1]
    asked = [each for each in cloud.call("GET", "/_local/turnstile/requests").json if each["response"] == token]
    assert [(each["success"], each["error-codes"]) for each in asked] == [(True, []), (False, ["timeout-or-duplicate"])]
    assert asked[0]["idempotency_key"] != asked[1]["idempotency_key"]
    cloud.settle()
    assert audit_shop(cloud.database_url, cloud.url) == []
