from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.google.identity import Issuer

if TYPE_CHECKING:
    from tests.local.conftest import RunningCloud

from tests.local.conftest import call

TASKS = "tasks@vitrine-local.iam.gserviceaccount.com"


@pytest.fixture
def issuer(cloud: "RunningCloud") -> Issuer:
    return Issuer(cloud.folder / "state" / "keys" / "oidc.pem")


def _now(cloud: "RunningCloud") -> float:
    return float(cloud.call("/v1/echo").json["time"])


def _post(url: str, token: str | None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return call(f"{url}/jobs/errands", "POST", b"{}", headers).status


def test_an_invoker_with_a_token_for_this_function_gets_through(cloud: "RunningCloud", issuer: Issuer) -> None:
    front = cloud.about["fronts"]["worker"]
    before = len(cloud.jobs())

    assert _post(front, issuer.token(TASKS, front, now=_now(cloud))) == 200
    assert [row["job"] for row in cloud.jobs()[before:]] == ["errands"]


def test_nobody_else_gets_through(cloud: "RunningCloud", issuer: Issuer, tmp_path: Path) -> None:
    front, now = cloud.about["fronts"]["worker"], _now(cloud)
    before = len(cloud.jobs())
    good = issuer.token(TASKS, front, now=now)
    head, body, signature = good.split(".")

    refused = {
        "none": None,
        "empty": "",
        "no token": "abc",
        "changed body": f"{head}.{body[:-2]}AA.{signature}",
        "no signature": f"{head}.{body}.",
        "another audience": issuer.token(TASKS, cloud.url, now=now),
        "another key": Issuer(tmp_path / "other.pem").token(TASKS, front, now=now),
        "too old": Issuer(cloud.folder / "state" / "keys" / "oidc.pem").token(TASKS, front, now=now - 3700),
    }

    assert {name: _post(front, token) for name, token in refused.items()} == dict.fromkeys(refused, 401)
    assert _post(front, issuer.token("search@vitrine-local.iam.gserviceaccount.com", front, now=now)) == 403
    assert len(cloud.jobs()) == before
