"""Rules of searches as staff keep them, products by their slugs, every change in the audit log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction
from shared.search.merchandising import (
    Rule,
    RuledProduct,
    RuleStale,
    RuleTaken,
    UnknownRule,
    check_products,
    read_query,
)

# Products that are gone are left out.
_NAMED = """(
    select coalesce(json_agg(json_build_array(p.slug, p.name) order by n), '[]')
    from unnest(r.{which}) with ordinality as u (id, n) join products p on p.id = u.id)"""
_COLUMNS = f"""r.id, r.query, r.version, r.created_at, r.updated_at, {_NAMED.format(which="pinned")} as pinned,
    {_NAMED.format(which="buried")} as buried"""

_LIST = f"""
select {_COLUMNS} from query_rules r
where r.created_at <= coalesce(:before_at::timestamptz, 'infinity')
    and (:before_at::timestamptz is null or r.created_at < :before_at or r.id > :before_id::uuid)
order by r.created_at desc, r.id limit :limit::int
"""

_CREATE = """
insert into query_rules (id, query, pinned, buried, created_at, updated_at)
values (:id::uuid, fold_v1(:query::text), :pinned::uuid[], :buried::uuid[], :now::timestamptz, :now::timestamptz)
on conflict (query) do nothing returning query
"""

_CHANGE = """
update query_rules set pinned = coalesce(:pinned::uuid[], pinned), buried = coalesce(:buried::uuid[], buried),
    version = version + 1, updated_at = :now::timestamptz
where id = :id::uuid
"""


class SearchRules:
    """Raises UnknownRule."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, rule_id: UUID) -> Rule:
        found = self._database.find(f"select {_COLUMNS} from query_rules r where r.id = :id::uuid", id=rule_id)
        if found is None:
            raise UnknownRule
        return _rule(found)

    def list_rules(self, *, limit: int, before: tuple[datetime, UUID] | None = None) -> Sequence[Rule]:
        """The newest first, those after the one of `before`'s moment and id."""
        moment, last = before or (None, None)
        rows = self._database.call(_LIST, before_at=moment, before_id=last, limit=limit)
        return [_rule(row) for row in rows]

    def create(
        self,
        rule_id: UUID,
        query: str,
        *,
        pinned: Sequence[str],
        buried: Sequence[str],
        actor: str,
        answering: Answering[Rule] | None = None,
    ) -> Rule:
        """Products are slugs. Raises RuleTaken, Invalid."""
        typed = read_query(query)
        check_products(pinned, buried)

        def in_one_step(tx: Transaction) -> Rule:
            now = self._clock.now()
            ids = _ids(tx, pinned, buried)
            written = tx.rows(_CREATE, id=rule_id, query=typed, pinned=ids[0], buried=ids[1], now=now)
            if not written:
                raise RuleTaken(query=tx.one("select fold_v1(:query::text) as query", query=typed)["query"])
            rule = self._lock(tx, rule_id)
            _note(tx, now, actor, "search_rule.created", rule, _told(rule))
            return tx.answer(answering, rule)

        return self._database.step(in_one_step)

    def change(
        self,
        rule_id: UUID,
        *,
        pinned: Sequence[str] | None,
        buried: Sequence[str] | None,
        actor: str,
        if_match: int | None,
    ) -> Rule:
        """What is None stays. Raises RuleStale, Invalid."""

        def in_one_step(tx: Transaction) -> Rule:
            before = self._lock(tx, rule_id)
            if if_match is not None and if_match != before.version:
                raise RuleStale(version=before.version)
            if pinned is None and buried is None:
                return before
            was = _told(before)
            became = {
                "pinned": was["pinned"] if pinned is None else list(pinned),
                "buried": was["buried"] if buried is None else list(buried),
            }
            check_products(became["pinned"], became["buried"])
            if became == {name: was[name] for name in became}:
                return before
            now = self._clock.now()
            ids = _ids(tx, pinned or (), buried or ())
            tx.rows(
                _CHANGE,
                id=rule_id,
                pinned=None if pinned is None else ids[0],
                buried=None if buried is None else ids[1],
                now=now,
            )
            detail = {n: {"was": was[n], "now": became[n]} for n in became if was[n] != became[n]}
            after = self._lock(tx, rule_id)
            _note(tx, now, actor, "search_rule.changed", after, detail)
            return after

        return self._database.step(in_one_step)

    def delete(self, rule_id: UUID, *, actor: str) -> None:
        def in_one_step(tx: Transaction) -> None:
            rule = self._lock(tx, rule_id)
            tx.rows("delete from query_rules where id = :id::uuid", id=rule_id)
            _note(tx, self._clock.now(), actor, "search_rule.deleted", rule, _told(rule))

        self._database.step(in_one_step)

    def _lock(self, tx: Transaction, rule_id: UUID) -> Rule:
        found = tx.find(f"select {_COLUMNS} from query_rules r where r.id = :id::uuid for update of r", id=rule_id)
        if found is None:
            raise UnknownRule
        return _rule(found)


def _ids(tx: Transaction, pinned: Sequence[str], buried: Sequence[str]) -> tuple[list[UUID], list[UUID]]:
    """Products by their slugs of today. Raises Invalid that names those that there are not."""
    rows = tx.rows("select slug, id from products where slug = any(:slugs::text[])", slugs=[*pinned, *buried])
    ids = {row["slug"]: row["id"] for row in rows}
    bad = [
        Field(f"/{name}/{position}", "There is no product with this slug.")
        for name, slugs in (("pinned", pinned), ("buried", buried))
        for position, slug in enumerate(slugs)
        if slug not in ids
    ]
    if bad:
        raise Invalid(bad)
    return [ids[slug] for slug in pinned], [ids[slug] for slug in buried]


def _told(rule: Rule) -> dict[str, list[str]]:
    """Its products as the audit log keeps them."""
    return {"pinned": [each.slug for each in rule.pinned], "buried": [each.slug for each in rule.buried]}


def _note(
    tx: Transaction,
    now: datetime,
    actor: str,
    action: str,
    rule: Rule,
    detail: Mapping[str, object],
) -> None:
    audit.append(tx, Entry(now, actor, action, f"search-rule:{rule.id}", {"query": rule.query, **detail}))


def _rule(row: Row) -> Rule:
    return Rule(
        id=row["id"],
        query=row["query"],
        pinned=[RuledProduct(*each) for each in row["pinned"]],
        buried=[RuledProduct(*each) for each in row["buried"]],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
