"""What one client may hold, and how often be refused, as its browser and the staff see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.system.cloud import Answer, Cloud

PROBLEMS = "https://vitrine.example/problems/"


@contextmanager
def settings(cloud: Cloud, **changed: int) -> Iterator[None]:
    before = cloud.call("GET", "/v1/admin/settings", headers=cloud.staff()).json
    assert cloud.call("PATCH", "/v1/admin/settings", changed, headers=cloud.staff()).status == 200
    restored = {name: before[name] for name in changed}
    try:
        yield
    finally:  # or every later test would run into these limits
        after = cloud.call("PATCH", "/v1/admin/settings", restored, headers=cloud.staff()).json
    assert after | restored == {
        **before, "version": before["version"] + 2,
    }  # fmt: skip


def refuse(cloud: Cloud, order: Any) -> None:
    # Without the notice of the approval, which would be refused a capture as well.
    cloud.fault("webhooks", "lose", path="/v1/webhooks/paypal/CHECKOUT.ORDER.APPROVED")
    cloud.approve(order, "declined")
    assert cloud.capture(order).json["type"] == PROBLEMS + "payment-refused"


def lockouts_of(cloud: Cloud, subject: str) -> list[Any]:
    listed = cloud.call("GET", "/v1/admin/lockouts?limit=100", headers=cloud.staff())
    assert listed.status == 200, listed.raw.decode()
    return [lockout for lockout in listed.json["items"] if lockout["subject"] == subject]


def test_a_sixth_open_order_of_an_email_is_refused_with_the_time_to_wait(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 20)
    carts = [cloud.make_cart({lamp: 1}) for _ in range(6)]
    email = f"{lamp.lower()}@example.com"

    with settings(cloud, open_orders_per_email=5):
        answers = [cloud.place(cart, email=email, key=f"{lamp}-{number}") for number, cart in enumerate(carts)]
        again = cloud.place(carts[0], email=email)
        refused = answers.pop()
        cancelled = cloud.call(
            "POST", f"/v1/checkouts/{answers[0].json['id']}/cancel", headers=cloud.token(answers[0].json)
        )
        same_key = cloud.place(carts[5], email=email, key=f"{lamp}-5")

    assert [answer.status for answer in answers] == [201] * 5
    assert (again.status, again.json["id"]) == (200, answers[0].json["id"])
    assert (refused.status, refused.headers["content-type"]) == (429, "application/problem+json")
    assert refused.json["type"] == PROBLEMS + "too-many-open-orders"
    assert (refused.json["per"], refused.json["limit"]) == ("email", 5)
    assert 800 <= int(refused.headers["retry-after"]) <= 900
    assert (cancelled.status, same_key.status) == (200, 201)  # nothing of the refusal was kept for its key
    assert cloud.level(lamp) == (20, 5)


def test_five_refused_payments_lock_the_checkout_until_staff_lift_it(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 20)
    email = f"{lamp.lower()}@example.com"

    def order() -> Answer:
        return cloud.place(cloud.make_cart({lamp: 1}), email=email)

    with settings(cloud, refused_payments_per_buyer=5):
        first, second = order().json, order().json
        for refused in (first, first, first, second, second):
            refuse(cloud, refused)
        cloud.approve(second)
        locked = [
            order(),
            cloud.capture(second),
            cloud.call("POST", f"/v1/checkouts/{second['id']}/retry-payment", headers=cloud.token(second)),
        ]
        [lockout] = lockouts_of(cloud, email)
        lifted = cloud.call("DELETE", f"/v1/admin/lockouts/{lockout['id']}", headers=cloud.staff())
        after = cloud.capture(second)
        lifted_again = cloud.call("DELETE", f"/v1/admin/lockouts/{lockout['id']}", headers=cloud.staff())

    assert [answer.status for answer in locked] == [429] * 3
    assert {answer.json["type"] for answer in locked} == {PROBLEMS + "checkout-locked"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in locked)
    assert (lockout["kind"], lockout["refused_payments"], lockout["times"]) == ("email", 5, 1)
    assert (lifted.status, lifted_again.status) == (204, 404)
    assert (after.status, after.json["status"]) == (200, "paid")
    assert lockouts_of(cloud, email) == []
    entries = cloud.call("GET", f"/v1/admin/audit-log?subject=lockout:{lockout['id']}", headers=cloud.staff()).json
    assert [(entry["action"], entry["detail"]) for entry in entries["items"]] == [
        ("lockout.lifted", {"kind": "email", "times": 1})
    ]
