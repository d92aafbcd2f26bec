"""Slugs from names in any script."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.slugs import MAX_LENGTH, product_slugs, slug_of


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Brass Lamp", "brass-lamp"),
        ("Straße & Ärger", "strasse-arger"),
        ("中文", "zhong-wen"),
        ("Кофе", "kofe"),
        ("قهوة", "qhw"),
        ("  --Lamp!!  ", "lamp"),
        ("Crème brûlée No. 2", "creme-brulee-no-2"),
        ("🙂🙂", "product"),
        ("", "product"),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("../../etc/passwd", "etc-passwd"),
    ],
)
def test_a_name_in_any_script_becomes_a_slug(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_a_name_of_ten_thousand_characters_becomes_a_short_slug_of_whole_words() -> None:
    slug = slug_of("lamp " * 2000)

    assert slug == "-".join(["lamp"] * 16)
    assert len(slug) <= MAX_LENGTH


@given(st.text(max_size=300))
def test_every_text_has_a_slug_of_plain_ascii(name: str) -> None:
    slug = slug_of(name)

    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= MAX_LENGTH
    assert slug_of(name) == slug


def test_a_product_may_take_its_name_then_its_name_and_key_then_a_mark_of_its_own() -> None:
    assert product_slugs("Brass Lamp", "BL-1") == ("brass-lamp", "brass-lamp-bl-1", "brass-lamp-c8d12ce01f37")


def test_a_product_without_a_readable_name_is_called_by_its_key() -> None:
    assert product_slugs("🙂", "SMILE-1")[0] == "smile-1"
    assert product_slugs("🙂", "🙂")[0].startswith("product-")
