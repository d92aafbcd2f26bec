"""What opens a cart, an order or an account is not shown to staff, whatever text it stands in."""

import pytest

from shared.edge.masking import mask_id, mask_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"order": {"cart_id": "9f8e7d6c", "number": "7Z"}}', '{"order": {"cart_id": "***", "number": "7Z"}}'),
        ('{"cart_id":"a\\"b","n":1}', '{"cart_id":"***","n":1}'),
        ('{"cart_id": 7, "cart_version": 8}', '{"cart_id": "***", "cart_version": 8}'),
        ('{"cart_id": null, "token": ""}', '{"cart_id": null, "token": ""}'),
        ('{"cart_id": "9f8e7', '{"cart_id": "***"'),  # it was cut off
        ('{"access_token": "x", "Token": "y"}', '{"access_token": "***", "Token": "***"}'),
        ('{"verification_url": "https://s/v#k=x"}', '{"verification_url": "***"}'),
        ('{"reset_link": "https://s/r?x"}', '{"reset_link": "***"}'),
        ('{"approve_url": "https://paypal/x?token=1"}', '{"approve_url": "***"}'),
        (
            '{"href": "https://www.paypal.com/checkoutnow?token=5O190127", "rel": "approve"}',
            '{"href": "https://www.paypal.com/checkoutnow?token=***", "rel": "approve"}',
        ),
        ('{"href": "https://p/agree?a=1&ba_token=BA-7\\u0026b=2"}', '{"href": "https://p/agree?a=1&ba_token=***\\u0026b=2"}'),
        ('{"url": "https://s/orders/7Z#k=k1.ab-c_d"}', '{"url": "https://s/orders/7Z#k=***"}'),
        ("see https://s/orders/7Z#k=k1.abc!", "see https://s/orders/7Z#k=***!"),
        ('{"paypal_order_id": "5O1", "tracking_url": "https://t"}', '{"paypal_order_id": "5O1", "tracking_url": "https://t"}'),
        ("no JSON", "no JSON"),
    ],
)  # fmt: skip
def test_a_text_is_shown_without_what_opens_something(text: str, shown: str) -> None:
    assert mask_text(text) == shown


def test_of_an_id_that_opens_something_the_beginning_is_shown() -> None:
    assert mask_id("9f8e7d6c5b4a39281706f5e4d3c2b1a0") == "9f8e***"
