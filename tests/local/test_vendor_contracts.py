"""The published schemas that the simulators are held to: whether they are here, and whether a breach would be seen."""

from pathlib import Path

import pytest

from tests.local.vendor_processes import (
    DISPUTES_V1,
    MAIL_V3,
    ORDERS_V2,
    PAYMENTS_V2,
    WEBHOOKS_V1,
    Answer,
    Contract,
)


def test_the_published_schemas_are_compared_with(shared_data: Path) -> None:
    names = {path.name for path in (shared_data / "contracts").iterdir()}

    assert {ORDERS_V2, PAYMENTS_V2, WEBHOOKS_V1, DISPUTES_V1, MAIL_V3} <= names


@pytest.mark.usefixtures("shared_data")
def test_an_answer_against_its_schema_is_seen() -> None:
    body = b'{"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "NOT_AN_ISSUE", "description": "?"}]}'

    with pytest.raises(AssertionError, match="NOT_AN_ISSUE"):
        Contract(ORDERS_V2).check(Answer(422, {}, body), "POST", "/v2/checkout/orders")
    with pytest.raises(AssertionError, match="418"):
        Contract(ORDERS_V2).check(Answer(418, {}, b"{}"), "POST", "/v2/checkout/orders")
