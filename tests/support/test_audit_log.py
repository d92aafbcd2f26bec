from datetime import timedelta
from uuid import UUID, uuid4

from shared.audit.entries import Entry
from shared.persistence import audit
from tests.support.conftest import Desk, problem_of


def test_staff_read_what_was_done_the_newest_first_page_by_page(desk: Desk) -> None:
    now, number = desk.shop.clock.now().replace(microsecond=0), f"order:{uuid4()}"
    ids = sorted(uuid4() for _ in range(3))
    entries = [Entry(now + timedelta(hours=1), "staff:1", "order.held", number, {"place": n}, ids[n]) for n in range(3)]
    entries.append(Entry(now + timedelta(hours=2), "staff:2", "order.released", number, {"place": 3}))
    for entry in entries:
        desk.shop.database.step(lambda tx, entry=entry: audit.append(tx, entry))  # type: ignore[misc]

    first = desk.get(f"/v1/admin/audit-log?subject={number}&limit=2")
    second = desk.get(f"/v1/admin/audit-log?subject={number}&limit=2&cursor={first['next_cursor']}")
    third = desk.get(f"/v1/admin/audit-log?subject={number}&limit=2&cursor={second['next_cursor']}")
    newest = desk.get("/v1/admin/audit-log?limit=1")

    assert [entry["detail"]["place"] for entry in first["items"] + second["items"]] == [3, 0, 1, 2]
    assert third == {"items": [], "next_cursor": None}
    assert [entry["detail"] for entry in newest["items"]] == [{"place": 3}]
    assert first["items"][0] == {
        "at": (now + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "actor": "staff:2",
        "action": "order.released",
        "subject": number,
        "detail": {"place": 3},
    }


def test_the_audit_log_is_for_staff_who_may_read_it(desk: Desk) -> None:
    assert problem_of(desk.client.get("/v1/admin/audit-log")) == (401, "unauthenticated")
    assert problem_of(desk.call("GET", "/v1/admin/audit-log", permissions=("orders:read",))) == (403, "forbidden")
    assert problem_of(desk.call("GET", f"/v1/admin/audit-log?cursor={UUID(int=0)}")) == (400, "unreadable")
