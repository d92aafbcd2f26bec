"""`make bundle`: build/<deployment>.zip, the source archive that a deployment uploads; equal sources, equal bytes.

An archive holds the function's main.py at its root, those modules beside it and of the domain package that main.py
reaches, its locked requirements, and nothing else. Everything is compiled with unchecked-hash .pyc: an archive's times
are fixed, so .pyc that trust times would be compiled anew at each cold start. build/archives.tfvars.json names the
archives to Terraform.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grimp

from local.table import Deployment, read_table

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

# Cloud Functions' runtime: bytecode is of use only to the version that made it.
RUNTIME = (3, 11)


@dataclass(frozen=True, slots=True)
class Archive:
    """A deployment's archive as it lies on disk."""

    deployment: str
    file: Path
    size: int
    sha256: str


def bundle(folder: Path = BUILD) -> list[Archive]:
    """Write every deployment's archive into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = grimp.build_graph("shared", "functions", exclude_type_checking_imports=True, cache_dir=None)
    archives = [_write(deployment, graph, folder) for deployment in deployments()]
    named = {
        archive.deployment: {"path": f"build/{archive.file.name}", "sha256": archive.sha256} for archive in archives
    }
    (folder / "archives.tfvars.json").write_text(json.dumps({"archives": named}, indent=2) + "\n")
    return archives


def deployments() -> list[Deployment]:
    """The rows of the table whose function is there."""
    rows = read_table(ROOT / "functions" / "deployments.yaml").deployments
    return [row for row in rows if (ROOT / row.source / "main.py").is_file()]


def reached_modules(source: str, graph: grimp.ImportGraph) -> set[str]:
    """What the main.py in `source` can come to import, lazily or not: modules beside it and of the domain package."""
    reached: set[str] = set()
    waiting = set(graph.find_modules_directly_imported_by(source.replace("/", ".") + ".main"))
    while waiting:
        module = waiting.pop()
        reached.add(module)
        # Importing a.b.c runs a and a.b too.
        parts = module.split(".")
        parents = {".".join(parts[:depth]) for depth in range(1, len(parts))}
        waiting |= (graph.find_modules_directly_imported_by(module) | parents) - reached
    return reached


def _write(deployment: Deployment, graph: grimp.ImportGraph, folder: Path) -> Archive:
    with tempfile.TemporaryDirectory(prefix="vitrine-bundle-") as name:
        stage = Path(name)
        for file in _of_the_function(ROOT / deployment.source):
            _copy(file, stage / file.relative_to(ROOT / deployment.source))
        for file in _of_modules(reached_modules(deployment.source, graph)):
            _copy(file, stage / file.relative_to(ROOT))
        _compile(stage)
        archive = folder / f"{deployment.name}.zip"
        _zip(stage, archive)
    content = archive.read_bytes()
    return Archive(deployment.name, archive, len(content), hashlib.sha256(content).hexdigest())


def _of_the_function(source: Path) -> Iterable[Path]:
    """What lies at the root of its archive: main.py, the locked requirements and data."""
    yield source / "main.py"
    yield from (file for file in _data_of(source) if file.name != "requirements.in")


def _of_modules(modules: set[str]) -> Iterable[Path]:
    """The modules' files; in the domain package what else lies beside them: a module may read a file of its package."""
    packages: set[Path] = set()
    for module in modules:
        path = ROOT.joinpath(*module.split("."))
        if module.split(".")[0] == "shared":
            packages.add(path if path.is_dir() else path.parent)
        yield path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for package in packages:
        yield from _data_of(package)


def _data_of(folder: Path) -> Iterable[Path]:
    """Files beside the modules of a package, such as templates; a folder within that is a package speaks for itself."""
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_of(path)


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _compile(stage: Path) -> None:
    """In a process of its own with a fixed hash seed: bytecode depends on set order and on what else was compiled."""
    compile_all = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(stage), str(stage)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *compile_all], env=environment | {"PYTHONHASHSEED": "0"}, check=True)


def _zip(stage: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as made:
        for file in sorted(path for path in stage.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(stage).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            made.writestr(entry, file.read_bytes(), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)


def main() -> int:
    if sys.version_info[:2] != RUNTIME:
        wanted = ".".join(map(str, RUNTIME))
        print(f"Compiled by another Python than the {wanted} they run on, the archives start slowly.", file=sys.stderr)
    for archive in bundle():
        print(f"{archive.file.relative_to(ROOT)}  {archive.size:>9,} bytes  sha256 {archive.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
