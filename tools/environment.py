"""Makes .venv what requirements/dev.txt says. Standard library only: it runs before anything is installed.

Safe to interrupt and to run twice at once: a lock file lets one work, and the stamp, a hash of the lock and of the
interpreter, is written last. Everything is installed with hashes checked and with compiled bytecode, whatever
PYTHONDONTWRITEBYTECODE says in the caller's shell: without it a function starts five to twenty times as slowly.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  # this file is what tells an older Python so
        print(f"Vitrine needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text() == _wanted():
            STAMP.touch()  # younger than the lock file: make need not ask again
            return 0
        return _install()


def _wanted() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()


def _install() -> int:
    print("Installing what requirements/dev.txt names into .venv, once.", flush=True)
    STAMP.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if not _runs(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"], environment):
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], env=environment, check=False)
        if made.returncode != 0:
            print("python -m venv failed (on Debian: apt-get install python3-venv).", file=sys.stderr)
            return 1
    if not _runs(["-m", "pip", "--version"], environment) and not _runs(["-m", "ensurepip"], environment):
        return 1
    if not _install_by_uv(environment) and not _install_by_pip(REQUIREMENTS, environment):
        print(
            "The packages of requirements/dev.txt could not be installed; what failed is said above.", file=sys.stderr
        )
        return 1
    STAMP.write_text(_wanted())
    return 0


def _install_by_uv(environment: dict[str, str]) -> bool:
    """The quick way: uv is one of the pinned packages. Where it fails (an index that only pip knows), pip does it."""
    pinned = re.search(r"^uv==(?:.*\\\n)*.*", REQUIREMENTS.read_text(), re.MULTILINE)
    if pinned is None:
        return False
    only_uv = VENV / "uv.txt"
    only_uv.write_text(pinned.group() + "\n")
    if not _install_by_pip(only_uv, environment):
        return False
    install = [
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--compile-bytecode",
        "--python",
        str(PYTHON),
    ]
    # The machine's own certificates, as pip takes them: behind a company's proxy uv's built-in ones know nobody.
    ways = {"UV_HTTP_RETRIES": "1", "UV_SYSTEM_CERTS": "1"}
    return _runs([*install, "-r", str(REQUIREMENTS)], ways | environment)


def _install_by_pip(requirements: Path, environment: dict[str, str]) -> bool:
    install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "--compile", "--require-hashes"]
    return _runs([*install, "-r", str(requirements)], environment, quiet=False)


def _runs(arguments: list[str], environment: dict[str, str], *, quiet: bool = True) -> bool:
    if not PYTHON.exists():
        return False
    output = subprocess.DEVNULL if quiet else None
    return (
        subprocess.run([str(PYTHON), *arguments], env=environment, stderr=output, stdout=output, check=False).returncode
        == 0
    )


if __name__ == "__main__":
    sys.exit(main())
