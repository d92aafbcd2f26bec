"""Every kind asked of ours, of the predecessor and of a search engine, each for itself, on the same rows."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.searching import engine
from benchmarks.searching.engine import Engine
from benchmarks.searching.filling import connect, say
from benchmarks.searching.kinds import Kinds
from benchmarks.searching.over_http import storefront
from benchmarks.searching.predecessor import Predecessor
from benchmarks.searching.questions import Kind, Question
from benchmarks.searching.shops import Shop
from benchmarks.searching.timing import Cpu, Times, Unanswered, measure
from shared.kernel.clock import SystemClock
from shared.kernel.errors import Unavailable
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.settings import DatabaseSettings

# What the deployed function has; here a statement may take longer, so that it is seen how long.
SEARCH_MAY_MS = 300
_MAY_MS = 20_000

OURS, OVER_HTTP, TRIGRAMS, RANKED, SCAN, ENGINE = "ours", "HTTP", "trigrams", "ranked", "scan", "engine"
COLUMNS = (OURS, OVER_HTTP, TRIGRAMS, RANKED, SCAN, ENGINE)


@dataclass(frozen=True, slots=True)
class Effort:
    """`asked` of a kind, ours `rounds` times; no column of a kind takes longer than about twice `within_s`."""

    asked: int = 200
    scanned: int = 3
    rounds: int = 2
    within_s: float = 6.0


@dataclass(frozen=True, slots=True)
class Measured:
    """`times` by column; one that is missing was not asked, or never answered."""

    kind: Kind
    times: dict[str, Times]


@dataclass(frozen=True, slots=True)
class _Column:
    ask: Callable[[Question], object]
    cpu: Cpu | None
    can: Callable[[Question], bool] = lambda question: True
    most: int | None = None
    rounds: int = 1


class Measuring:
    """Everything that is asked, open until the end."""

    def __init__(self, shop: Shop, effort: Effort, *, columns: Sequence[str], engine_folder: Path | None) -> None:
        self.shop, self.effort = shop, effort
        self.engine: Engine | None = None
        self.skipped: dict[str, str] = {}
        self._stack = ExitStack()
        self._columns: dict[str, _Column] = {}
        self._connection = connect(shop.owner)
        self._stack.callback(self._connection.close)
        self._kinds = Kinds(shop, self._connection, asked=effort.asked)
        self._wanted = columns
        self._engine_folder = engine_folder

    def __enter__(self) -> Self:
        for name in COLUMNS:
            if name in self._wanted and (column := self._make(name)) is not None:
                self._columns[name] = column
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kinds(self) -> Iterator[Kind]:
        return self._kinds.all()

    def measure(self, kind: Kind) -> Measured:
        times: dict[str, Times] = {}
        for name, column in self._columns.items():
            questions = [question for question in kind.questions[: column.most] if column.can(question)]
            measured = measure(
                questions, column.ask, rounds=column.rounds, within_s=self.effort.within_s, cpu=column.cpu
            )
            if measured is not None:
                times[name] = measured
        say(f"{kind.name}: {', '.join(f'{name} {each.p50:.2f} ms' for name, each in times.items()) or kind.why_not}")
        return Measured(kind, times)

    def open_database(self) -> Database:
        """As the search function opens its own, one connection."""
        settings = DatabaseSettings("url", 1, self.shop.login("search").url)
        connecting = connector(settings, application="searching", statement_timeout_ms=_MAY_MS, planning=BY_INDEXES)
        return Database(connecting, size=1, clock=SystemClock())

    def _make(self, name: str) -> _Column | None:
        if name == OURS:
            return self._ask_ours()
        if name == OVER_HTTP:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vitrine-searching-")))
            return _Column(self._stack.enter_context(storefront(self.shop, folder)).ask, None)
        if name == ENGINE:
            return self._ask_engine()
        connection = connect(self.shop.owner)
        self._stack.callback(connection.close)
        asked = Predecessor(connection, scanning=name == SCAN, ranking=name == RANKED)
        most = self.effort.scanned if name == SCAN else None
        return _Column(asked.ask, Cpu(connection.run("select pg_backend_pid()")[0][0]), asked.can, most)

    def _ask_ours(self) -> _Column:
        database = self.open_database()
        self._stack.callback(database.close)
        reader = CatalogueReader(database)

        def ask(question: Question) -> object:
            try:
                return question.ask(reader)
            except Unavailable as error:
                raise Unanswered from error

        cpu = Cpu(database.call("select pg_backend_pid() as pid")[0]["pid"])
        return _Column(ask, cpu, rounds=self.effort.rounds)

    def _ask_engine(self) -> _Column | None:
        if not engine.is_installed():
            self.skipped[ENGINE] = engine.WHY_NOT
            return None
        folder = self._engine_folder
        if folder is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vitrine-engine-")))
        self.engine = Engine(folder, self.shop.products, self.shop.plan)
        return _Column(self.engine.ask, Cpu(), self.engine.can)
