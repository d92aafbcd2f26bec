"""Terraform's checks without a cloud account: fmt, init, validate; `--test` adds the configuration's own tests.

They need Terraform and the stand-in providers of ../shared/terraform; where either is missing, that is said and
nothing is checked. checkov reads the configuration too, where it is installed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.scratch_database import ROOT

CONFIGURATION = ROOT / "infra" / "terraform"
STAND_IN = ROOT.parent / "shared" / "terraform"


def missing() -> str | None:
    """What the checks lack here, or None."""
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    if not (STAND_IN / "setup.sh").is_file():
        return "../shared is not beside this checkout"
    return None


def check(*, with_tests: bool) -> "subprocess.CompletedProcess[str]":
    """Check a copy of the configuration with the table that it reads; nothing is left in the source tree."""
    providers = ROOT / "build" / "terraform-providers"
    # Every run reads a large schema again: a fifth less of a processor where garbage is collected less often.
    environment = {"GOGC": "400", **os.environ, "PYTHON": sys.executable}
    setup = [str(STAND_IN / "setup.sh"), str(providers), "--only", "google"]
    made = subprocess.run(
        setup, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if made.returncode != 0:
        return made
    with tempfile.TemporaryDirectory(prefix="vitrine-terraform-") as name:
        root = Path(name)
        shutil.copytree(CONFIGURATION, root / "infra" / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
        (root / "functions").mkdir()
        shutil.copyfile(ROOT / "functions" / "deployments.yaml", root / "functions" / "deployments.yaml")
        command = [str(providers / "bin" / "tfcheck"), *([] if with_tests else ["--no-test"])]
        return subprocess.run(
            [*command, str(root / "infra" / "terraform")],
            env=environment | {"TFCHECK_ROOT": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def main(arguments: list[str]) -> int:
    lacking = missing()
    if lacking is not None:
        print(f"Terraform is not checked: {lacking}.")
    else:
        checked = check(with_tests="--test" in arguments)
        print(checked.stdout, end="")
        if checked.returncode != 0:
            return checked.returncode
    if shutil.which("checkov") is None:
        print("checkov is not installed: it is not asked.")
        return 0
    command = ["checkov", "--config-file", str(CONFIGURATION / ".checkov.yaml")]
    return subprocess.run([*command, "-d", str(CONFIGURATION)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
