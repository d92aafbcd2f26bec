"""`python -m functions.inventory.cli import FILE`: a catalogue file into a shop, from a merchant's shell; `export FILE`
writes one that comes back unchanged.

The shop is the one of DATABASE_URL, else the one that runs in this checkout. An import that was stopped, killed or cut
off goes on behind its last batch with --resume, and staff see it beside those that they have sent. Exit status: 0
everything went in or out, 1 some lines were refused (stderr and FILE.errors say which and why), 2 nothing could be read
or written.
"""

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Self, TextIO

from shared.catalog.exporting import export_catalogue
from shared.catalog.files import Unreadable
from shared.catalog.importing import Counts, Refusal, Written
from shared.catalog.imports import MOST_ERRORS, ImportTaken, Turn, go_on
from shared.kernel.clock import SystemClock
from shared.kernel.errors import Unavailable
from shared.persistence.catalog import analyze
from shared.persistence.catalog_export import CatalogueExport
from shared.persistence.connecting import connector
from shared.persistence.database import Database, SqlError
from shared.persistence.import_rows import list_errors
from shared.persistence.imports import Imports
from shared.settings import DatabaseSettings, SettingsError, environment

ALL_WENT, SOME_REFUSED, UNREADABLE, STOPPED = 0, 1, 2, 130

# A shop without settings yet sells in this; its settings, once written, decide.
DEFAULT_CURRENCY = "USD"
# What the running shop of this checkout says of itself.
INSTANCES = Path(".local")
SHOWN_REFUSALS = 100
_MAY_BE_REPEATED = {
    "import": "what was imported before is in, and the import may be repeated",
    "export": "nothing was written, and the export may be repeated",
}
_GOES_ON = "what was imported before is in; the same command with --resume goes on behind it"
STATEMENT_TIMEOUT_MS = 120_000


class NoShop(Exception):
    """There is no database to import into; the message says what to do."""


class NothingToResume(Exception):
    """No import of this file can go on; the message says why."""


class Stopped(Exception):
    """An import that has begun; the message says how it goes on."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


def main(argv: list[str] | None = None) -> int:
    arguments = _read_arguments(argv)
    try:
        if arguments.command == "export":
            return _export(arguments.file, on_hand=arguments.on_hand, quiet=arguments.quiet)
        with open(arguments.file, "rb", buffering=1 << 16) as raw:
            return _import(
                raw,
                arguments.file,
                default_on_hand=arguments.default_on_hand,
                resume=arguments.resume,
                quiet=arguments.quiet,
            )
    except FileNotFoundError:
        return _give_up(f"{arguments.file}: there is no such file")
    except (OSError, Unreadable, NothingToResume) as error:
        return _give_up(f"{arguments.file}: {error}")
    except Stopped as stopped:
        _say(str(stopped))
        return stopped.status
    except (NoShop, SettingsError) as error:
        return _give_up(str(error))
    except Unavailable:
        return _give_up(f"the database does not answer; {_MAY_BE_REPEATED[arguments.command]}")
    except SqlError as error:
        return _give_up(f"the database refuses: {error.message}")
    except KeyboardInterrupt:
        _say(f"stopped; {_MAY_BE_REPEATED[arguments.command]}")
        return STOPPED


def _read_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m functions.inventory.cli")
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser(
        "import",
        help="JSON Lines or CSV, also gzipped; adds what is new, changes what is known by its SKU",
        description="Columns: sku, product, name, brand, category_path (levels by ' > '), description, "
        "price (major units), currency, option.<name>, weight_g, tax_class, image_url, on_hand, popularity; "
        "others become attributes.",
    )
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument(
        "--default-on-hand", type=_units, metavar="N", help="units of a new SKU whose line has no on_hand"
    )
    importing.add_argument(
        "--resume",
        action="store_true",
        help="go on with the last import of FILE as it was begun, behind its last batch",
    )
    importing.add_argument("--quiet", action="store_true", help="no progress bar and no summary")
    exporting = commands.add_parser("export", help="the catalogue as CSV, gzipped where FILE ends in .gz")
    exporting.add_argument("file", type=Path, metavar="FILE")
    exporting.add_argument(
        "--on-hand", action="store_true", help="with the counts of stock; importing them again counts it anew"
    )
    exporting.add_argument("--quiet", action="store_true", help="no summary")
    return parser.parse_args(argv)


def _units(text: str) -> int:
    units = int(text)
    if not 0 <= units <= 1_000_000_000:
        raise ValueError
    return units


def _database(application: str) -> Database:
    connect = connector(_settings(), application=application, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    return Database(connect, size=1, clock=SystemClock())


def _export(file: Path, *, on_hand: bool, quiet: bool) -> int:
    database = _database("vitrine-export")
    began = time.monotonic()
    # Beside the file, and in its place when it is whole: what was exported before is there until then.
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(unfinished, "wt", encoding="utf-8", newline="") as text:
            written, _place = export_catalogue(text, catalogue=CatalogueExport(database), on_hand=on_hand)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
        database.close()
    if not quiet:
        _say(f"{file.name}: {written} lines in {time.monotonic() - began:.1f} s")
    return ALL_WENT


def _import(raw: IO[bytes], file: Path, *, default_on_hand: int | None, resume: bool, quiet: bool) -> int:
    database = _database("vitrine-import")
    imports = Imports(database, SystemClock())
    began = time.monotonic()
    with ExitStack() as stack:
        stack.callback(database.close)
        turn = _take_up(imports, raw, file) if resume else _begin(imports, raw, file, default_on_hand)
        counts = replace(turn.of.counts)
        refusals = stack.enter_context(_Refusals(file.with_name(file.name + ".errors")))
        refusals.take_over(database, turn)
        advance = stack.enter_context(_progress(raw, shown=not quiet and sys.stderr.isatty()))

        def written(batch: Written) -> None:
            for refusal in batch.refusals:
                refusals.report(refusal)
            counts.add(batch.counts)
            advance(counts)

        _go_on(imports, turn, raw, written)
        if counts.new + counts.changed:
            analyze(database)
    if not quiet:
        took = time.monotonic() - began
        _say(
            f"{file.name}: {counts.new} new, {counts.changed} changed, {counts.unchanged} unchanged, "
            f"{counts.refused} refused in {took:.1f} s"
        )
    return SOME_REFUSED if counts.refused else ALL_WENT


def _begin(imports: Imports, raw: IO[bytes], file: Path, default_on_hand: int | None) -> Turn:
    return imports.begin(
        _name(file), version=_version(raw), size_bytes=_size(raw), default_on_hand=default_on_hand, actor="shell"
    )


def _take_up(imports: Imports, raw: IO[bytes], file: Path) -> Turn:
    """The last import of the file, whoever had it: their next batch does not go in. Raises NothingToResume."""
    found = imports.find_of_shell(_name(file))
    if found is None:
        raise NothingToResume("no import of it was begun; import it without --resume")
    if found.version != _version(raw):
        raise NothingToResume("it has changed since its import was begun; import it anew, without --resume")
    turn = imports.take_turn(found.id, by_force=True)
    if turn is None:
        raise NothingToResume(f"its last import is {found.state}; import it again without --resume")
    return turn


def _go_on(imports: Imports, turn: Turn, raw: IO[bytes], written: Callable[[Written], None]) -> None:
    """To the end of the file. Raises Unreadable, Stopped."""
    try:
        go_on(turn, raw, ledger=imports, default_currency=DEFAULT_CURRENCY, written=written)
        imports.finish(turn)
    except Unreadable as error:
        imports.fail(turn, str(error))
        raise
    except ImportTaken:
        raise Stopped("another process goes on with this import, or it was cancelled", status=UNREADABLE) from None
    except Unavailable as error:
        raise Stopped(f"the database does not answer; {_GOES_ON}", status=UNREADABLE) from error
    except KeyboardInterrupt:
        raise Stopped(f"stopped; {_GOES_ON}", status=STOPPED) from None


def _name(file: Path) -> str:
    # A name of a file need not be text.
    return file.name.encode(errors="backslashreplace").decode()[:255]


def _version(raw: IO[bytes]) -> str:
    found = os.fstat(raw.fileno())
    return f"{found.st_size} bytes, {found.st_mtime_ns} ns"


def _size(raw: IO[bytes]) -> int:
    return os.fstat(raw.fileno()).st_size


def _settings() -> DatabaseSettings:
    """DATABASE_URL, or the ways of a deployment, or the shop that runs in this checkout. Raises NoShop."""
    env = dict(environment())
    if "DATABASE_ACCESS" not in env:
        url = env.get("DATABASE_URL") or _find_running_shop()
        # A person at a shell may name a URL whatever the environment is called; a deployment may not.
        env |= {"VITRINE_ENVIRONMENT": "local", "DATABASE_ACCESS": "url", "DATABASE_URL": url}
    return DatabaseSettings.from_env({"POOL_SIZE": "1"} | env)


def _find_running_shop() -> str:
    for instance in sorted(INSTANCES.glob("*/instance.json")):
        try:
            url = json.loads(instance.read_text())["database_url"]
        except (OSError, ValueError, KeyError):
            continue
        return str(url)
    raise NoShop("no shop runs in this folder: start one with `make run`, or set DATABASE_URL")


@dataclass
class _Refusals:
    """Says each refusal on stderr, the first hundred of them, and writes all into `file`; no refusal, no file.

    Where the file's own folder cannot be written the report goes into the working folder.
    """

    file: Path
    said: int = 0
    _written: TextIO | None = None

    def __enter__(self) -> Self:
        with suppress(OSError):
            self.file.unlink(missing_ok=True)
        return self

    def take_over(self, database: Database, turn: Turn) -> None:
        """What was refused in the turns before: as much as is kept, without saying it again."""
        for number, refusal in list_errors(database, turn.of.id, limit=MOST_ERRORS):
            if self._written is None:
                self._written = self._open()
            self._written.write(_told(refusal) + "\n")
            self.said = number
        if turn.of.counts.refused > MOST_ERRORS and self._written is not None:
            self._written.write(f"... {turn.of.counts.refused - MOST_ERRORS} more refusals of before are not kept\n")

    def report(self, refusal: Refusal) -> None:
        text = _told(refusal)
        self.said += 1
        if self._written is None:
            self._written = self._open()
        self._written.write(text + "\n")
        if self.said <= SHOWN_REFUSALS:
            _say(text)
        elif self.said == SHOWN_REFUSALS + 1:
            _say(f"more refusals are in {self.file}")

    def _open(self) -> TextIO:
        try:
            return self.file.open("w", encoding="utf-8", errors="backslashreplace")
        except OSError:
            self.file = Path(self.file.name)
            return self.file.open("w", encoding="utf-8", errors="backslashreplace")

    def __exit__(self, *_: object) -> None:
        if self._written is not None:
            self._written.close()
            _say(f"refused lines: {self.file}")


def _told(refusal: Refusal) -> str:
    name = f" ({refusal.sku})" if refusal.sku else ""
    return f"line {refusal.line}{name}: {refusal.reason}"


@contextmanager
def _progress(raw: IO[bytes], *, shown: bool) -> Iterator[Callable[[Counts], None]]:
    """A bar over the bytes of the file, drawn on a terminal only."""
    if not shown:
        yield lambda counts: None
        return
    # Only a person at a terminal needs it; a deployed archive does not carry it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    size = Path(raw.name).stat().st_size
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=size)

        def advance(counts: Counts) -> None:
            lines = counts.new + counts.changed + counts.unchanged
            progress.update(task, completed=raw.tell(), description=f"{lines} lines, {counts.refused} refused")

        yield advance


def _say(text: str) -> None:
    # What a file contains must not drive the terminal: everything that is not printable is written as an escape.
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    sys.stderr.write(safe.encode(errors="backslashreplace").decode() + "\n")


def _give_up(reason: str) -> int:
    _say(reason)
    return UNREADABLE


if __name__ == "__main__":
    sys.exit(main())
