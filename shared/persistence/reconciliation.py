"""Reconciliation in SQL: runs with their turns, findings, and what staff do with them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.kernel.messages import Task
from shared.orders.findings import Finding, FindingClosed, FindingNotFound, KnownFinding, Run, RunKind, State
from shared.orders.reconciliation import FIRST_STEP, FULL_OVERLAP, OVERLAP
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction, as_json

QUEUE = "payments"
CONTINUE_PATH = "/jobs/payments/reconcile"
# The longest single thing that a run does, between two savings, is a few calls to PayPal that run into their time-outs.
_TURN = timedelta(minutes=2)

_COLUMNS = "id, kind, asked_by, started_at, since, step, cursor, counts, finished_at"

# One of a kind is open at a time: a second one is the same.
_BEGIN = """
insert into reconciliation_runs (id, kind, asked_by, started_at, since, step)
select :id::uuid, :kind::text, :asked_by::text, :at::timestamptz,
    least(coalesce(
        (select max(r.started_at) from reconciliation_runs r where r.finished_at is not null)
            - :overlap_s::int * interval '1 second',
        :furthest::timestamptz), :latest::timestamptz), :step::text
where :unless_since::timestamptz is null or not exists (
    select 1 from reconciliation_runs r
    where r.kind = :kind::text and r.asked_by = :asked_by::text and r.started_at > :unless_since::timestamptz)
on conflict (kind) where finished_at is null do nothing
"""

_TAKE_TURN = f"""
update reconciliation_runs set lease_token = :token::uuid, leased_until = :until::timestamptz, not_before = null
where kind = :kind::text and finished_at is null and (leased_until is null or leased_until <= :at::timestamptz)
    and (not_before is null or not_before <= :at::timestamptz)
returning {_COLUMNS}
"""

_SAVE = """
update reconciliation_runs set step = :step::text, cursor = :cursor::text, counts = :counts::jsonb,
    leased_until = :until::timestamptz
where id = :id::uuid and lease_token = :token::uuid and finished_at is null returning id
"""

_PAUSE = """
update reconciliation_runs set step = :step::text, cursor = :cursor::text, counts = :counts::jsonb,
    lease_token = null, leased_until = null, not_before = :not_before::timestamptz
where id = :id::uuid and lease_token = :token::uuid and finished_at is null returning id
"""

_FINISH = """
update reconciliation_runs set counts = :counts::jsonb, finished_at = :at::timestamptz, lease_token = null,
    leased_until = null
where id = :id::uuid and lease_token = :token::uuid and finished_at is null returning id
"""

_CLOSE_UNSEEN = """
update reconciliation_findings set state = 'repaired', closed_at = :at::timestamptz, closed_by = 'shop',
    reason = 'not found again'
where state = 'open' and seen_at < :started_at::timestamptz
"""

# What a person has explained is not found again while it is the same.
_REPORT = """
insert into reconciliation_findings as f (id, kind, subject, detail, state, order_id, run_id, found_at, seen_at,
    closed_at, closed_by, reason)
select :id::uuid, :kind::text, :subject::text, :detail::jsonb, :state::text, :order_id::uuid, :run_id::uuid,
    :at::timestamptz, :at::timestamptz, case when :state::text <> 'open' then :at::timestamptz end,
    case when :state::text <> 'open' then 'shop' end, case when :state::text <> 'open' then :reason::text end
where not exists (
    select 1 from reconciliation_findings e
    where e.kind = :kind::text and e.subject = :subject::text and e.state = 'explained'
        and (e.detail @> :detail::jsonb or :state::text = 'explained'))
on conflict (kind, subject) where state = 'open'
    do update set detail = f.detail || excluded.detail, seen_at = excluded.seen_at
returning id
"""

_CLOSE = """
update reconciliation_findings set state = :state::text, closed_at = :at::timestamptz, closed_by = 'shop',
    reason = :reason::text, detail = detail || :more::jsonb
where id = :id::uuid and state = 'open'
"""

_FINDING = """
select f.id, f.kind, f.subject, f.detail, f.state, o.number as order_number, f.found_at, f.seen_at, f.closed_at,
    f.closed_by, f.reason
from reconciliation_findings f left join orders o on o.id = f.order_id
"""


def report(tx: Transaction, run: Run, finding: Finding, *, at: datetime, state: State, reason: str) -> None:
    """In the transaction that repairs it: neither without the other."""
    tx.rows(_REPORT, **_reported(run, finding, at=at, state=state, reason=reason))


class Runs:
    """Provides orders.reconciliation.Runs, and for staff the asking."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, kind: RunKind, *, at: datetime, asked_by: str, unless_since: datetime | None = None) -> None:
        self._database.call(_BEGIN, **_begun(kind, at=at, asked_by=asked_by), unless_since=unless_since)

    def ask(self, *, actor: str, answering: Answering[Run] | None) -> Run:
        """A full run now, asked for by staff: the one that is open, or a new one."""

        def in_one_step(tx: Transaction) -> Run:
            at = self._clock.now()
            found = None
            while found is None:  # the open one that kept ours from beginning may have ended by now
                tx.rows(_BEGIN, **_begun("full", at=at, asked_by=actor), unless_since=None)
                found = tx.find(
                    f"select {_COLUMNS} from reconciliation_runs where kind = 'full' and finished_at is null"
                )
            run = _run(found)
            tx.emit(Task(QUEUE, CONTINUE_PATH, {"kind": run.kind}))
            audit.append(tx, Entry(at, actor, "reconciliation.asked", f"reconciliation:{run.id}"))
            return tx.answer(answering, run)

        return self._database.step(in_one_step)

    def take_turn(self, kind: RunKind, *, at: datetime) -> Run | None:
        token = new_id()
        found = self._database.find(_TAKE_TURN, kind=kind, token=token, at=at, until=at + _TURN)
        if found is None:
            return None
        run = _run(found)
        run.token = token
        return run

    def save(self, run: Run, *, at: datetime) -> bool:
        return self._database.find(_SAVE, **_place(run), until=at + _TURN) is not None

    def pause(self, run: Run, *, at: datetime, not_before: datetime | None) -> None:
        def in_one_step(tx: Transaction) -> None:
            if tx.find(_PAUSE, **_place(run), not_before=not_before) is not None and not_before is None:
                tx.emit(Task(QUEUE, CONTINUE_PATH, {"kind": run.kind}))

        self._database.step(in_one_step)

    def finish(self, run: Run, *, at: datetime) -> dict[str, int]:
        def in_one_step(tx: Transaction) -> dict[str, int]:
            mine = tx.find(_FINISH, id=run.id, token=run.token, counts=as_json(run.counts), at=at)
            if mine is not None and run.kind == "full":
                tx.rows(_CLOSE_UNSEEN, at=at, started_at=run.started_at)
            still = tx.rows(
                "select kind, count(*) as number from reconciliation_findings where state = 'open' group by kind"
            )
            return {row["kind"]: row["number"] for row in still}

        return self._database.step(in_one_step)

    def find_last_full(self) -> datetime | None:
        """When it ended; before the first, when the first run of all began."""
        found = self._database.call(
            """
            select coalesce((select max(finished_at) from reconciliation_runs where kind = 'full'),
                (select min(started_at) from reconciliation_runs)) as ended
            """
        )
        ended: datetime | None = found[0]["ended"]
        return ended

    def list_latest(self) -> Sequence[Run]:
        """Of each kind the open one and the one that ended last."""
        rows = self._database.call(
            f"""
            select {_COLUMNS} from reconciliation_runs where finished_at is null
            union all (select {_COLUMNS} from reconciliation_runs where kind = 'full' and finished_at is not null
                order by finished_at desc limit 1)
            union all (select {_COLUMNS} from reconciliation_runs where kind = 'fresh' and finished_at is not null
                order by finished_at desc limit 1)
            order by started_at desc, id
            """
        )
        return [_run(row) for row in rows]


class Findings:
    """Provides orders.reconciliation.Findings, and for staff the list and its end."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def report(
        self, run: Run, finding: Finding, *, at: datetime, state: State = "open", reason: str = ""
    ) -> UUID | None:
        row = self._database.find(_REPORT, **_reported(run, finding, at=at, state=state, reason=reason))
        return None if row is None else row["id"]

    def keep_open(self, subject: str, *, at: datetime) -> None:
        self._database.call(
            """
            update reconciliation_findings set seen_at = :at::timestamptz
            where state = 'open' and (subject = :subject::text or order_id::text = :subject::text
                or starts_with(subject, :subject::text || '/'))
            """,
            subject=subject,
            at=at,
        )

    def close(self, finding_id: UUID, *, at: datetime, state: State, reason: str, more: Mapping[str, Any]) -> None:
        self._database.call(_CLOSE, id=finding_id, at=at, state=state, reason=reason, more=as_json(more))

    def close_named(self, kind: str, subject: str, *, at: datetime, reason: str) -> None:
        self._database.call(
            """
            update reconciliation_findings set state = 'repaired', closed_at = :at::timestamptz, closed_by = 'shop',
                reason = :reason::text
            where state = 'open' and kind = :kind::text and subject = :subject::text
            """,
            kind=kind,
            subject=subject,
            at=at,
            reason=reason,
        )

    def find_open(self, kind: str, subject: str) -> Mapping[str, Any] | None:
        found = self._database.find(
            """
            select detail from reconciliation_findings
            where kind = :kind::text and subject = :subject::text and state = 'open'
            """,
            kind=kind,
            subject=subject,
        )
        return None if found is None else found["detail"]

    def is_known(self, kind: str, subject: str) -> bool:
        """Open, or explained."""
        found = self._database.find(
            """
            select 1 as known from reconciliation_findings
            where kind = :kind::text and subject = :subject::text and state <> 'repaired' limit 1
            """,
            kind=kind,
            subject=subject,
        )
        return found is not None

    def list_subjects(self, kind: str, *, seen_before: datetime, after: str, limit: int) -> Sequence[str]:
        rows = self._database.call(
            # The order of the index reconciliation_findings_one_open.
            """
            select subject from reconciliation_findings
            where state = 'open' and kind = :kind::text and seen_at < :before::timestamptz and subject > :after::text
            order by subject limit :limit::int
            """,
            kind=kind,
            before=seen_before,
            after=after,
            limit=limit,
        )
        return [row["subject"] for row in rows]

    def count_since(self, kind: str, at: datetime) -> int:
        """How many are open, or were found since."""
        found = self._database.call(
            """
            select count(*) as number from reconciliation_findings
            where kind = :kind::text and (state = 'open' or found_at >= :at::timestamptz)
            """,
            kind=kind,
            at=at,
        )
        number: int = found[0]["number"]
        return number

    def list_findings(
        self, state: State, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[KnownFinding]:
        """The newest first; those after the one with `before`'s moment and id."""
        before_at, before_id = before or (None, None)
        rows = self._database.call(
            f"""
            {_FINDING} where f.state = :state::text and (:before_at::timestamptz is null
                or (f.found_at, f.id) < (:before_at::timestamptz, :before_id::uuid))
            order by f.found_at desc, f.id desc limit :limit::int
            """,
            state=state,
            before_at=before_at,
            before_id=before_id,
            limit=limit,
        )
        return [KnownFinding(**row) for row in rows]

    def resolve(
        self, finding_id: UUID, *, actor: str, reason: str, answering: Answering[KnownFinding] | None
    ) -> KnownFinding:
        """A person says why it is as it is. Raises FindingNotFound, FindingClosed."""

        def in_one_step(tx: Transaction) -> KnownFinding:
            at = self._clock.now()
            found = tx.find("select state from reconciliation_findings where id = :id::uuid for update", id=finding_id)
            if found is None:
                raise FindingNotFound
            if found["state"] != "open":
                raise FindingClosed(state=found["state"])
            tx.rows(
                """
                update reconciliation_findings set state = 'explained', closed_at = :at::timestamptz,
                    closed_by = :actor::text, reason = :reason::text
                where id = :id::uuid
                """,
                id=finding_id,
                at=at,
                actor=actor,
                reason=reason,
            )
            resolved = KnownFinding(**tx.one(f"{_FINDING} where f.id = :id::uuid", id=finding_id))
            detail = {"kind": resolved.kind, "subject": resolved.subject, "reason": reason}
            audit.append(tx, Entry(at, actor, "reconciliation.resolved", f"finding:{finding_id}", detail))
            return tx.answer(answering, resolved)

        return self._database.step(in_one_step)


def _begun(kind: RunKind, *, at: datetime, asked_by: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": kind,
        "asked_by": asked_by,
        "at": at,
        "overlap_s": int(OVERLAP.total_seconds()),
        "furthest": at - FULL_OVERLAP,
        "latest": at - (FULL_OVERLAP if kind == "full" else OVERLAP),
        "step": FIRST_STEP,
    }


def _place(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "token": run.token,
        "step": run.step,
        "cursor": run.cursor,
        "counts": as_json(run.counts),
    }


def _reported(run: Run, finding: Finding, *, at: datetime, state: State, reason: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": finding.kind,
        "subject": finding.subject,
        "detail": as_json(finding.detail),
        "state": state,
        "order_id": finding.order_id,
        "run_id": run.id,
        "at": at,
        "reason": reason,
    }


def _run(row: Row) -> Run:
    return Run(**row)
