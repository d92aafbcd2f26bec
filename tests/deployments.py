"""functions/deployments.yaml as it stands there, read once for every test that holds something to it."""

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[1] / "functions" / "deployments.yaml"
TABLE: dict[str, Any] = yaml.load(FILE.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
ROWS: list[dict[str, Any]] = TABLE["deployments"]
