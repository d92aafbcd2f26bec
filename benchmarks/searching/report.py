"""What is printed: a table of the kinds, what misses its goal, sizes, times of building, first questions, writes."""

from collections.abc import Iterable, Sequence

from benchmarks.searching.filling import TRIGRAMS as NAME_TRIGRAMS
from benchmarks.searching.filling import connect
from benchmarks.searching.measuring import COLUMNS, OURS, OVER_HTTP, SEARCH_MAY_MS, TRIGRAMS, Measured
from benchmarks.searching.questions import Goal
from benchmarks.searching.shops import Shop
from benchmarks.searching.timing import Times, at
from benchmarks.searching.writes import GOAL, Written

_HEAD = [
    "kind",
    "n",
    "ours",
    "of it CPU",
    "HTTP",
    "trigrams",
    "times faster",
    "by CPU",
    "ranked",
    "ranked, times faster",
]
_HEAD += ["scan", "engine", "goal"]
_SIZES = """
select c.relname::text, round(pg_relation_size(c.oid) / 1e6, 1)::float8
from pg_class c left join pg_index i on i.indexrelid = c.oid
where c.relkind in ('r', 'i') and (c.relname like 'search^_%' escape '^' or c.relname = :trigrams::text
    or c.relname in ('products', 'variants'))
    and pg_relation_size(c.oid) > 100000 order by 2 desc
"""


def table(measured: Iterable[Measured]) -> str:
    """In Markdown. Of ours p50 / p95 / p99, of the others p50 / p99, in milliseconds and as they were, whatever else
    the machine did; of a scan the median alone."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    for each in measured:
        if each.kind.why_not:
            lines.append(f"| {each.kind.name} | | skipped: {each.kind.why_not}{' |' * (len(_HEAD) - 2)}")
        else:
            lines.append(f"| {' | '.join(_row(each))} |")
    return "\n".join(lines)


def _row(each: Measured) -> list[str]:
    ours, http, trigrams, ranked, scan, engine = (each.times.get(name) for name in COLUMNS)
    return [
        each.kind.name,
        str(len(ours.took)) if ours else "",
        _figures(ours.took if ours else (), 0.5, 0.95, 0.99),
        _figures(ours.cpu if ours else (), 0.5, 0.99),
        _figures(http.took if http else (), 0.5, 0.99),
        _figures(trigrams.took if trigrams else (), 0.5, 0.99),
        _ratios(trigrams.took if trigrams else (), ours.took if ours else ()),
        _ratios(trigrams.cpu if trigrams else (), ours.cpu if ours else ()),
        _figures(ranked.took if ranked else (), 0.5, 0.99),
        _ratios(ranked.took if ranked else (), ours.took if ours else ()),
        _figures(scan.took if scan else (), 0.5),
        _figures(engine.took if engine else (), 0.5, 0.99),
        stand(each),
    ]


def stand(each: Measured) -> str:
    """Met, or which of its goals a kind misses and by what; and what would not have been answered."""
    goal, ours, trigrams = each.kind.goal, each.times.get(OURS), each.times.get(TRIGRAMS)
    if ours is None:
        return ""
    missed = _misses(goal, ours.took, trigrams.took if trigrams else ())
    if missed and ours.cpu and not _misses(goal, ours.cpu, trigrams.cpu if trigrams else ()):
        missed.append("by CPU met")
    if late := ours.over(SEARCH_MAY_MS) + ours.failed:
        missed.append(f"{late} over {SEARCH_MAY_MS} ms")
    if (http := each.times.get(OVER_HTTP)) is not None and http.failed:
        missed.append(f"{http.failed} not answered over HTTP")
    return "; ".join(missed) or ("met" if goal != Goal() else "")


def _misses(goal: Goal, ours: Sequence[float], trigrams: Sequence[float]) -> list[str]:
    missed = []
    for share, most, least in ((0.5, goal.p50_ms, goal.p50_times), (0.99, goal.p99_ms, goal.p99_times)):
        percent = f"p{share * 100:.0f}"
        if most is not None and at(ours, share) > most:
            missed.append(f"{percent} over {most:g} ms")
        if least is not None and trigrams and at(trigrams, share) < least * at(ours, share):
            missed.append(f"{percent} not {least:g} times")
    return missed


def _figures(took: Sequence[float], *shares: float) -> str:
    return " / ".join(_number(at(took, share)) for share in shares) if took else ""


def _ratios(floor: Sequence[float], ours: Sequence[float]) -> str:
    if not floor or not ours:
        return ""
    return " / ".join(_number(at(floor, share) / max(at(ours, share), 0.001)) for share in (0.5, 0.99))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def sizes(shop: Shop, engine_mb: float | None) -> str:
    connection = connect(shop.owner)
    rows = [(name, megabytes) for name, megabytes in connection.run(_SIZES, trigrams=NAME_TRIGRAMS)]
    connection.close()
    if engine_mb is not None:
        rows.append(("the search engine's index", engine_mb))
    return _listed("sizes in MB", [(name, f"{megabytes:,.1f}") for name, megabytes in rows])


def building(shop: Shop, engine_s: float | None) -> str:
    rows = [(step, f"{seconds:,.1f}") for step, seconds in shop.timings.items()]
    if engine_s is not None:
        rows.append(("the search engine's index", f"{engine_s:,.1f}"))
    return _listed("building, in seconds", rows)


def sessions(first: Sequence[tuple[str, Times]]) -> str:
    rows = [
        (name, f"{_figures(times.took, 0.5, 0.95, 0.99)}, of it CPU {_figures(times.cpu, 0.5, 0.99) or 'not measured'}")
        for name, times in first
    ]
    return _listed("a new session's first questions, ms (p50 / p95 / p99)", rows)


def writes(written: Iterable[Written]) -> str:
    rows = [
        (
            each.what,
            f"{each.a_second:,.0f} a second, by CPU {each.by_cpu:,.0f} (goal {GOAL:,}),"
            f" p50 {each.times.p50:.2f} ms, p99 {each.times.p99:.2f} ms",
        )
        for each in written
    ]
    return _listed("writes by one client", rows)


def _listed(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([f"\n{title}", *(f"  {name.ljust(width)}  {said}" for name, said in rows)])
