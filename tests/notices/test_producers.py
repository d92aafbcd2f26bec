"""Every template's event has a producer, and every event of an order has a template or is silent on purpose (S61)."""

import ast
import re
from pathlib import Path
from typing import get_args, get_type_hints

from shared.notices.mails import SILENT, TEMPLATES
from shared.orders.settling import Wish

ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"(order|payment|return)\.[a-z_]+")
_IN_SQL = re.compile(r"'topic:orders',\s*'([a-z_.]+)'")


def produced() -> set[str]:
    """The names of events that code writes into the topic `orders`: in Python, composed from a wish, or in SQL."""
    names: set[str] = set()
    for file in [*(ROOT / "shared" / "orders").rglob("*.py"), *(ROOT / "shared" / "persistence").rglob("*.py")]:
        tree = ast.parse(file.read_text())
        within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
                names |= {node.value} if _NAME.fullmatch(node.value) else set()
            elif isinstance(node, ast.JoinedStr) and ast.unparse(node) == "f'order.{wish.to}'":
                names |= {f"order.{to}" for to in get_args(get_type_hints(Wish)["to"])}
    for file in (ROOT / "migrations").rglob("*.sql"):
        names |= set(_IN_SQL.findall(file.read_text()))
    return names


def test_every_event_that_is_mailed_is_produced_and_none_is_forgotten() -> None:
    assert produced() == set(TEMPLATES) | SILENT


def test_every_template_has_its_files_and_every_file_its_template() -> None:
    folder = ROOT / "shared" / "notices" / "templates"

    found = sorted(file.name for file in folder.iterdir() if not file.name.startswith("_"))

    assert found == sorted(f"{name}.{kind}" for name in TEMPLATES.values() for kind in ("html", "txt"))
