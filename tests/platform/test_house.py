import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = [ROOT / "requirements" / "dev.txt", *sorted((ROOT / "functions").glob("*/requirements.txt"))]


def pins(lock: Path) -> dict[str, str]:
    """Package -> version and marker."""
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==(.*?) ?\\$", lock.read_text(), re.MULTILINE))


def test_the_kernel_imports_the_standard_library_and_itself_alone() -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for file in (ROOT / "shared" / "kernel").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }

    foreign = {name for name in imported if name and name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("shared.kernel")} == set()


@pytest.mark.parametrize("lock", LOCKS, ids=[str(lock.relative_to(ROOT)) for lock in LOCKS])
def test_a_lock_has_hashes_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()

    assert len(pins(lock)) > 10
    requirements = [line for line in text.splitlines() if line[:1].isalnum()]
    assert len(requirements) == len(pins(lock)), "every requirement is pinned and followed by its hashes"
    assert re.findall(r"--(?:index-url|extra-index-url|find-links|trusted-host)|https?://|file://", text) == []


@pytest.mark.parametrize("lock", LOCKS[1:], ids=[lock.parent.name for lock in LOCKS[1:]])
def test_what_is_deployed_is_what_the_tests_run(lock: Path) -> None:
    developed = {name: version.split(" ")[0] for name, version in pins(LOCKS[0]).items()}

    assert {name: version.split(" ")[0] for name, version in pins(lock).items()}.items() <= developed.items()


def test_make_help_has_a_line_for_everything_a_developer_types() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout

    lines = re.findall(r"^  make (\S+) +\S", told, re.MULTILINE)
    assert {"run", "demo", "import", "quick", "test", "prove", "check", "bench", "bundle", "clean"} <= set(lines)
    assert len(lines) == len(set(lines))


def run_pytest_in_ci(folder: Path, *, listed: str) -> str:
    """A test run of its own over `folder` with our hooks, CI=true and a list of skips."""
    (folder / "skips.txt").write_text(listed)
    (folder / "conftest.py").write_text(
        "from pathlib import Path\n"
        "import tests.conftest as ours\n"
        "ours.SKIPS = Path(__file__).parent / 'skips.txt'\n"
        "from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport\n"
    )
    quiet = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "--rootdir", str(folder), str(folder)],
        cwd=folder,
        env={**os.environ, "CI": "true", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.stdout


@pytest.mark.slow
def test_in_ci_a_skip_fails_unless_it_is_listed_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_passes(): pass\n"
        "def test_listed(): pytest.skip('terraform is not installed')\n"
        "def test_another_reason(): pytest.skip('the moon is full')\n"
        "@pytest.mark.skip(reason='later')\n"
        "def test_not_listed(): pass\n"
        "@pytest.mark.xfail(strict=True)\n"
        "def test_known_to_fail(): assert False\n"
    )
    (tmp_path / "test_module.py").write_text("import pytest\npytest.skip('no such library', allow_module_level=True)\n")

    output = run_pytest_in_ci(
        tmp_path,
        listed="# a comment\ntest_some.py::test_listed terraform is not\ntest_some.py::test_another_reason the sun\n",
    )

    assert re.search(r"1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors", output), output
    assert "test_some.py::test_not_listed was skipped, and tests/skips.txt does not list it" in output
    assert "no such library" in output
