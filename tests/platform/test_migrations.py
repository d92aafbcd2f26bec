import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pg8000.native
import pytest

from local.database import Address
from tools import schema
from tools.scratch_database import ScratchServer

ROOT = Path(__file__).resolve().parent.parent.parent


def start_migration(database: Address, to: str = "head") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", "upgrade", to],
        cwd=ROOT,
        env={**os.environ, "DATABASE_ACCESS": "url", "DATABASE_URL": database.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def describe(database: Address) -> str:
    connection = database.connect()
    try:
        return schema.describe(connection)
    finally:
        connection.close()


def tables_of(connection: pg8000.native.Connection) -> list[str]:
    found = connection.run("select tablename::text from pg_tables where schemaname = 'public' order by 1")
    return [row[0] for row in found or ()]


def test_two_migrations_at_once_both_succeed(postgres: ScratchServer) -> None:
    empty = postgres.empty()

    runs = [start_migration(empty), start_migration(empty)]
    outputs = [run.communicate(timeout=60)[0] for run in runs]

    assert [run.returncode for run in runs] == [0, 0], outputs
    assert describe(empty) == describe(postgres.template)


def test_a_migration_that_meets_a_held_lock_changes_nothing_and_the_next_one_heals(postgres: ScratchServer) -> None:
    empty = postgres.empty()
    holder, reader = empty.connect(), empty.connect()
    holder.run("create table alembic_version (version_num varchar(32) not null primary key)")
    holder.run("begin")
    holder.run("lock table alembic_version in share mode")  # to read is allowed, to write the new version is not

    started = time.monotonic()
    blocked = start_migration(empty)
    output = blocked.communicate(timeout=60)[0]
    waited_s = time.monotonic() - started

    assert blocked.returncode != 0
    assert "55P03" in output
    assert waited_s < 30
    assert tables_of(reader) == ["alembic_version"]
    assert reader.run("select count(*) from alembic_version") == [[0]]

    holder.run("commit")
    again = start_migration(empty)
    output = again.communicate(timeout=60)[0]
    healed = schema.describe(reader)
    holder.close()
    reader.close()
    assert again.returncode == 0, output
    assert healed == describe(postgres.template)


_REFUSE_OTHER_LIMITS = """
create function refuse_other_limits() returns event_trigger language plpgsql as $$
declare
    limits text := current_setting('lock_timeout') || ', ' || current_setting('statement_timeout');
    is_beside boolean := current_query() ~* '(index concurrently|validate constraint)';
    may_be text := case when is_beside then '0, 0' else '2s, 1min' end;
begin
    if limits <> may_be then
        raise exception '% and not % for: %', limits, may_be, left(current_query(), 200);
    end if;
end $$;
create event trigger limits on ddl_command_start execute function refuse_other_limits();
"""


def test_what_is_built_beside_the_writers_takes_its_time_and_all_else_gives_up_soon(postgres: ScratchServer) -> None:
    """An index of a large table takes minutes, and waits for every transaction that is older than itself."""
    empty = postgres.empty()
    watched = replace(postgres.admin, database=empty.database).connect()
    watched.run(_REFUSE_OTHER_LIMITS)

    run = start_migration(empty)
    output = run.communicate(timeout=60)[0]

    watched.run("drop event trigger limits")
    watched.run("drop function refuse_other_limits()")
    watched.close()
    assert run.returncode == 0, output
    assert describe(empty) == describe(postgres.template)


_SYNONYMS_IN_ORDER = r"""
insert into synonyms (id, term, synonyms, one_way, created_at, updated_at)
select md5(n::text)::uuid, 'term ' || n, '{other}', true, now() - n * interval '1 day', now()
from generate_series(1, 3) n;
insert into synonym_rewrites (target, lexeme, substitute, synonym_id) values
    ('red & lamp', 'lamp', 'torch', md5('1')::uuid),
    ('lamp & red', 'lamp', 'glow', md5('2')::uuid),
    ('lamp & red & red', 'lamp', 'glow', md5('2')::uuid),
    ('sofa & sofa', 'sofa', 'couch', md5('1')::uuid),
    ('''o''''clock'' & bed & ''a\\b''', 'bed', 'bunk', md5('3')::uuid),
    ('tv', 'tv', 'screen', md5('3')::uuid);
"""


def test_words_of_synonyms_that_become_equal_stay_with_the_oldest_entry_and_are_named(postgres: ScratchServer) -> None:
    empty = postgres.empty()
    before = start_migration(empty, "0025")
    output = before.communicate(timeout=120)[0]
    assert before.returncode == 0, output
    connection = empty.connect()
    for statement in _SYNONYMS_IN_ORDER.split(";\n")[:2]:
        connection.run(statement)

    run = start_migration(empty)
    output = run.communicate(timeout=120)[0]

    kept = connection.run(
        "select r.target::text, r.substitute::text, s.term from synonym_rewrites r"
        ' join synonyms s on s.id = r.synonym_id order by r.target::text collate "C"'
    )
    noted = connection.run(
        "select actor, action, s.term, detail from audit_log, synonyms s where subject = 'synonyms:' || s.id"
    )
    [[keeper]] = connection.run("select id::text from synonyms where term = 'term 2'")
    connection.close()
    assert run.returncode == 0, output
    assert kept == [
        [r"'a\\b' & 'bed' & 'o''clock'", "'bunk'", "term 3"],
        ["'lamp' & 'red'", "'glow'", "term 2"],
        ["'sofa'", "'couch'", "term 1"],
        ["'tv'", "'screen'", "term 3"],
    ]
    detail = {"word": "'red' & 'lamp'", "widened_by": f"synonyms:{keeper}"}
    assert noted == [["migration:0026", "synonyms.narrowed", "term 1", detail]]


_JOINED_WORDS = """
insert into brands (id, slug, name) values (md5('brand')::uuid, 'startech', 'StarTech.com');
insert into categories (id, slug, path, name) values (md5('tv')::uuid, 'tv', 'tv', 'TV/Audio');
insert into products (id, slug, group_key, name, description, brand_id, category_id, price_minor, currency, created_at,
    updated_at, words, search_text)
select md5(n::text)::uuid, 'lamp-' || n, n::text, 'Lamp black/white WH-' || n, 'No.5', md5('brand')::uuid,
    md5('tv')::uuid, 1, 'USD', '2026-01-01', '2026-01-02',
    product_words_v1('Lamp black/white WH-' || n, 'StarTech.com', 'TV/Audio', 'No.5'), ''
from generate_series(1, 2500) n;
insert into synonyms (id, term, synonyms, one_way, created_at, updated_at) values
    (md5('a')::uuid, 'piebald', '{black/white}', false, '2026-01-01', '2026-01-01'),
    (md5('b')::uuid, 'sofa', '{couch}', false, '2026-01-01', '2026-01-01');
insert into synonym_rewrites (target, lexeme, substitute, synonym_id)
select word_query_v1(word), word, word_query_v1('settee'), md5(id)::uuid
from (values ('a', 'piebald'), ('a', 'black/white'), ('b', 'sofa'), ('b', 'couch')) as of (id, word)
"""


def test_words_that_were_joined_are_parted_in_all_products_and_synonyms(postgres: ScratchServer) -> None:
    empty = postgres.empty()
    before = start_migration(empty, "0026")
    output = before.communicate(timeout=120)[0]
    assert before.returncode == 0, output
    connection = empty.connect()
    for statement in _JOINED_WORDS.split(";\n"):
        connection.run(statement)

    run = start_migration(empty)
    output = run.communicate(timeout=120)[0]

    found = connection.run(
        "select count(*), count(distinct updated_at) from products where words @@"
        " plainto_tsquery('public.shop', 'lamp black white startech com tv audio no 5')"
    )
    [[last]] = connection.run("select words @@ '2500'::tsquery from products where group_key = '2500'")
    rewrites = connection.run(
        "select r.target::text, r.substitute::text, s.term from synonym_rewrites r"
        ' join synonyms s on s.id = r.synonym_id order by r.target::text collate "C"'
    )
    connection.close()
    assert run.returncode == 0, output
    assert (found, last) == ([[2500, 1]], True)
    assert rewrites == [
        ["'black' & 'white'", "'piebald' | 'black' & 'white'", "piebald"],
        ["'couch'", "'sette'", "sofa"],
        ["'piebald'", "'piebald' | 'black' & 'white'", "piebald"],
        ["'sofa'", "'sette'", "sofa"],
    ]


@pytest.fixture(scope="module")
def described(postgres: ScratchServer) -> Iterator[tuple[pg8000.native.Connection, str]]:
    """A migrated database, and how it is described; who changes it rolls that back."""
    connection = postgres.copy().connect()
    yield connection, schema.describe(connection)
    connection.close()


@pytest.mark.parametrize(
    ("planted", "shows"),
    [
        ("alter table orders add column smuggled text", "smuggled text"),
        ("alter table orders drop constraint orders_parts_make_the_total", "orders_parts_make_the_total"),
        ("drop index orders_placed", "orders_placed"),
        ("grant delete on orders to vitrine_search", "grant delete on orders to vitrine_search;"),
        ("grant update (email) on orders to vitrine_search", "grant update (email) on orders to vitrine_search;"),
        ("grant execute on function fold_v1(text) to public", "grant execute on function fold_v1(text) to public;"),
        ("create function smuggled_v1() returns int language sql as 'select 1'", "FUNCTION public.smuggled_v1()"),
        ("alter table orders alter column late set default true", "late boolean not null default true"),
    ],
)
def test_the_description_of_a_schema_shows_what_was_changed(
    described: tuple[pg8000.native.Connection, str], planted: str, shows: str
) -> None:
    connection, before = described

    connection.run("begin")
    connection.run(planted)
    after = schema.describe(connection)
    connection.run("rollback")

    changed = set(before.splitlines()) ^ set(after.splitlines())
    assert any(shows in line for line in changed), changed


def hindrances(sql: str) -> list[str]:
    """What stops writers of a table that was there before: an index built in its way, a look at all of its rows."""
    bare = re.sub(r"--[^\n]*", "", sql)
    new = set(re.findall(r"create table (\w+)", bare))
    indexes = re.findall(r"create (?:unique )?index (\w+) on (\w+)", bare)
    changes = re.findall(r"alter table (\w+)([^;]*);", bare)
    return [name for name, table in indexes if table not in new] + [
        name
        for table, change in changes
        for name, rest in re.findall(r"add constraint (\w+)((?:(?!add constraint).)*)", change, re.DOTALL)
        if table not in new and "not valid" not in rest
    ]


def test_what_hinders_writers_is_seen() -> None:
    hindering = """
        create table young (a int);
        create index young_a on young (a);
        create unique index old_a on old (a);
        alter table old add constraint seen check (a > 0), add constraint unseen check (a > 1) not valid;
        """

    assert hindrances(hindering) == ["old_a", "seen"]


@pytest.mark.parametrize(
    "migration",
    [path for path in sorted((ROOT / "migrations/versions").glob("*.sql")) if not path.name.startswith("0001")],
    ids=lambda path: path.stem,
)
def test_no_transaction_of_a_migration_hinders_the_writers_of_tables_that_were_there(migration: Path) -> None:
    assert hindrances(migration.read_text(encoding="utf-8")) == []


_COPIES = """
insert into search_products (product_id, name, search_text, price_minor, in_stock, tier, place, words, projected_at)
select md5(n::text)::uuid, 'lamp ' || n, 'lamp ' || n, n, true, case n when 1 then 9 else 4 end, n,
    product_words_v1('lamp ' || n, '', '', '') || filter_lexemes_v1(null, null, n, true), now()
from generate_series(1, 5) as n
"""
_PRICED = """
select matching, counted, unpriced
from search_words_v1('lamp', 'lamp', '', 'lamp', '', '', '', '', false, false, '', null, null, 1, 10, false, 10)
"""
# Whoever fills the table waits with its first row until the lock is free.
_WAITING = """
create function wait_here() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(42);
    return new;
end $$;
create trigger waiting before insert on search_prices for each row execute function wait_here();
"""


def test_prices_and_texts_are_filled_beside_whoever_changes_copies(postgres: ScratchServer) -> None:
    """A product leaves the lists while the filling has read it and not yet written what it read. Whoever searches by
    price meanwhile finds all that is there."""
    shop = postgres.empty()
    before = start_migration(shop, "0037")
    output = before.communicate(timeout=120)[0]
    assert before.returncode == 0, output
    holder, writer = shop.connect(), shop.connect()
    holder.run(_COPIES)
    holder.run((ROOT / "migrations/versions/0038_prices_and_texts.sql").read_text())
    holder.run(_WAITING)
    holder.run("select pg_advisory_lock(42)")

    run = start_migration(shop)
    _await_waiting(holder, 1, run)
    found_meanwhile = holder.run(_PRICED)
    leaving = threading.Thread(target=lambda: writer.run("update search_products set tier = 9 where name = 'lamp 3'"))
    leaving.start()
    _await_waiting(holder, 2, run)
    holder.run("select pg_advisory_unlock(42)")
    output = run.communicate(timeout=60)[0]
    leaving.join()

    prices = holder.run("select price_minor from search_prices order by 1")
    texts = holder.run("select search_text from search_texts order by 1")
    found_then = holder.run(_PRICED)
    writer.close()
    holder.close()
    assert run.returncode == 0, output
    assert prices == [[2], [4], [5]]
    assert texts == [["lamp 2"], ["lamp 4"], ["lamp 5"]]
    assert (found_meanwhile, found_then) == ([["words", 4, False]], [["words", 3, False]])


def _await_waiting(connection: pg8000.native.Connection, many: int, run: "subprocess.Popen[str]") -> None:
    """Until so many wait for a lock of others."""
    deadline = time.monotonic() + 60
    while connection.run("select count(*) from pg_locks where not granted")[0][0] < many:
        assert run.poll() is None
        assert time.monotonic() < deadline
