"""Rules broken on purpose, one at a time, in a copy of the tree that is thrown away: does anybody notice?

`python -m tools.breaking` prints rule, what was broken and which tests failed; 1 where a broken rule went unnoticed.
Names narrow: `python -m tools.breaking lock outbox`. `--chaos N` tells N random histories to each broken tree as well.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.scratch_database import ROOT

MUTATIONS = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` becomes `new` wherever it stands in the files of this pattern; it must stand somewhere."""

    files: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule of DESIGN.md section 3 (its number), how it is broken, and the tests that are there to notice."""

    name: str
    rule: str
    broken: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def read_mutations() -> list[Mutation]:
    """What tools/breaking.toml lists."""
    listed = tomllib.loads(MUTATIONS.read_text())["mutation"]
    return [
        Mutation(
            each["name"],
            each["rule"],
            each["broken"],
            tuple(Edit(edit["files"], edit["old"], edit["new"]) for edit in each["edit"]),
            tuple(each["tests"]),
        )
        for each in listed
    ]


class Copy:
    """The tree without what git ignores, beside the same shared data, using the same environment."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(".venv"):
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        if (ROOT.parent / "shared").is_dir():
            (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())

    def break_rule(self, edits: Iterable[Edit]) -> dict[Path, str]:
        """Make the edits; returns what the files were."""
        before: dict[Path, str] = {}
        for edit in edits:
            for file in fitting(edit, self.root):
                text = file.read_text()
                before.setdefault(file, text)
                file.write_text(text.replace(edit.old, edit.new))
        return before

    def mend(self, before: dict[Path, str]) -> None:
        for file, text in before.items():
            file.write_text(text)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def test(self, tests: Sequence[str]) -> tuple[list[str], list[str]]:
        """Which tests failed, and what could not even be tried."""
        ran = self.run("pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "-x", "-rfE", *tests)
        failed = re.findall(r"^FAILED (\S+)", ran.stdout, re.MULTILINE)
        errors = re.findall(r"^ERROR (\S+)", ran.stdout, re.MULTILINE)
        if ran.returncode not in (0, 1):
            errors.append(ran.stdout[-2000:] + ran.stderr[-2000:])
        return failed, errors


def fitting(edit: Edit, root: Path) -> list[Path]:
    """The files in which an edit has something to change."""
    return [file for file in sorted(root.glob(edit.files)) if edit.old in file.read_text()]


def main(argv: Sequence[str] | None = None) -> int:
    mutations = read_mutations()
    parser = argparse.ArgumentParser(prog="python -m tools.breaking", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(each.name for each in mutations)}")
    parser.add_argument(
        "--chaos", type=int, default=0, metavar="N", help="also tell N histories against each broken tree"
    )
    options = parser.parse_args(argv)
    if unknown := set(options.names) - {each.name for each in mutations}:
        parser.error(f"no rule is named {', '.join(sorted(unknown))}")
    chosen = [each for each in mutations if not options.names or each.name in options.names]
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="vitrine-breaking-") as folder:
        copy = Copy(Path(folder))
        failed, errors = copy.test(sorted({test for each in chosen for test in each.tests}))
        if failed or errors:
            print(f"Before anything was broken: {failed or errors}")
            return 2
        for each in chosen:
            before = copy.break_rule(each.edits)
            failed, errors = copy.test(each.tests)
            noticed = [*(name.rpartition("::")[2] for name in failed)]
            if options.chaos:
                told = copy.run("tests.chaos", "--histories", str(options.chaos), "--tries", "0")
                noticed += [line.strip() for line in told.stdout.splitlines() if line.startswith("  - ")][:1]
            copy.mend(before)
            unnoticed += not noticed
            print(f"rule {each.rule}\n    broken:    {each.broken}")
            print(f"    caught by: {', '.join(noticed) if noticed else f'NOBODY {errors}'}", flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} broken rules were noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
