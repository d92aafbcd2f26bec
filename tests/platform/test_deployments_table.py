import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests.deployments import ROWS, TABLE

ROOT = Path(__file__).resolve().parent.parent.parent

row_by_row = pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])

ROW = {
    "name": str,
    "source": str,
    "entry_point": str,
    "access": str,
    "triggers": dict,
    "database_role": str,
    "publishes": list,
    "enqueues": list,
    "secrets": list,
    "settings": list,
    "memory": str,
    "cpu": int,
    "concurrency": int,
    "timeout_s": int,
    "min_instances": int,
    "max_instances": int,
    "pool_size": int,
    "invokers": list,
}
ROW_MAY_HAVE = {"grants": dict, "cached": bool, "buckets": dict}
TRIGGERS = {
    "push": {"subscription", "topic", "path", "ack_deadline_s"},
    "dead_letters": {"path", "ack_deadline_s"},
    "queues": {"queue", "path"},
    "schedules": {"name", "cron", "path"},
}
TRIGGERS_MAY_HAVE = {kind: set[str]() for kind in TRIGGERS} | {"schedules": {"local_every_s"}}
INVOKER_OF = {"push": "pubsub", "dead_letters": "pubsub", "queues": "tasks", "schedules": "scheduler"}
QUEUE = {
    "name",
    "max_dispatches_per_second",
    "max_concurrent_dispatches",
    "min_backoff_s",
    "max_backoff_s",
    "max_attempts",
}
PRIVILEGES = {"select", "insert", "update", "delete", "references", "truncate", "trigger", "execute", "usage"}
CLOUD_TASKS_DEADLINE_S = 600
PUBSUB_LONGEST_ACK_DEADLINE_S = 600


def triggers(kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(row, trigger) for row in ROWS for trigger in row["triggers"].get(kind, [])]


def repeated(values: list[str]) -> set[str]:
    return {value for value in values if values.count(value) > 1}


def test_the_table_has_topics_queues_and_deployments_and_nothing_else() -> None:
    assert set(TABLE) == {"topics", "queues", "deployments"}
    assert all({"name"} <= set(topic) <= {"name", "unused"} for topic in TABLE["topics"])
    assert all(set(queue) == QUEUE for queue in TABLE["queues"])


@row_by_row
def test_every_key_of_a_row_is_known_and_of_its_type(row: dict[str, Any]) -> None:
    assert set(ROW) <= set(row) <= set(ROW) | set(ROW_MAY_HAVE)
    assert [key for key, kind in (ROW | ROW_MAY_HAVE).items() if key in row and type(row[key]) is not kind] == []
    assert set(row["triggers"]) <= {"routes", *TRIGGERS}
    for kind, keys in TRIGGERS.items():
        for trigger in row["triggers"].get(kind, []):
            assert keys <= set(trigger) <= keys | TRIGGERS_MAY_HAVE[kind]


def test_names_and_roles_belong_to_one_deployment() -> None:
    assert repeated([row["name"] for row in ROWS]) == set()
    assert repeated([row["database_role"] for row in ROWS]) == set()
    assert repeated([f"{row['source']}:{row['entry_point']}" for row in ROWS]) == set()
    assert [row["name"] for row in ROWS if not re.fullmatch(r"[a-z][a-z-]{2,20}", row["name"])] == []


@row_by_row
def test_a_deployment_has_its_folder_its_requirements_and_its_entry_point(row: dict[str, Any]) -> None:
    source = ROOT / row["source"]

    assert source.parent == ROOT / "functions"
    assert (source / "requirements.in").is_file()
    assert (source / "requirements.txt").is_file()
    assert f"-r ../{row['source']}/requirements.in" in (ROOT / "requirements" / "dev.in").read_text().splitlines()
    tree = ast.parse((source / "main.py").read_text())
    assert row["entry_point"] in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_a_path_prefix_belongs_to_one_deployment() -> None:
    routes = [(route, row["name"]) for row in ROWS for route in row["triggers"].get("routes", [])]

    inside = [
        (inner, outer)
        for inner, _ in routes
        for outer, _ in routes
        if inner is not outer and (inner + "/").startswith(outer + "/")
    ]

    assert repeated([route for route, _ in routes]) == set()
    assert inside == []
    # People, previews and search engines come to the shop's own addresses, everybody else to /v1.
    shown = {"/products": "search", "/sitemap.xml": "search"}
    assert [route for route in routes if not re.fullmatch(r"/v1(/[a-z-]+)+", route[0])] == list(shown.items())


@row_by_row
def test_access_decides_how_a_deployment_is_reached(row: dict[str, Any]) -> None:
    routes = row["triggers"].get("routes", [])
    kinds = [kind for kind in TRIGGERS if row["triggers"].get(kind)]

    assert row["access"] in {"public", "staff", "jobs"}
    if row["access"] == "jobs":
        assert routes == []
        assert kinds != []
    else:
        assert f"/v1/health/{row['name']}" in routes
        assert kinds == []
    assert sorted(row["invokers"]) == sorted({INVOKER_OF[kind] for kind in kinds})


@row_by_row
def test_only_what_knows_no_caller_is_cached(row: dict[str, Any]) -> None:
    """Who cannot read a token answers everybody alike: Cloud CDN keeps nothing that is somebody's."""
    if row.get("cached"):
        assert row["access"] == "public"
        assert row["secrets"] == []
        assert "sessions" not in row["grants"]["tables"]


def test_job_paths_are_under_jobs_and_belong_to_one_trigger() -> None:
    paths = [trigger["path"] for kind in TRIGGERS for _, trigger in triggers(kind)]

    assert [path for path in paths if not re.fullmatch(r"/jobs(/[a-z-]+)+", path)] == []
    assert repeated(paths) == set()


def test_every_queue_and_topic_is_declared_and_every_queue_has_one_worker() -> None:
    topics = [topic["name"] for topic in TABLE["topics"]]
    queues = [queue["name"] for queue in TABLE["queues"]]

    assert sorted(trigger["queue"] for _, trigger in triggers("queues")) == sorted(queues)
    assert {trigger["topic"] for _, trigger in triggers("push")} <= set(topics)
    assert {topic for row in ROWS for topic in row["publishes"]} <= set(topics)
    assert {queue for row in ROWS for queue in row["enqueues"]} <= set(queues)
    assert repeated(topics) == repeated(queues) == set()
    assert repeated([trigger["subscription"] for _, trigger in triggers("push")]) == set()
    assert repeated([trigger["name"] for _, trigger in triggers("schedules")]) == set()


def test_dead_letters_have_one_consumer() -> None:
    assert len(triggers("dead_letters")) == 1


@pytest.mark.parametrize("name", ["desk", "notify"])
def test_who_sends_again_what_others_left_may_send_all_of_it(name: str) -> None:
    """The desk replays a dead letter of any topic and wakes any row of the outbox, as notify's relay does."""
    (row,) = [row for row in ROWS if row["name"] == name]

    assert set(row["publishes"]) == {topic["name"] for topic in TABLE["topics"]}
    assert set(row["enqueues"]) == {queue["name"] for queue in TABLE["queues"]}


def test_every_topic_is_written_by_code_and_read_by_a_subscription_or_says_why_not() -> None:
    """S61: an event that nobody produces, or that nobody hears, is silent in production."""
    code = [file.read_text() for file in (ROOT / "shared").rglob("*.py")]
    sql = [file.read_text() for file in (ROOT / "migrations").rglob("*.sql")]
    written = {topic for text in code for topic in re.findall(r'\bEvent\(\s*"([a-z-]+)"', text)}
    written |= {topic for text in sql for topic in re.findall(r"'topic:([a-z-]+)'", text)}
    read = {trigger["topic"] for _, trigger in triggers("push")}

    assert written == read == {topic["name"] for topic in TABLE["topics"] if "unused" not in topic}


def test_an_ack_deadline_is_above_its_functions_timeout() -> None:
    for row, trigger in triggers("push") + triggers("dead_letters"):
        assert row["timeout_s"] < trigger["ack_deadline_s"] <= PUBSUB_LONGEST_ACK_DEADLINE_S


def test_a_queues_worker_ends_before_the_task_does() -> None:
    assert [row["name"] for row, _ in triggers("queues") if row["timeout_s"] >= CLOUD_TASKS_DEADLINE_S] == []


def test_every_schedule_is_a_cron_line_of_five_fields() -> None:
    field = r"(\*|\d+(-\d+)?(,\d+(-\d+)?)*)(/\d+)?"
    lines = [trigger["cron"] for _, trigger in triggers("schedules")]

    assert [line for line in lines if not re.fullmatch(rf"{field}( {field}){{4}}", line)] == []


@row_by_row
def test_numbers_fit_the_platform(row: dict[str, Any]) -> None:
    assert 5 < row["timeout_s"] <= 300  # a handler gives up five seconds before the platform does
    assert 1 <= row["concurrency"] <= 80
    assert row["concurrency"] == 1 or row["cpu"] >= 1  # Cloud Run: more than one request at a time needs a whole CPU
    assert 2 <= row["pool_size"] <= min(3, row["concurrency"])
    assert 0 <= row["min_instances"] < row["max_instances"]
    assert re.fullmatch(r"(256|512)Mi|[1248]Gi", row["memory"])


@row_by_row
def test_what_a_row_names_is_read_by_the_settings(row: dict[str, Any]) -> None:
    code = "\n".join(file.read_text() for file in (ROOT / "shared" / "settings").rglob("*.py"))

    assert set(row["secrets"]) & set(row["settings"]) == set()
    assert [name for name in row["secrets"] + row["settings"] if f'"{name}"' not in code] == []


# What every process is told, whatever its row says: infra/terraform/functions.tf and local/environment.py.
PLATFORM = {
    "VITRINE_DEPLOYMENT",
    "VITRINE_ENVIRONMENT",
    "GOOGLE_CLOUD_PROJECT",
    "FUNCTION_TIMEOUT_S",
    "POOL_SIZE",
    "DATABASE_ACCESS",
    "DATABASE_URL",
    "DATABASE_INSTANCE",
    "DATABASE_HOST",
    "DATABASE_CA",
    "DATABASE_NAME",
    "DATABASE_USER",
    "TASKS_LOCATION",
    "TASKS_INVOKER",
    "PUBSUB_EMULATOR_HOST",
    "CLOUD_TASKS_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
    "STORAGE_KEY_FILE",
}


def test_what_the_settings_read_is_named_by_a_row_or_told_to_every_process() -> None:
    read = {
        call.args[0].value
        for file in (ROOT / "shared" / "settings").rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"text", "parsed", "positive", "choice", "base_url"}
    }
    named = {name for row in ROWS for name in row["secrets"] + row["settings"]}

    assert read - named == PLATFORM


@row_by_row
def test_who_has_to_do_with_a_bucket_knows_its_name_and_nobody_writes_to_the_public_but_a_job(
    row: dict[str, Any],
) -> None:
    setting_of = {"uploads": "UPLOADS_BUCKET", "media": "MEDIA_BUCKET"}
    buckets: dict[str, list[str]] = row.get("buckets", {})

    assert set(buckets) <= set(setting_of)
    assert {verb for verbs in buckets.values() for verb in verbs} <= {"sign", "read", "create", "delete"}
    assert {setting_of[bucket] for bucket in buckets} == set(row["settings"]) & set(setting_of.values())
    assert "media" not in buckets or (row["access"] == "jobs" and "sign" not in buckets["media"])
    assert "sign" not in buckets.get("uploads", []) or "create" in buckets["uploads"]


@row_by_row
def test_grants_name_privileges(row: dict[str, Any]) -> None:
    for privileges in row.get("grants", {}).get("tables", {}).values():
        names = {name for entry in privileges for name in (entry if isinstance(entry, dict) else [entry])}
        assert names <= PRIVILEGES
