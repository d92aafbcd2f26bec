"""Importing a function opens, starts, reads and makes nothing (DESIGN.md rule 14, S63), and imports nothing heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py"))

_IMPORT = """
import importlib, json, sys, threading
done = []
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "os.system", "_thread.start")):
        done.append(event)
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(sys.argv[1]):
        if not any(part in arguments[0] for part in ("/.venv/", "/__pycache__/")) and arguments[0][-3:] != ".py":
            done.append("open " + arguments[0])
sys.addaudithook(hook)
importlib.import_module(sys.argv[2])
print(json.dumps({"done": done, "threads": threading.active_count(), "modules": sorted(sys.modules)}))
"""

# Each costs more at a cold start than all of ours together (FINDINGS A1); google and google.cloud themselves are there
# from the start, because .pth files make them namespace packages.
HEAVY = (
    "PIL", "aiohttp", "alembic", "babel", "cryptography", "google.api_core", "google.auth", "google.cloud.pubsub_v1",
    "google.cloud.sql", "google.cloud.storage", "google.cloud.tasks_v2", "google.pubsub_v1", "grpc", "reportlab",
    "requests", "sendgrid", "sqlalchemy", "urllib3", "yaml",
)  # fmt: skip


def import_alone(module: str) -> Any:
    """Import it in a process that has no setting at all."""
    output = subprocess.run(
        [sys.executable, "-c", _IMPORT, f"{ROOT}/", module],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.returncode == 0, output.stderr
    return json.loads(output.stdout)


@pytest.mark.parametrize("module", ["shared.edge.api", *(f"functions.{name}.main" for name in FUNCTIONS)])
def test_importing_a_function_opens_starts_and_reads_nothing(module: str) -> None:
    found = import_alone(module)

    assert (found["done"], found["threads"]) == ([], 1)
    assert [name for name in found["modules"] if name in HEAVY] == []
