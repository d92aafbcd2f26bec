"""functions/deployments.yaml as the local cloud reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Queue:
    """A Cloud Tasks queue and the deployment that works it off."""

    name: str
    deployment: str
    path: str
    limits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A Pub/Sub push subscription."""

    name: str
    topic: str
    deployment: str
    path: str
    limits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Where every subscription's dead letters are brought."""

    deployment: str
    path: str
    ack_deadline_s: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A Cloud Scheduler job. `local_every_s` replaces the cron line where a minute is too coarse for a laptop."""

    name: str
    deployment: str
    cron: str
    path: str
    local_every_s: float | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A row of the table."""

    name: str
    source: str
    entry_point: str
    access: str
    routes: Sequence[str]
    database_role: str
    secrets: Sequence[str]
    settings: Sequence[str]
    concurrency: int
    timeout_s: int
    pool_size: int
    invokers: Sequence[str]

    @property
    def called_by_jobs(self) -> bool:
        return self.access == "jobs"


@dataclass(frozen=True, slots=True)
class Table:
    topics: Sequence[str]
    queues: Sequence[Queue]
    subscriptions: Sequence[Subscription]
    dead_letters: DeadLetters | None
    schedules: Sequence[Schedule]
    deployments: Sequence[Deployment]

    def deployment(self, name: str) -> Deployment:
        """Raises KeyError."""
        for deployment in self.deployments:
            if deployment.name == name:
                return deployment
        raise KeyError(name)


def read_table(file: Path) -> Table:
    """The whole table. Raises KeyError or ValueError where a row does not make sense."""
    content = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    rows = content["deployments"]
    limits = {queue["name"]: _without(queue, "name") for queue in content.get("queues", [])}
    table = Table(
        topics=[topic["name"] for topic in content.get("topics", [])],
        queues=[
            Queue(trigger["queue"], row["name"], trigger["path"], limits[trigger["queue"]])
            for row, trigger in _triggers(rows, "queues")
        ],
        subscriptions=[
            Subscription(
                trigger["subscription"],
                trigger["topic"],
                row["name"],
                trigger["path"],
                _without(trigger, "subscription", "topic", "path"),
            )
            for row, trigger in _triggers(rows, "push")
        ],
        dead_letters=next(
            (
                DeadLetters(row["name"], trigger["path"], trigger["ack_deadline_s"])
                for row, trigger in _triggers(rows, "dead_letters")
            ),
            None,
        ),
        schedules=[
            Schedule(trigger["name"], row["name"], trigger["cron"], trigger["path"], trigger.get("local_every_s"))
            for row, trigger in _triggers(rows, "schedules")
        ],
        deployments=[_deployment(row) for row in rows],
    )
    _refuse_shared_routes(table)
    return table


def _triggers(rows: Sequence[Mapping[str, Any]], kind: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(row, trigger) for row in rows for trigger in row.get("triggers", {}).get(kind, [])]


def _deployment(row: Mapping[str, Any]) -> Deployment:
    return Deployment(
        name=row["name"],
        source=row["source"],
        entry_point=row["entry_point"],
        access=row["access"],
        routes=row.get("triggers", {}).get("routes", []),
        database_role=row["database_role"],
        secrets=row.get("secrets", []),
        settings=row.get("settings", []),
        concurrency=row["concurrency"],
        timeout_s=row["timeout_s"],
        pool_size=row["pool_size"],
        invokers=row.get("invokers", []),
    )


def _refuse_shared_routes(table: Table) -> None:
    owners: dict[str, str] = {}
    for deployment in table.deployments:
        for route in deployment.routes:
            if route in owners:
                raise ValueError(f"{route} belongs to {owners[route]} and to {deployment.name}")
            owners[route] = deployment.name


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
