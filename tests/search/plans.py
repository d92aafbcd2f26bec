"""Which indexes PostgreSQL goes by, and what it reads whole: of a statement, and of all that a function makes."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pg8000.native
from pg8000.core import CoreConnection
from pg8000.native import to_statement

from local.database import Address
from shared.persistence.connecting import BY_INDEXES
from shared.persistence.database import Database
from shared.persistence.search_statements import Statement

_TELLING = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_analyze": "on",
    "client_min_messages": "log",
} | BY_INDEXES


@dataclass
class Plans:
    """`readings`: how often each index was asked; `rows`: how many were read of each table."""

    indexes: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    readings: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def read(self, node: dict[str, Any]) -> None:
        if "Index Name" in node:
            self.indexes.add(node["Index Name"])
            self.readings[node["Index Name"]] += int(node.get("Actual Loops", 0))
        if "Relation Name" in node:
            self.rows[node["Relation Name"]] += round(node.get("Actual Rows", 0) * node.get("Actual Loops", 0))
        # By its key a row is read for its key: without one the whole table is, in the order of its keys.
        by_no_key = re.fullmatch(r"search_\w+_pkey", node.get("Index Name", "")) and "Index Cond" not in node
        if node["Node Type"] == "Seq Scan" or by_no_key:
            self.whole.add(node["Relation Name"])
        for child in node.get("Plans", ()):
            self.read(child)


def plan_of(asking: CoreConnection, statement: str) -> Plans:
    """The plan that is kept for all parameters."""
    sql, _ = to_statement(statement)
    found = asking.execute_simple(f"explain (generic_plan, format json) {sql}").rows[0][0]
    plans = Plans()
    plans.read((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])
    return plans


def as_it_ran(database: Database, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    """The nodes of the plan, with what each did."""
    found = database.call(f"explain (analyze, format json) {sql}", **parameters)[0]["QUERY PLAN"]

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from nodes(child)

    return list(nodes((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))


def readings(database: Database, index: str, sql: str, **parameters: Any) -> int:
    """How often the index is asked."""
    nodes = as_it_ran(database, sql, **parameters)
    return sum(round(node["Actual Loops"]) for node in nodes if node.get("Index Name") == index)


def plans_inside(database: Address, admin: Address, statements: Sequence[Statement]) -> Plans:
    """The plans of all statements that functions made for these, with search's settings, as the server tells an
    administrator. A statement that a function did not come to is not among them."""
    plans = Plans()
    connection = replace(admin, database=database.database).connect()
    try:
        connection.run("load 'auto_explain'")
        for name, value in _TELLING.items():
            connection.run(f"set {name} = {pg8000.native.literal(value)}")
        for sql, parameters in statements:
            connection.notices.clear()
            connection.run(sql, **parameters)
            told = [notice[b"M"].decode() for notice in connection.notices]
            assert 0 < len(told) < (connection.notices.maxlen or 0)
            for message in told:
                _, _, plan = message.partition("plan:")
                if plan:
                    plans.read(json.loads(plan)["Plan"])
    finally:
        connection.close()
    return plans
