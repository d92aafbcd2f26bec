"""A deployment's app in this process, as functions-framework makes it in a process of its own."""

import sys
from pathlib import Path
from types import ModuleType

import flask
import functions_framework
import pytest

FUNCTIONS = Path(__file__).resolve().parents[1] / "functions"


def serve(entry_point: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> tuple[flask.Flask, ModuleType]:
    """The app and the main module of functions/<folder>, imported anew: what another test's has made, it has not."""
    package = f"functions.{folder}"
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", list(sys.path))
    app: flask.Flask = functions_framework.create_app(  # type: ignore[no-untyped-call]
        entry_point, str(FUNCTIONS / folder / "main.py")
    )
    return app, sys.modules.pop("main")
