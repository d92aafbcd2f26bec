"""Staff at the desk see what has happened to a cart, never what opens it; nor is it kept with their answers."""

import json
from typing import Any
from uuid import UUID, uuid4

from shared.kernel.ids import new_id
from shared.outbox.dead_letters import DeadMessage
from shared.persistence.dead_letters import DeadLetters
from tests.support.conftest import Desk


def _bury(desk: Desk, payload: str) -> str:
    message = DeadMessage(str(uuid4()), new_id(), "order.paid", 1, payload, 10)
    letters = DeadLetters(desk.shop.database, desk.shop.clock)
    letters.keep(message, subscription="notify-orders", topic="orders")
    found = desk.shop.database.find("select id from dead_letters where message_id = :m::text", m=message.message_id)
    assert found is not None
    return str(found["id"])


def _kept_answers(desk: Desk) -> list[Any]:
    rows = desk.shop.database.call("select answer_body from idempotency_keys where route like '%dead-letters%'")
    return [json.loads(row["answer_body"]) for row in rows]


def test_a_dead_letter_hides_its_cart_and_its_answers_hold_no_payload(desk: Desk) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 1): 1})
    frozen = {"number": order.number, "cart_id": order.cart_id, "email": order.email}
    letters = [_bury(desk, json.dumps({"order": frozen})) for _time in range(2)]

    shown = desk.get(f"/v1/admin/dead-letters/{letters[0]}")
    replayed = desk.call("POST", f"/v1/admin/dead-letters/{letters[0]}/replay")
    discarded = desk.call("POST", f"/v1/admin/dead-letters/{letters[1]}/discard", {"reason": "a test's"})
    sent = desk.shop.database.find("select payload from outbox where id = :id::uuid", id=UUID(shown["event_id"]))

    assert json.loads(shown["payload"]) == {"order": {**frozen, "cart_id": "***"}}
    assert sent == {"payload": {"order": frozen}}
    for answer, state in ((replayed, "replayed"), (discarded, "discarded")):
        assert (answer.status_code, answer.get_json()["state"], "payload" in answer.get_json()) == (200, state, False)
    assert sorted(kept["state"] for kept in _kept_answers(desk)) == ["discarded", "replayed"]
    assert ["payload" in kept for kept in _kept_answers(desk)] == [False, False]


def test_a_cart_that_waits_is_listed_by_the_beginning_of_its_id(desk: Desk) -> None:
    now, cart_id = desk.shop.clock.now(), uuid4().hex
    desk.shop.database.call(
        """
        insert into checkout_lockouts (id, kind, subject, refused_at, times, locked_until, updated_at)
        values (:id::uuid, 'cart', :cart_id::text, '{}', 1, :now::timestamptz + interval '1 hour', :now::timestamptz)
        """,
        id=uuid4(),
        cart_id=cart_id,
        now=now,
    )

    items = desk.get("/v1/admin/lockouts")["items"]

    assert [(each["kind"], each["subject"]) for each in items] == [("cart", f"{cart_id[:4]}***")]
