import ast
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.database import Address
from local.table import Deployment
from tests.deployments import ROWS
from tests.numbers import ALL_ARCHIVES
from tools import bundle
from tools.bundle import Archive
from tools.scratch_database import ScratchServer

# Beside its health: a call that needs rows, and what it answers where there are none.
FIRST_CALLS = {"search": ("/v1/products?limit=1", 200)}

DEPLOYMENTS = {row.name: row for row in bundle.deployments()}

PUBLISHES = {row["name"]: row["publishes"] for row in ROWS}

# Which distribution gives a name that is not the distribution's own.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.pubsub_v1": "google-cloud-pubsub",
    "google.cloud.sql": "cloud-sql-python-connector",
    "google.cloud.storage": "google-cloud-storage",
    "google.cloud.tasks_v2": "google-cloud-tasks",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "python_http_client": "python-http-client",
    "slugify": "python-slugify",
    "yaml": "pyyaml",
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    return {archive.deployment: archive for archive in bundle.bundle(tmp_path_factory.mktemp("build"))}


def unpack(archive: Archive, folder: Path) -> Path:
    with zipfile.ZipFile(archive.file) as packed:
        packed.extractall(folder)
    return folder


def names_in(archive: Archive) -> list[str]:
    with zipfile.ZipFile(archive.file) as packed:
        return packed.namelist()


def test_bundling_twice_gives_equal_bytes(archives: dict[str, Archive], tmp_path: Path) -> None:
    again = {archive.deployment: archive for archive in bundle.bundle(tmp_path)}

    assert {name: archive.sha256 for name, archive in again.items()} == {
        name: archive.sha256 for name, archive in archives.items()
    }
    for name, archive in archives.items():
        assert hashlib.sha256(archive.file.read_bytes()).hexdigest() == archive.sha256, name


def test_terraform_is_told_each_archive_and_its_hash(archives: dict[str, Archive]) -> None:
    told = json.loads((next(iter(archives.values())).file.parent / "archives.tfvars.json").read_text())

    assert told == {
        "archives": {
            name: {"path": f"build/{name}.zip", "sha256": archive.sha256} for name, archive in archives.items()
        }
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_archive_holds_its_function_what_it_reaches_and_nothing_else(
    name: str, archives: dict[str, Archive]
) -> None:
    names = names_in(archives[name])
    sources = [entry for entry in names if entry.endswith(".py")]
    compiled = [entry for entry in names if entry.endswith(".pyc")]

    roots = {"main.py", "requirements.txt", "__pycache__", "shared", "functions"}
    assert {entry.split("/")[0] for entry in names} <= roots
    beside = {entry for entry in sources if entry.startswith("functions/")}
    source = DEPLOYMENTS[name].source
    assert beside - {"functions/__init__.py"} == {entry for entry in beside if entry.startswith(f"{source}/")}
    assert f"{source}/main.py" not in beside
    assert [entry for entry in names if "test" in entry or "local" in entry] == []
    assert len(compiled) == len(sources)
    # A .pyc that is not compared with its source: flags 0b01, PEP 552.
    with zipfile.ZipFile(archives[name].file) as packed:
        assert {packed.read(entry)[4:8] for entry in compiled} == {b"\x01\x00\x00\x00"}


def test_a_page_takes_its_templates_along(archives: dict[str, Archive]) -> None:
    names = names_in(archives["search"])

    assert {f"shared/search/templates/{name}" for name in ("product.html", "no_such_product.html", "page.css")} <= {
        *names
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_locked_requirement_stands_behind_every_import(
    name: str, archives: dict[str, Archive], tmp_path: Path
) -> None:
    folder = unpack(archives[name], tmp_path)
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", (folder / "requirements.txt").read_text(), re.MULTILINE))

    imported = {module for file in folder.rglob("*.py") for module in modules_imported_by(file)}
    needed = {distribution_of(module) for module in imported}

    # One publisher serves all; who publishes to no topic never comes to import it.
    excused = set() if PUBLISHES[name] else {"google-cloud-pubsub"}
    assert needed - {""} - excused <= locked


def modules_imported_by(file: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def distribution_of(module: str) -> str:
    """The distribution a module comes from; empty where it is the standard library's, ours, or a mere namespace."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top in {"shared", "functions"} or module in {"google", "google.cloud"}:
        return ""
    for name, distribution in DISTRIBUTIONS.items():
        if module == name or module.startswith(name + "."):
            return distribution
    return top.lower().replace("_", "-")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DEPLOYMENTS) if ALL_ARCHIVES else list(DEPLOYMENTS)[:1])
def test_an_archive_alone_in_a_fresh_environment_answers_with_what_the_database_holds(
    name: str, archives: dict[str, Archive], postgres: ScratchServer, tmp_path: Path
) -> None:
    deployment = DEPLOYMENTS[name]
    folder = unpack(archives[name], tmp_path / "archive")
    python = install(folder / "requirements.txt", tmp_path / "venv")
    database = postgres.login(postgres.copy(), deployment.database_role)

    with served(deployment, folder, python, database) as address:
        healthy = get(address, f"/v1/health/{name}")
        unknown = get(address, "/v1/nowhere")
        path, expected = FIRST_CALLS.get(name, ("/v1/nowhere/else", 404))
        first = get(address, path)

    assert first[0] == expected, first
    assert healthy == (200, {"status": "ok"})
    assert unknown[0] == 404


def install(requirements: Path, folder: Path) -> Path:
    """A fresh environment that holds what the file names, and nothing of ours."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "--python", str(python)]
    by_uv = subprocess.run(
        [*command, "-r", str(requirements)],
        env={"UV_SYSTEM_CERTS": "1", "UV_HTTP_RETRIES": "1", **os.environ},
        check=False,
    )
    if by_uv.returncode != 0:  # an index that only pip knows
        subprocess.run([str(python), "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(requirements)], check=True
        )
    return python


@contextmanager
def served(deployment: Deployment, folder: Path, python: Path, database: Address) -> Iterator[str]:
    """The archive under functions-framework, started in its own folder with nothing else on the path."""
    server = subprocess.Popen(
        [str(python), "-m", "functions_framework", "--target", deployment.entry_point, "--host=127.0.0.1", "--port=0"],
        cwd=folder,
        env=environment_of(deployment, database),
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    said = ""
    try:
        for line in server.stdout:
            said += line
            listening = re.search(r"Listening at: http://(127\.0\.0\.1:\d+)", line)
            if listening:
                yield listening.group(1)
                return
        raise AssertionError(f"the server ended:\n{said}")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()


def environment_of(deployment: Deployment, database: Address) -> dict[str, str]:
    values = {
        "TOKEN_KEYS": json.dumps({"current": "a", "keys": {"a": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}),
        "MAIL_FROM": "Vitrine <orders@vitrine.example>",
    }
    named = [*deployment.secrets, *deployment.settings]
    return {
        **{name: values.get(name, "http://127.0.0.1:9" if name.endswith("_URL") else "unused") for name in named},
        "PATH": os.environ["PATH"],
        "GUNICORN_LOG_LEVEL": "info",
        "VITRINE_DEPLOYMENT": deployment.name,
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": "vitrine-local",
        "DATABASE_ACCESS": "url",
        "DATABASE_URL": database.url,
        "POOL_SIZE": str(deployment.pool_size),
        "THREADS": str(deployment.concurrency),
        "FUNCTION_TIMEOUT_S": str(deployment.timeout_s),
    }


def get(address: str, path: str) -> tuple[int, object]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
