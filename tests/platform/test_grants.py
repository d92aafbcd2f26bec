from collections.abc import Iterator

import pg8000.native
import pytest

from local.database import Address
from tests.deployments import ROWS
from tools.scratch_database import ScratchServer

ROLES = {f"vitrine_{row['database_role']}": row for row in ROWS}

CATALOGUE = {"brands", "categories", "category_history", "products", "slug_history", "variants", "stock_levels"}
CATALOGUE |= {
    "search_products",
    "search_prices",
    "search_texts",
    "search_variants",
    "search_words",
    "search_misspellings",
    "search_tiers",
}
CATALOGUE |= {"query_rules", "synonym_rewrites", "related_products"}


@pytest.fixture
def catalogues(database: Address) -> Iterator[pg8000.native.Connection]:
    connection = database.connect()
    yield connection
    connection.close()


def tables_of_the_table() -> set[tuple[str, str, str]]:
    """(role, table, privilege) of every grant on a whole table."""
    return {
        (role, table, privilege)
        for role, row in ROLES.items()
        for table, privileges in row["grants"]["tables"].items()
        for privilege in privileges
        if isinstance(privileges, list) or privileges[privilege] == "all"
    }


def columns_of_the_table() -> set[tuple[str, str, str, str]]:
    """(role, table, privilege, column) of every grant that is narrowed to columns."""
    return {
        (role, table, privilege, column)
        for role, row in ROLES.items()
        for table, privileges in row["grants"]["tables"].items()
        if isinstance(privileges, dict)
        for privilege, columns in privileges.items()
        if columns != "all"
        for column in columns
    }


def test_every_table_may_be_touched_as_the_deployments_table_says(catalogues: pg8000.native.Connection) -> None:
    granted = catalogues.run(
        "select grantee, table_name, lower(privilege_type) from information_schema.role_table_grants"
        " where table_schema = 'public' and (grantee like 'vitrine\\_%' or grantee = 'PUBLIC')"
        " and grantee <> (select tableowner from pg_tables where schemaname = 'public' and tablename = table_name)"
    )

    assert {tuple(row) for row in granted or ()} == tables_of_the_table()


def test_every_column_may_be_touched_as_the_deployments_table_says(catalogues: pg8000.native.Connection) -> None:
    # information_schema.role_column_grants repeats grants on whole tables; the column's own list does not.
    granted = catalogues.run(
        "select r.rolname, c.relname, lower(x.privilege_type), a.attname"
        " from pg_attribute a join pg_class c on c.oid = a.attrelid, aclexplode(a.attacl) x"
        " left join pg_roles r on r.oid = x.grantee where c.relnamespace = 'public'::regnamespace"
    )

    assert {tuple(row) for row in granted or ()} == columns_of_the_table()


def test_every_function_may_be_called_as_the_deployments_table_says(catalogues: pg8000.native.Connection) -> None:
    granted = catalogues.run(
        "select coalesce(r.rolname, 'public'), p.proname"
        " from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x"
        " left join pg_roles r on r.oid = x.grantee"
        " where p.pronamespace = 'public'::regnamespace and x.grantee <> p.proowner and not exists"
        " (select 1 from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')"
    )

    assert {tuple(row) for row in granted or ()} == {
        (role, function) for role, row in ROLES.items() for function in row["grants"].get("functions", [])
    }


def test_the_table_names_only_tables_columns_and_functions_that_exist(catalogues: pg8000.native.Connection) -> None:
    columns = catalogues.run(
        "select table_name, column_name from information_schema.columns where table_schema = 'public'"
    )
    known = {tuple(row) for row in columns or ()}

    assert {table for _, table, _ in tables_of_the_table()} <= {table for table, _ in known}
    assert {(table, column) for _, table, _, column in columns_of_the_table()} <= known


def test_roles_cannot_log_in_make_anything_or_act_for_another(catalogues: pg8000.native.Connection) -> None:
    roles = catalogues.run(
        "select rolname from pg_roles where rolname = any (:names) and not (rolcanlogin or rolsuper or rolcreaterole"
        " or rolcreatedb or rolreplication or rolbypassrls) and not exists"
        " (select 1 from pg_auth_members m where m.member = pg_roles.oid)",
        names=list(ROLES),
    )
    creators = catalogues.run(
        "select name from unnest(cast(:names as text[])) as name where has_schema_privilege(name, 'public', 'create')",
        names=list(ROLES),
    )

    assert {row[0] for row in roles or ()} == set(ROLES)
    assert creators == []


def test_search_can_only_read_the_catalogue() -> None:
    assert {grant for grant in tables_of_the_table() if grant[0] == "vitrine_search"} == {
        ("vitrine_search", table, "select") for table in CATALOGUE
    }
    assert {grant for grant in columns_of_the_table() if grant[0] == "vitrine_search"} == set()


def test_a_login_is_refused_what_its_role_was_not_given(postgres: ScratchServer, database: Address) -> None:
    searching = postgres.login(database, "search").connect()

    refused = []
    for forbidden in ("select email from orders", "update products set name = ''", "select * from sessions"):
        with pytest.raises(pg8000.native.DatabaseError) as error:
            searching.run(forbidden)
        refused.append(error.value.args[0]["C"])
    allowed = searching.run("select count(*) >= 0 from products")
    searching.close()

    assert refused == ["42501", "42501", "42501"]
    assert allowed == [[True]]
