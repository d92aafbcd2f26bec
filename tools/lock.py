"""Locks the requirements: requirements/dev.txt for a developer's machine, functions/*/requirements.txt for archives.

Universal (every platform, Python 3.11 and newer), with hashes, naming no package index. A function's set is held to the
versions of dev.txt, so the tests run what is deployed.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEV = Path("requirements/dev.txt")


def main(arguments: list[str]) -> int:
    _compile(Path("requirements/dev.in"), DEV, *arguments)
    for source in sorted(Path("functions").glob("*/requirements.in")):
        _compile(source.relative_to("."), source.with_suffix(".txt"), "--constraint", str(DEV))
    return 0


def _compile(source: Path, target: Path, *options: str) -> None:
    lock = [
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-annotate",
    ]
    lock += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"]
    command = [sys.executable, "-m", "uv", *lock, *options, "--output-file", str(target), str(source)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    print(f"{target}: {sum(1 for line in target.read_text().splitlines() if '==' in line)} packages")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
