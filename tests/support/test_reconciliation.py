"""The report of reconciliation, as staff see it and answer it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.orders.findings import Finding
from shared.persistence.database import Transaction
from shared.persistence.reconciliation import Findings, Runs
from tests.support.conftest import Desk, problem_of

REPORT = "/v1/admin/reconciliation"


def _find(desk: Desk, *subjects: str) -> list[UUID]:
    """Findings of a run that has just begun, oldest first."""
    runs, findings = Runs(desk.shop.database, desk.shop.clock), Findings(desk.shop.database, desk.shop.clock)
    runs.begin("fresh", at=desk.shop.clock.now(), asked_by="shop")
    desk.shop.database.call("update reconciliation_runs set lease_token = null, leased_until = null")
    run = runs.take_turn("fresh", at=desk.shop.clock.now())
    assert run is not None
    made = []
    for subject in subjects:
        made.append(
            findings.report(run, Finding("amount_differs", subject, {"ours_minor": 1}), at=desk.shop.clock.now())
        )
        desk.shop.clock.advance(seconds=1)
    assert None not in made
    return [finding for finding in made if finding is not None]


@pytest.fixture(autouse=True)
def _empty(desk: Desk) -> None:
    desk.shop.database.call("truncate reconciliation_findings, reconciliation_runs")
    desk.shop.database.call("delete from outbox where name = '/jobs/payments/reconcile'")


def _resolve(desk: Desk, finding_id: UUID, reason: str = "The bank was asked.", **options: Any) -> Any:
    return desk.call("POST", f"{REPORT}/findings/{finding_id}/resolve", {"reason": reason}, **options)


def test_the_report_is_empty_when_all_is_well(desk: Desk) -> None:
    assert desk.get(REPORT) == {"runs": [], "items": [], "next_cursor": None}


def test_findings_are_listed_the_newest_first_page_by_page(desk: Desk) -> None:
    _find(desk, "A", "B", "C")

    first = desk.get(f"{REPORT}?limit=2")
    second = desk.get(f"{REPORT}?limit=2&cursor={first['next_cursor']}")

    assert [item["subject"] for item in first["items"] + second["items"]] == ["C", "B", "A"]
    assert second["next_cursor"] is None
    item = first["items"][0]
    assert (item["kind"], item["state"], item["detail"]) == ("amount_differs", "open", {"ours_minor": 1})
    assert (item["order_number"], item["closed_at"], item["reason"]) == (None, None, None)
    assert [(run["kind"], run["asked_by"], run["step"]) for run in first["runs"]] == [("fresh", "shop", "stock")]


def test_staff_ask_for_a_run_and_a_second_wish_is_the_same_run(desk: Desk) -> None:
    asked = desk.call("POST", REPORT)
    again = desk.call("POST", REPORT)

    assert (asked.status_code, again.status_code) == (202, 202)
    assert asked.get_json()["id"] == again.get_json()["id"]
    assert (asked.get_json()["kind"], asked.get_json()["asked_by"]) == ("full", desk.actor)
    woken = desk.shop.database.call("select payload from outbox where name = '/jobs/payments/reconcile'")
    assert [row["payload"] for row in woken] == [{"kind": "full"}] * 2
    logged = desk.get(f"/v1/admin/audit-log?subject=reconciliation:{asked.get_json()['id']}")["items"]
    assert [(entry["actor"], entry["action"]) for entry in logged] == [(desk.actor, "reconciliation.asked")] * 2


def test_a_finding_is_explained_once_and_not_found_again_while_it_is_the_same(desk: Desk) -> None:
    (finding_id,) = _find(desk, "CAPTURE1")
    key, session = uuid4().hex, {"Authorization": f"Bearer {desk.token('*')}"}

    resolved = _resolve(desk, finding_id, key=key, headers=session)
    repeated = _resolve(desk, finding_id, key=key, headers=session)
    closed = _resolve(desk, finding_id)

    assert (resolved.status_code, repeated.get_json()) == (200, resolved.get_json())
    assert (resolved.get_json()["state"], resolved.get_json()["reason"]) == ("explained", "The bank was asked.")
    assert resolved.get_json()["closed_by"] == desk.actor
    assert problem_of(closed) == (409, "finding-closed")
    assert desk.get(REPORT)["items"] == []
    assert [item["id"] for item in desk.get(f"{REPORT}?state=explained")["items"]] == [str(finding_id)]
    logged = desk.get(f"/v1/admin/audit-log?subject=finding:{finding_id}")["items"]
    assert [(entry["actor"], entry["detail"]["reason"]) for entry in logged] == [(desk.actor, "The bank was asked.")]
    findings, runs = Findings(desk.shop.database, desk.shop.clock), Runs(desk.shop.database, desk.shop.clock)
    desk.shop.clock.advance(minutes=5)
    run = runs.take_turn("fresh", at=desk.shop.clock.now())
    assert run is not None
    now = desk.shop.clock.now()
    assert findings.report(run, Finding("amount_differs", "CAPTURE1", {"ours_minor": 1}), at=now) is None
    assert findings.report(run, Finding("amount_differs", "CAPTURE1", {"ours_minor": 2}), at=now) is not None


def test_a_run_that_ends_while_another_is_asked_for_makes_room_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The open one keeps a second from beginning, and is over when it is looked for."""
    shop = desk.shop
    runs = Runs(shop.database, shop.clock)
    runs.begin("full", at=shop.clock.now(), asked_by="shop")
    first = runs.take_turn("full", at=shop.clock.now())
    assert first is not None
    find = Transaction.find
    looked: list[str] = []

    def find_later(tx: Transaction, sql: str, **parameters: Any) -> Any:
        if "finished_at is null" in sql and not looked:
            looked.append(sql)
            with ThreadPoolExecutor(1) as other:
                other.submit(runs.finish, first, at=shop.clock.now()).result(10)
        return find(tx, sql, **parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "find", find_later)
        asked = runs.ask(actor=desk.actor, answering=None)

    assert len(looked) == 1
    assert asked.id != first.id
    assert (asked.asked_by, asked.finished_at) == (desk.actor, None)


def test_who_may_not_and_what_is_not_there(desk: Desk) -> None:
    (finding_id,) = _find(desk, "CAPTURE1")
    reader = ("reconciliation:read",)

    assert problem_of(desk.client.get(REPORT)) == (401, "unauthenticated")
    assert problem_of(desk.call("GET", REPORT, permissions=("orders:read",))) == (403, "forbidden")
    assert problem_of(desk.call("POST", REPORT, permissions=reader)) == (403, "forbidden")
    assert problem_of(_resolve(desk, finding_id, permissions=reader)) == (403, "forbidden")
    assert problem_of(_resolve(desk, uuid4())) == (404, "finding-not-found")
    assert problem_of(_resolve(desk, finding_id, reason=" ")) == (422, "invalid")
    assert problem_of(desk.call("GET", f"{REPORT}?state=lost")) == (400, "unreadable")
    assert [item["state"] for item in desk.get(REPORT)["items"]] == ["open"]
