"""The first questions of new sessions: an instance that has just connected has no plans and no caches."""

import time
from collections.abc import Callable, Sequence

from benchmarks.searching.questions import Question
from benchmarks.searching.timing import Cpu, Times
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader

SESSIONS = 40


def first_questions(
    connect: Callable[[], Database], questions: Sequence[Question], *, sessions: int = SESSIONS
) -> list[tuple[str, Times]]:
    """Connecting, and the first three questions of a session, the same kind each time, another text."""
    took: list[list[float]] = [[], [], [], []]
    used: list[list[float]] = [[], [], [], []]
    for session in range(sessions):
        database = connect()
        try:
            reader = CatalogueReader(database)
            began = time.perf_counter()
            database.call("select 1 as alive")
            took[0].append(time.perf_counter() - began)
            cpu = Cpu(database.call("select pg_backend_pid() as pid")[0]["pid"])
            for n in (1, 2, 3):
                before, began = cpu.read(), time.perf_counter()
                questions[(session * 3 + n) % len(questions)].ask(reader)
                took[n].append(time.perf_counter() - began)
                used[n].append(cpu.read() - before)
        finally:
            database.close()
    names = ("connecting", "first question", "second question", "third question")
    return [
        (name, Times(sorted(each * 1000 for each in times), sorted(each * 1000 for each in cpus)))
        for name, times, cpus in zip(names, took, used, strict=True)
    ]
