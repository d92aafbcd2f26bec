"""Importing the edge and the settings opens, starts and reads nothing (DESIGN.md rule 14), and costs little."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

_IMPORT = """
import json, sys, threading
seen = []
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "os.system")):
        seen.append(event)
sys.addaudithook(hook)
import shared.edge.api, shared.edge.callers, shared.edge.services, shared.settings, shared.kernel.tokens
api = shared.edge.api.Api("x", services=shared.edge.services.Services(platform=None, ping=None))
heavy = {"grpc", "aiohttp", "sqlalchemy", "requests", "sendgrid", "cryptography", "pg8000", "urllib3", "yaml"}
# google and google.cloud are there from the start: their .pth files make namespace packages.
heavy = sorted(name for name in sys.modules if name.split(".")[0] in heavy or name.startswith("google.cloud."))
print(json.dumps({"seen": seen, "threads": threading.active_count(), "heavy": heavy}))
"""


def test_importing_the_edge_and_making_an_api_opens_nothing_and_starts_nothing() -> None:
    output = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},  # without any setting, it must import all the same
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(output.stdout) == {"seen": [], "threads": 1, "heavy": []}
