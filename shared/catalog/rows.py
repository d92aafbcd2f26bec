"""A row of a file becomes an ImportLine, or a reason why not. Pure rules: no file, no database.

Columns (DESIGN.md section 9): sku, product, name, brand, category_path, description, price, currency, option.*,
weight_g, tax_class, image_url, on_hand, popularity; every other column becomes an attribute. `options` and `attributes`
hold several at once, as an object; in CSV that is JSON, as an export writes it.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, NoReturn

from shared.catalog.products import ImportLine, Refused
from shared.kernel.money import Money, charge_step_minor, minor_units

MAX_SKU = 64
MAX_NAME = 500
MAX_LEVELS = 8
MAX_DESCRIPTION = 50_000
MAX_ATTRIBUTES = 100_000
MAX_PRICE_MINOR = 10**12
MAX_UNITS = 1_000_000_000
MAX_OPTIONS = 20
MAX_IMAGES = 50

COLUMNS = frozenset(
    {
        "sku", "product", "name", "brand", "category_path", "description", "price", "currency", "weight_g", "tax_class",
        "image_url", "on_hand", "popularity", "option", "options", "attributes",
    }
)  # fmt: skip

_OPTION = "option."
# C0 and C1 controls; tab and line breaks are text in a description and white space in a name.
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DECIMAL = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})")
_LINE_BREAK = re.compile(r"\r+\n")
_TAX_CLASS = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def column_name(written: str) -> str:
    """A header as its column: known ones in any capitals, others as they are written."""
    name = " ".join(written.split())
    lower = name.lower()
    if lower in COLUMNS:
        return lower
    return _OPTION + name[len(_OPTION) :].strip() if lower.startswith(_OPTION) else name


def read_row(line: int, row: Mapping[str, Any], *, currency: str) -> ImportLine:
    """What the row says, for a shop that sells in `currency`. Raises Refused with the first reason found."""
    cells = {column_name(name): value for name, value in row.items()}
    sku = _sku("sku", cells.get("sku"))
    if sku is None:
        raise Refused("sku is missing")
    _check_currency(cells.get("currency"), currency)
    return ImportLine(
        line=line,
        sku=sku,
        group_key=_sku("product", cells.get("product")),
        name=_name("name", cells.get("name")),
        brand=_clearing("brand", cells),
        category=_category(cells),
        description=_description(cells),
        price_minor=_price(cells.get("price"), currency),
        currency=currency,
        options=_options(cells),
        weight_g=_whole("weight_g", cells.get("weight_g"), rounded=True),
        tax_class=_tax_class(cells.get("tax_class")),
        image_urls=_images(cells),
        on_hand=_whole("on_hand", cells.get("on_hand")),
        popularity=_whole("popularity", cells.get("popularity")),
        attributes=_attributes(cells),
    )


def _text(column: str, value: Any) -> str:
    """The cell as clean text; empty where it says nothing. Raises Refused for what PostgreSQL could not keep."""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise Refused(f"{column} is not a text")
    text = str(value)
    if "\0" in text:
        raise Refused(f"{column} contains a NUL character")
    if not text.isascii():
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise Refused(f"{column} is not valid UTF-8")
        text = unicodedata.normalize("NFC", text)
    return _CONTROL.sub(" ", text).strip()


def _name(column: str, value: Any, limit: int = MAX_NAME) -> str | None:
    text = " ".join(_text(column, value).split())
    if len(text) > limit:
        raise Refused(f"{column} is longer than {limit} characters")
    return text or None


def _sku(column: str, value: Any) -> str | None:
    text = _name(column, value, MAX_SKU)
    if text in (".", ".."):
        raise Refused(f"{column} cannot be {text!r}: it would not survive an address")
    return text


def _clearing(column: str, cells: Mapping[str, Any]) -> str | None:
    """None where there is no such column, an empty text where the cell is empty."""
    return _name(column, cells[column]) or "" if column in cells else None


def _category(cells: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "category_path" not in cells:
        return None
    written = _text("category_path", cells["category_path"])
    names = tuple(" ".join(name.split()) for name in written.split(">")) if written else ()
    if not all(names):
        raise Refused("category_path has an empty level")
    if len(names) > MAX_LEVELS:
        raise Refused(f"category_path has more than {MAX_LEVELS} levels")
    if any(len(name) > 200 for name in names):
        raise Refused("category_path has a level longer than 200 characters")
    return names


def _description(cells: Mapping[str, Any]) -> str | None:
    if "description" not in cells:
        return None
    text = _LINE_BREAK.sub("\n", _text("description", cells["description"]))
    if len(text) > MAX_DESCRIPTION:
        raise Refused(f"description is longer than {MAX_DESCRIPTION} characters")
    return text


def _check_currency(value: Any, currency: str) -> None:
    named = _text("currency", value).upper()
    if named and named != currency:
        raise Refused(f"currency is {named[:20]}, and the shop sells in {currency}")


def _number(column: str, value: Any) -> Decimal | None:
    if isinstance(value, bool):
        raise Refused(f"{column} is not a number")
    if isinstance(value, int | Decimal):
        number = Decimal(value)
    else:
        text = _text(column, value)
        if not text:
            return None
        if not _DECIMAL.fullmatch(text) or not text.isascii():
            raise Refused(f"{column} is not a number: {text[:40]!r} (digits, with a point before the decimals)")
        number = Decimal(text)
    # A JSON number may be 1e999999999, whose digits would fill the memory.
    if not number.is_finite() or number.adjusted() > 18:
        raise Refused(f"{column} is too large")
    if number < 0:
        raise Refused(f"{column} is negative")
    return number


def _price(value: Any, currency: str) -> int | None:
    number = _number("price", value)
    if number is None:
        return None
    try:
        minor = Money.from_major(number, currency).minor
    except (ValueError, InvalidOperation):
        raise Refused(f"price has more decimals than {currency} has ({minor_units(currency)})") from None
    if minor % charge_step_minor(currency):
        raise Refused(f"price has decimals, and {currency} is paid in whole units only")
    if minor > MAX_PRICE_MINOR:
        raise Refused("price is too large")
    return minor


def _whole(column: str, value: Any, *, rounded: bool = False) -> int | None:
    number = _number(column, value)
    if number is None:
        return None
    if rounded:
        number = number.quantize(Decimal(1), ROUND_HALF_UP)
    if number != number.to_integral_value():
        raise Refused(f"{column} is not a whole number")
    if number > MAX_UNITS:
        raise Refused(f"{column} is too large")
    return int(number)


def _tax_class(value: Any) -> str | None:
    text = _text("tax_class", value).lower()
    if text and not _TAX_CLASS.fullmatch(text):
        raise Refused("tax_class is not a word of letters, digits, - and _")
    return text or None


def _options(cells: Mapping[str, Any]) -> Mapping[str, str] | None:
    said: dict[str, Any] = {}
    for column in ("option", "options"):
        value = _from_json(cells.get(column), "{")
        if isinstance(value, Mapping):
            said.update(value)
        elif value not in (None, ""):
            raise Refused(f"{column} is not an object; as a column it is called option.<name>")
    said.update({name[len(_OPTION) :]: value for name, value in cells.items() if name.startswith(_OPTION)})
    options: dict[str, str] = {}
    for name, value in said.items():
        key, text = _name("option", name, 60), _name(f"option.{name}"[:60], value, 200)
        if text and not key:
            raise Refused("an option has no name")
        if key and text:
            options[key] = text
    if len(options) > MAX_OPTIONS:
        raise Refused(f"more than {MAX_OPTIONS} options")
    return options or None


def _images(cells: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "image_url" not in cells:
        return None
    value = _from_json(cells["image_url"], "[")
    parts = value if isinstance(value, list) else _text("image_url", value).split()
    urls = tuple(url for url in (_text("image_url", part) for part in parts) if url)
    if len(urls) > MAX_IMAGES or any(len(url) > 2000 for url in urls):
        raise Refused("image_url is too long")
    for url in urls:
        # An address of the web, or a path below MEDIA_URL; never javascript: or data:.
        if ":" in url.split("/", 1)[0] and not url.startswith(("http://", "https://")):
            raise Refused(f"image_url is not an http(s) address: {url[:40]!r}")
    return urls


def _from_json(value: Any, opening: str) -> Any:
    """What a cell of text that begins so says as JSON; whatever is none stays the text that it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        return json.loads(value, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _attributes(cells: Mapping[str, Any]) -> Mapping[str, Any]:
    said: dict[str, Any] = {}
    nested = _from_json(cells.get("attributes"), "{")
    if isinstance(nested, Mapping):
        said.update(nested)
    elif nested not in (None, ""):
        raise Refused("attributes is not an object")
    said.update(
        {name: value for name, value in cells.items() if name not in COLUMNS and not name.startswith(_OPTION) and name}
    )
    named = {_text("attributes", name): value for name, value in said.items()}
    plain = {name: _plain(name[:60], value) for name, value in named.items() if name}
    if len(json.dumps(plain)) > MAX_ATTRIBUTES:
        raise Refused(f"attributes are longer than {MAX_ATTRIBUTES} characters")
    return plain


def _plain(column: str, value: Any, depth: int = 0) -> Any:
    """A JSON value that PostgreSQL keeps as it is; an empty text is None, which takes the attribute away."""
    if depth > 8:
        raise Refused(f"{column} is nested too deeply")
    if isinstance(value, str):
        return _text(column, value) or None
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > 300:
            raise Refused(f"{column} is too large")
        return int(value) if value == value.to_integral_value() and value.adjusted() < 15 else float(value)
    if isinstance(value, Mapping):
        return {_text(column, name): _plain(column, part, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(column, part, depth + 1) for part in value]
    return value
