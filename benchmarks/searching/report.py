"""What is printed: a table of the kinds, what misses its goal, sizes, times of building, first questions, writes."""

from collections.abc import Iterable, Sequence

from benchmarks.searching.filling import TRIGRAMS as NAME_TRIGRAMS
from benchmarks.searching.filling import connect
from benchmarks.searching.measuring import COLUMNS, OURS, OVER_HTTP, SEARCH_MAY_MS, TRIGRAMS, Measured
from benchmarks.searching.shops import Shop
from benchmarks.searching.timing import Times
from benchmarks.searching.writes import GOAL, Written

_HEAD = ["kind", "n", "ours p50", "p95", "p99", "HTTP p50", "p99", "trigrams p50", "p99", "times faster p50", "p99"]
_HEAD += ["scan p50", "times", "engine p50", "p99", "goal"]
_SIZES = """
select c.relname::text, round(pg_relation_size(c.oid) / 1e6, 1)::float8
from pg_class c left join pg_index i on i.indexrelid = c.oid
where c.relkind in ('r', 'i') and (c.relname like 'search^_%' escape '^' or c.relname = :trigrams::text
    or c.relname in ('products', 'variants'))
    and pg_relation_size(c.oid) > 100000 order by 2 desc
"""


def table(measured: Iterable[Measured]) -> str:
    """In Markdown; milliseconds, medians and tails as they were, whatever else the machine did."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    for each in measured:
        if each.kind.why_not:
            lines.append(f"| {each.kind.name} | skipped: {each.kind.why_not} |")
        else:
            lines.append(f"| {' | '.join(_row(each))} |")
    return "\n".join(lines)


def _row(each: Measured) -> list[str]:
    ours, http, trigrams, scan, engine = (each.times.get(name) for name in COLUMNS)
    return [
        each.kind.name,
        str(len(ours.took)) if ours else "",
        *_figures(ours, 0.5, 0.95, 0.99),
        *_figures(http, 0.5, 0.99),
        *_figures(trigrams, 0.5, 0.99),
        *(_times(trigrams, ours, share) for share in (0.5, 0.99)),
        *_figures(scan, 0.5),
        _times(scan, ours, 0.5),
        *_figures(engine, 0.5, 0.99),
        "; ".join(misses(each)) or ("met" if has_goal(each) else ""),
    ]


def has_goal(each: Measured) -> bool:
    goal = each.kind.goal
    return any(bound is not None for bound in (goal.p50_ms, goal.p99_ms, goal.p50_times, goal.p99_times))


def misses(each: Measured) -> list[str]:
    """Which of its goals a kind misses, and by what; and what would not have been answered."""
    goal, ours, trigrams = each.kind.goal, each.times.get(OURS), each.times.get(TRIGRAMS)
    if ours is None:
        return []
    missed = []
    for share, most, least in ((0.5, goal.p50_ms, goal.p50_times), (0.99, goal.p99_ms, goal.p99_times)):
        percent = f"p{share * 100:.0f}"
        if most is not None and ours.at(share) > most:
            missed.append(f"{percent} {ours.at(share):.1f} ms for {most:g}")
        if least is not None and trigrams is not None and trigrams.at(share) < least * ours.at(share):
            missed.append(f"{percent} {trigrams.at(share) / ours.at(share):.1f} times for {least:g}")
    if late := ours.over(SEARCH_MAY_MS) + ours.failed:
        missed.append(f"{late} over {SEARCH_MAY_MS} ms")
    if (http := each.times.get(OVER_HTTP)) is not None and http.failed:
        missed.append(f"{http.failed} not answered over HTTP")
    return missed


def _figures(times: Times | None, *shares: float) -> list[str]:
    return [_number(times.at(share)) if times is not None else "" for share in shares]


def _times(floor: Times | None, ours: Times | None, share: float) -> str:
    return _number(floor.at(share) / ours.at(share)) if floor is not None and ours is not None else ""


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
    rows = [(name, f"p50 {times.p50:.2f}  p95 {times.p95:.2f}  p99 {times.p99:.2f}") for name, times in first]
    return _listed("a new session's first questions, ms", rows)


def writes(written: Iterable[Written]) -> str:
    rows = [
        (
            each.what,
            f"{each.a_second:,.0f} a second (goal {GOAL:,}), p50 {each.times.p50:.2f} ms, p99 {each.times.p99:.2f} ms",
        )
        for each in written
    ]
    return _listed("writes by one client", rows)


def _listed(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([f"\n{title}", *(f"  {name.ljust(width)}  {said}" for name, said in rows)])
