from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.local.conftest import RunningCloud


def test_a_schedule_that_became_due_many_times_runs_once_and_in_order(cloud: "RunningCloud") -> None:
    cloud.post("/_local/clock", {"advance_s": 3600})  # past the first hour, whatever time it was
    before, runs = cloud.jobs(), {row["name"]: row["runs"] for row in cloud.call("/_local/schedules").json}

    answer = cloud.post("/_local/clock", {"advance_s": 49 * 3600})

    jobs = cloud.jobs()[len(before) :]
    assert answer.status == 200
    assert [run["status"] for run in answer.json["schedules"]] == [200, 200]
    # Hourly is due within the hour, daily at 04:30: between 04:00 and 04:30 the other one comes first.
    order = [job["job"].removeprefix("worker/") for job in jobs]
    assert sorted(order) == ["daily", "hourly"]
    assert [job["body"] for job in jobs] == ["{}", "{}"]
    after = {row["name"]: row["runs"] for row in cloud.call("/_local/schedules").json}
    assert after == {name: count + 1 for name, count in runs.items()}


def test_all_processes_see_the_later_time_at_once(cloud: "RunningCloud") -> None:
    before = cloud.call("/v1/echo").json

    offset_s = cloud.post("/_local/clock", {"advance_s": 1000}).json["offset_s"]

    after = cloud.call("/v1/echo").json
    assert after["pid"] == before["pid"]
    assert 1000 <= after["time"] - before["time"] < 1060
    assert cloud.call("/_local/clock").json["offset_s"] == offset_s


def test_the_clock_refuses_to_go_back(cloud: "RunningCloud") -> None:
    before = cloud.call("/_local/clock").json["offset_s"]

    for wrong in (-1, "1", None, True, float("nan")):
        assert cloud.post("/_local/clock", {"advance_s": wrong}).status == 400

    assert cloud.call("/_local/clock").json["offset_s"] == before
    now = datetime.fromisoformat(cloud.call("/_local/clock").json["now"])
    assert now.tzinfo == UTC
