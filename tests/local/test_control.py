import base64
import hashlib
import hmac
import json
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.local.conftest import RunningCloud


def test_every_server_and_deployment_is_listed_and_leads_its_own_group(cloud: "RunningCloud") -> None:
    cloud.call("/v1/echo")

    processes = cloud.processes()

    assert set(processes) == {
        "postgres",
        "pubsub",
        "tasks",
        "storage",
        "paypal",
        "sendgrid",
        "turnstile",
        "echo",
        "worker",
    }
    for name, row in processes.items():
        if row["pid"] is not None:
            assert (name, os.getpgid(row["pid"])) == (name, row["pgid"])
    assert {"deployment", "pid", "pgid", "url", "restarts"} <= processes["echo"].keys()


def test_a_killed_server_comes_back_at_once_at_the_same_place(cloud: "RunningCloud") -> None:
    before = cloud.processes()
    servers = [name for name, row in before.items() if row["kind"] == "server"]

    for name in servers:
        os.killpg(before[name]["pgid"], signal.SIGKILL)
    settled = cloud.post("/_local/settle?timeout_s=60")

    after = cloud.processes()
    assert (settled.status, settled.json["left"]) == (200, {})
    for name in servers:
        assert (name, after[name]["url"]) == (name, before[name]["url"])
        assert (name, after[name]["restarts"]) == (name, before[name]["restarts"] + 1)
    assert cloud.call("/v1/echo/database").json == {"user": "vitrine_local_echo"}


def test_settling_runs_every_schedule_once_and_says_so(cloud: "RunningCloud") -> None:
    before = len(cloud.jobs())

    answer = cloud.post("/_local/settle")

    assert answer.status == 200
    assert [(run["name"], run["status"]) for run in answer.json["schedules"]] == [("hourly", 200), ("daily", 200)]
    assert [job["job"] for job in cloud.jobs()[before:]] == ["worker/hourly", "worker/daily"]
    assert answer.json["dead_letters"] == {}


def test_a_fault_is_kept_and_listed_until_it_is_cleared(cloud: "RunningCloud") -> None:
    added = cloud.post("/_local/faults", {"target": "paypal", "fault": "lose", "path": "/v2/", "count": 3})

    assert added.status == 201
    assert added.json == {
        "id": added.json["id"],
        "target": "paypal",
        "fault": "lose",
        "path": "/v2/",
        "left": 3,
        "fired": 0,
    }
    assert cloud.call("/_local/faults").json == [added.json]
    assert cloud.call("/_local/faults", "DELETE").status == 204
    assert cloud.call("/_local/faults").json == []


def test_a_fault_that_makes_no_sense_is_refused(cloud: "RunningCloud") -> None:
    for wrong in ({"target": "nobody", "fault": "lose"}, {"target": "paypal"}, {"fault": "lose", "times": 3}, [1]):
        assert cloud.post("/_local/faults", wrong).status == 400
    assert cloud.call("/_local/faults", "POST", b"{").status == 400
    assert cloud.call("/_local/faults", "PUT", b"{}").header("Allow") == "GET, POST, DELETE"
    assert cloud.call("/_local/faults").json == []


def test_a_staff_session_is_a_signed_token_and_a_row(cloud: "RunningCloud") -> None:
    ring = json.loads(cloud.call("/v1/echo").json["environment"]["TOKEN_KEYS"])
    _sql(cloud, "drop table if exists sessions")
    _sql(
        cloud,
        "create table sessions (id uuid primary key, kind text not null, subject uuid not null, permissions text[] not"
        " null, created_at timestamptz not null, expires_at timestamptz not null, revoked_at timestamptz)",
    )

    answer = cloud.post("/_local/staff-session")

    body, signature = answer.json["token"].split(".")
    key = base64.b64decode(ring["keys"][ring["current"]])
    assert _decode(signature) == hmac.new(key, body.encode(), hashlib.sha256).digest()
    claims = json.loads(_decode(body))
    assert (claims["v"], claims["kind"], claims["permissions"], claims["kid"]) == (1, "staff", ["*"], ring["current"])
    rows = _sql(cloud, "select id::text, subject::text, kind, permissions, revoked_at from sessions")
    assert rows == [[claims["session"], claims["subject"], "staff", ["*"], None]]


def _sql(cloud: "RunningCloud", statement: str) -> list[list[object]]:
    from local.database import read_url

    connection = read_url(cloud.about["database_url"]).connect()
    try:
        rows: list[list[object]] = connection.run(statement) or []
        return rows
    finally:
        connection.close()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_turnstile_simulator_hands_out_tokens_and_says_what_it_was_asked(cloud: "RunningCloud") -> None:
    given = cloud.post("/_local/turnstile/tokens", {"action": "checkout"})

    assert (given.status, list(given.json)) == (201, ["token"])
    assert cloud.call("/_local/turnstile/requests").json == []
