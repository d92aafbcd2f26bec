from multiprocessing import get_context
from pathlib import Path

import pytest

from local.faults import Faults


def test_a_fault_fires_as_often_as_it_was_asked_for_and_says_so(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "faults.db")
    first = faults.add("paypal", "lose", count=2, path="/v2/")

    drawn = [faults.draw("paypal", "/v2/checkout/orders") for _ in range(3)]

    assert drawn == ["lose", "lose", None]
    assert faults.list() == [{"id": first, "target": "paypal", "fault": "lose", "path": "/v2/", "left": 0, "fired": 2}]


def test_a_fault_leaves_other_targets_and_paths_alone(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "faults.db")
    faults.add("paypal", "error", path="/v2/")

    assert faults.draw("sendgrid", "/v2/") is None
    assert faults.draw("paypal", "/v1/oauth2/token") is None
    assert faults.draw("paypal", "/v2/") == "error"


def test_the_first_calls_are_let_through(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "faults.db")
    faults.add("webhooks", "repeat", after=2)

    assert [faults.draw("webhooks", "/") for _ in range(4)] == [None, None, "repeat", None]


def test_two_faults_take_turns(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "faults.db")
    faults.add("tasks-push", "lose")
    faults.add("tasks-push", "error")

    assert [faults.draw("tasks-push", "/") for _ in range(3)] == ["lose", "error", None]


def test_a_probability_draws_the_same_calls_for_the_same_seed(tmp_path: Path) -> None:
    runs = []
    for run in range(2):
        faults = Faults(tmp_path / f"faults-{run}.db")
        faults.add("pubsub-push", "delay", probability=0.5, seed=7)
        runs.append([faults.draw("pubsub-push", "/") for _ in range(40)])

    assert runs[0] == runs[1]
    assert {None, "delay"} == set(runs[0])
    assert faults.list()[0]["left"] is None
    assert faults.list()[0]["fired"] == sum(fault == "delay" for fault in runs[1])


def test_clear_forgets_all(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "faults.db")
    faults.add("turnstile", "error")

    faults.clear()

    assert faults.list() == []
    assert faults.draw("turnstile", "/") is None


@pytest.mark.parametrize(
    "wrong", [{"target": "nobody"}, {"fault": "explode"}, {"count": 0}, {"after": -1}, {"probability": 1.5}]
)
def test_a_fault_that_no_server_knows_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    faults = Faults(tmp_path / "faults.db")

    with pytest.raises(ValueError, match="must"):
        faults.add(**{"target": "paypal", "fault": "lose", **wrong})  # type: ignore[arg-type]

    assert faults.list() == []


def _draw_ten(path: str) -> int:
    faults = Faults(path)
    return sum(faults.draw("paypal", "/") == "error" for _ in range(10))


def test_processes_share_one_count(tmp_path: Path) -> None:
    path = str(tmp_path / "faults.db")
    with get_context("spawn").Pool(3) as pool:
        Faults(path).add("paypal", "error", count=17)
        fired = pool.map(_draw_ten, [path] * 3)

    assert sum(fired) == 17
