"""PayPal's sums, for any order: what adds up is taken, and a cent more or less anywhere is not."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.paypal.money import CURRENCIES, decimals, fee_of
from local.paypal.order_rules import check_order, normal
from local.paypal.problems import Problem
from tests.numbers import PROPERTY_EXAMPLES

MINOR = st.integers(1, 1_000_000)
LINES = st.lists(st.tuples(MINOR, st.integers(1, 99)), min_size=1, max_size=5)


def shown(minor: int, currency: str) -> dict[str, str]:
    return {"currency_code": currency, "value": str(Decimal(minor).scaleb(-decimals(currency)))}


def order(lines: list[tuple[int, int]], shipping: int, tax: int, currency: str) -> dict[str, Any]:
    items = sum(price * quantity for price, quantity in lines)
    breakdown = {"item_total": items, "shipping": shipping, "tax_total": tax, "discount": min(items, 7)}
    total = items + shipping + tax - min(items, 7)
    return {
        "intent": "CAPTURE",
        "purchase_units": [
            {
                "amount": {
                    **shown(total, currency),
                    "breakdown": {part: shown(minor, currency) for part, minor in breakdown.items()},
                },
                "items": [
                    {"name": "Thing", "quantity": str(quantity), "unit_amount": shown(price, currency)}
                    for price, quantity in lines
                ],
            }
        ],
    }


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None)
@given(LINES, MINOR, MINOR, st.sampled_from(sorted(CURRENCIES)), st.sampled_from([-1, 1]), st.integers(0, 5))
def test_what_adds_up_is_taken_and_a_cent_more_or_less_is_not(
    lines: list[tuple[int, int]], shipping: int, tax: int, currency: str, off_by: int, where: int
) -> None:
    request = order(lines, shipping, tax, currency)
    check_order(request)

    wrong = deepcopy(request)
    amount = wrong["purchase_units"][0]["amount"]
    places = [amount, *amount["breakdown"].values(), wrong["purchase_units"][0]["items"][0]["unit_amount"]]
    place = places[where]
    place["value"] = str(Decimal(place["value"]) + Decimal(off_by).scaleb(-decimals(currency)))

    with pytest.raises(Problem) as refused:
        check_order(wrong)
    assert refused.value.status == 422
    assert refused.value.details[0]["issue"] in {
        "AMOUNT_MISMATCH", "ITEM_TOTAL_MISMATCH", "CANNOT_BE_NEGATIVE", "CANNOT_BE_ZERO_OR_NEGATIVE",
    }  # fmt: skip


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None)
@given(LINES, MINOR, MINOR, st.sampled_from(sorted(CURRENCIES)))
def test_amounts_are_shown_with_all_their_decimals_and_stay_what_they_were(
    lines: list[tuple[int, int]], shipping: int, tax: int, currency: str
) -> None:
    [unit] = order(lines, shipping, tax, currency)["purchase_units"]

    amount = normal(unit)["amount"]

    assert Decimal(amount["value"]) == Decimal(unit["amount"]["value"])
    assert len(amount["value"].partition(".")[2]) == decimals(currency)
    assert 0 <= fee_of(amount) <= Decimal(amount["value"])
