"""Synonyms as staff keep them, and what search makes of them: a change of one rewrites the other in the same step."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.persistence import audit
from shared.persistence.database import Database, Transaction
from shared.search.merchandising import (
    LARGEST_ENTRY_BYTES,
    MOST_LEXEMES,
    Synonym,
    SynonymStale,
    SynonymTaken,
    UnknownSynonym,
    read_words,
)

_COLUMNS = "id, term, synonyms, one_way, version, created_at, updated_at"

_LIST = f"""
select {_COLUMNS} from synonyms
where created_at <= coalesce(:before_at::timestamptz, 'infinity')
    and (:before_at::timestamptz is null or created_at < :before_at or id > :before_id::uuid)
order by created_at desc, id limit :limit::int
"""

_CREATE = f"""
insert into synonyms (id, term, synonyms, one_way, created_at, updated_at)
values (:id::uuid, :term::text, :synonyms::text[], :one_way::boolean, :now::timestamptz, :now::timestamptz)
returning {_COLUMNS}
"""

_CHANGE = f"""
update synonyms set term = :term::text, synonyms = :synonyms::text[], one_way = :one_way::boolean,
    version = version + 1, updated_at = :now::timestamptz
where id = :id::uuid returning {_COLUMNS}
"""

# A change frees the words it had before it takes its new ones: two of them would wait for each other's.
_TAKE_TURN = "select pg_advisory_xact_lock(hashtext('synonyms'))"

# The words as search stems them, whatever their order; of stop words nothing is left.
_STEMMED = """
select n, (numnode(query) + 1) / 2 as lexemes, pg_column_size(query) as bytes, query::text as query
from unnest(:words::text[]) with ordinality as t (word, n), word_query_v1(parted_v1(word)) as query
order by n
"""

_REWRITE = """
with said as (
    select min(n) as n, query, min(lexeme collate "C") as lexeme
    from unnest(:words::text[]) with ordinality as t (word, n),
        word_query_v1(parted_v1(word)) as query, unnest(to_tsvector('public.shop', parted_v1(word))) as l (lexeme)
    group by query
)
insert into synonym_rewrites (target, lexeme, substitute, synonym_id)
select query, lexeme, (select string_agg('( ' || query::text || ' )', ' | ' order by n)::tsquery from said),
    :synonym_id::uuid
from said where not :one_way::boolean or n = 1
on conflict (target) do nothing
returning target::text as target
"""


class Synonyms:
    """Raises UnknownSynonym."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, synonym_id: UUID) -> Synonym:
        found = self._database.find(f"select {_COLUMNS} from synonyms where id = :id::uuid", id=synonym_id)
        if found is None:
            raise UnknownSynonym
        return Synonym(**found)

    def list_synonyms(self, *, limit: int, before: tuple[datetime, UUID] | None = None) -> Sequence[Synonym]:
        """The newest first, those after the one of `before`'s moment and id."""
        moment, last = before or (None, None)
        rows = self._database.call(_LIST, before_at=moment, before_id=last, limit=limit)
        return [Synonym(**row) for row in rows]

    def create(
        self,
        synonym_id: UUID,
        *,
        term: str,
        synonyms: Sequence[str],
        one_way: bool,
        actor: str,
        answering: Answering[Synonym] | None = None,
    ) -> Synonym:
        """Raises SynonymTaken, Invalid."""
        words = read_words(term, synonyms)

        def in_one_step(tx: Transaction) -> Synonym:
            tx.rows(_TAKE_TURN)
            now = self._clock.now()
            row = tx.one(_CREATE, id=synonym_id, term=words[0], synonyms=words[1:], one_way=one_way, now=now)
            _rewrite(tx, synonym_id, words, one_way=one_way)
            synonym = Synonym(**row)
            _note(tx, now, actor, "synonyms.created", synonym, _told(synonym))
            return tx.answer(answering, synonym)

        return self._database.step(in_one_step)

    def change(
        self,
        synonym_id: UUID,
        *,
        term: str | None,
        synonyms: Sequence[str] | None,
        one_way: bool | None,
        actor: str,
        if_match: int | None,
    ) -> Synonym:
        """What is None stays. Raises SynonymStale, SynonymTaken, Invalid."""

        def in_one_step(tx: Transaction) -> Synonym:
            tx.rows(_TAKE_TURN)
            before = _lock(tx, synonym_id)
            if if_match is not None and if_match != before.version:
                raise SynonymStale(version=before.version)
            words = read_words(before.term if term is None else term, before.synonyms if synonyms is None else synonyms)
            became = {
                "term": words[0],
                "synonyms": words[1:],
                "one_way": before.one_way if one_way is None else one_way,
            }
            was = _told(before)
            if became == was:
                return before
            now = self._clock.now()
            tx.rows("delete from synonym_rewrites where synonym_id = :id::uuid", id=synonym_id)
            row = tx.one(_CHANGE, id=synonym_id, now=now, **became)
            _rewrite(tx, synonym_id, words, one_way=row["one_way"])
            detail = {name: {"was": was[name], "now": became[name]} for name in became if was[name] != became[name]}
            _note(tx, now, actor, "synonyms.changed", before, detail)
            return Synonym(**row)

        return self._database.step(in_one_step)

    def delete(self, synonym_id: UUID, *, actor: str) -> None:
        """Its rewrites go with it."""

        def in_one_step(tx: Transaction) -> None:
            synonym = _lock(tx, synonym_id)
            tx.rows("delete from synonyms where id = :id::uuid", id=synonym_id)
            _note(tx, self._clock.now(), actor, "synonyms.deleted", synonym, _told(synonym))

        self._database.step(in_one_step)


def _rewrite(tx: Transaction, synonym_id: UUID, words: Sequence[str], *, one_way: bool) -> None:
    """Raises SynonymTaken, Invalid."""
    stemmed = tx.rows(_STEMMED, words=list(words))
    pointers = ["/term", *(f"/synonyms/{n}" for n in range(len(words) - 1))]
    bad = [Field(pointer, "Search leaves this word out.") for pointer, row in zip(pointers, stemmed, strict=True)
           if row["lexemes"] == 0]  # fmt: skip
    if not bad and len({row["query"] for row in stemmed}) == 1:
        bad.append(Field("/synonyms", "To search these are one word."))
    lexemes, size_bytes = (sum(row[name] for row in stemmed) for name in ("lexemes", "bytes"))
    if not bad and (lexemes > MOST_LEXEMES or size_bytes > LARGEST_ENTRY_BYTES):
        bad.append(Field("/synonyms", f"An entry has room for {MOST_LEXEMES} words in all, fewer where they are long."))
    if bad:
        raise Invalid(bad)
    widened = stemmed[:1] if one_way else stemmed
    written = {row["target"] for row in tx.rows(_REWRITE, synonym_id=synonym_id, words=list(words), one_way=one_way)}
    taken = [word for word, row in zip(words, widened, strict=False) if row["query"] not in written]
    if taken:
        raise SynonymTaken(words=taken)


def _lock(tx: Transaction, synonym_id: UUID) -> Synonym:
    found = tx.find(f"select {_COLUMNS} from synonyms where id = :id::uuid for update", id=synonym_id)
    if found is None:
        raise UnknownSynonym
    return Synonym(**found)


def _told(synonym: Synonym) -> dict[str, object]:
    """As the audit log keeps it."""
    return {"term": synonym.term, "synonyms": list(synonym.synonyms), "one_way": synonym.one_way}


def _note(
    tx: Transaction, now: datetime, actor: str, action: str, synonym: Synonym, detail: Mapping[str, object]
) -> None:
    audit.append(tx, Entry(now, actor, action, f"synonyms:{synonym.id}", detail))
