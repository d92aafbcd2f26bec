"""What prices become in a bulk edit: whole units of what can be charged, rounded half-up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.editing import check_price, percent_more
from shared.kernel.errors import Invalid


@pytest.mark.parametrize(
    ("price_minor", "percent", "currency", "becomes"),
    [
        (1999, "-10", "USD", 1799),  # 1799.1
        (1995, "-10", "USD", 1796),  # 1795.5
        (1005, "-50", "USD", 503),  # 502.5
        (3, "50", "USD", 5),  # 4.5
        (1999, "12.25", "USD", 2244),  # 2243.8775
        (1999, "-100", "USD", 0),
        (1999, "0", "USD", 1999),
        (1999, "999.99", "USD", 21989),  # 21988.8001
        (105, "10", "JPY", 116),  # 115.5
        (99_000, "-12.5", "HUF", 86_600),  # 866.25 forint
        (99_900, "-12.5", "HUF", 87_400),  # 874.125 forint
        (10_000, "0.5", "HUF", 10_100),  # 100.5 forint
        (10**12, "-0.01", "USD", 999_900_000_000),
    ],
)
def test_a_percentage_is_rounded_half_up_to_what_can_be_charged(
    price_minor: int, percent: str, currency: str, becomes: int
) -> None:
    assert percent_more(price_minor, Decimal(percent), currency) == becomes


@given(st.integers(0, 10**12), st.integers(-10_000, 99_999))
def test_a_percentage_is_off_by_half_a_cent_at_most(price_minor: int, hundredths: int) -> None:
    made = percent_more(price_minor, Decimal(hundredths) / 100, "USD")

    assert abs(made * 10_000 - price_minor * (10_000 + hundredths)) <= 5_000


@pytest.mark.parametrize(
    ("price_minor", "currency", "reason"),
    [
        (-1, "USD", "LAMP would cost less than nothing"),
        (10**12 + 1, "USD", "LAMP would cost too much"),
        (150, "HUF", "HUF is paid in whole units only, and LAMP would have decimals"),
    ],
)
def test_a_price_that_cannot_be_charged_is_refused(price_minor: int, currency: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_price("LAMP", price_minor, currency, pointer="/price")

    assert [(field.pointer, field.detail) for field in refused.value.fields] == [("/price", reason)]
