"""Prints the OpenAPI document of all functions: `python -m tools.openapi > docs/openapi.json`."""

import importlib
import json
from pathlib import Path

from shared.edge.api import Api
from shared.edge.openapi import describe

ROOT = Path(__file__).resolve().parent.parent
VERSION = "1"


def find_apis() -> list[Api]:
    """Every Api that a main.py under functions/ makes; importing one makes nothing else (DESIGN.md rule 14)."""
    found: dict[str, Api] = {}
    for main in sorted((ROOT / "functions").glob("*/main.py")):
        module = importlib.import_module(f"functions.{main.parent.name}.main")
        found.update({value.name: value for value in vars(module).values() if isinstance(value, Api)})
    return [found[name] for name in sorted(found)]


def document() -> str:
    return json.dumps(describe(find_apis(), version=VERSION), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(document(), end="")
