"""How Alembic reaches the database and what every migration is held to. Forward only; run as a job before a deploy.

DATABASE_ACCESS=url (default): DATABASE_URL, as postgresql:// or postgresql+pg8000://. DATABASE_ACCESS=connector: the
Cloud SQL connector with the caller's own account: DATABASE_INSTANCE, DATABASE_NAME, DATABASE_USER and
DATABASE_IP_TYPE=public|private.
"""

import os
import time
from functools import cache
from typing import Any

import sqlalchemy
from alembic import context

# Behind a migration that waits for a lock every query waits: it gives up soon, changes nothing, and is run again. What
# is built beside the writers takes as long as the table is large and the oldest transaction lasts, and lifts both.
LOCK_TIMEOUT = "2s"
STATEMENT_TIMEOUT = "60s"

# Any number that nothing else takes. One migration at a time: the second waits, finds the work done and succeeds.
TURN = 7_201_914_060
TURN_WITHIN_S = 300


def migrate() -> None:
    engine = _engine()
    with engine.connect() as connection:
        _take_turn(connection)
        _limit(connection)
        connection.commit()
        context.configure(
            connection=connection,
            transaction_per_migration=True,
            on_version_apply=lambda **_applied: _limit(connection),
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()  # ends the session, and with it the turn


def _limit(connection: sqlalchemy.Connection) -> None:
    """For the session, so that every migration begins with these limits, whatever the one before it has lifted."""
    connection.exec_driver_sql(f"set lock_timeout = '{LOCK_TIMEOUT}'")
    connection.exec_driver_sql(f"set statement_timeout = '{STATEMENT_TIMEOUT}'")


def _take_turn(connection: sqlalchemy.Connection) -> None:
    """Held by the session, asked for without waiting: a transaction that waited here would block a CREATE INDEX
    CONCURRENTLY of the run that has the turn, and that run would block it."""
    deadline = time.monotonic() + TURN_WITHIN_S
    while not connection.exec_driver_sql(f"select pg_try_advisory_lock({TURN})").scalar_one():
        connection.rollback()
        if time.monotonic() > deadline:
            raise TimeoutError("another migration has been running for five minutes")
        time.sleep(0.2)
    connection.commit()


def _engine() -> sqlalchemy.Engine:
    if os.environ.get("DATABASE_ACCESS", "url") == "connector":
        return sqlalchemy.create_engine("postgresql+pg8000://", creator=_connect_by_connector, pool_size=1)
    url = sqlalchemy.make_url(os.environ["DATABASE_URL"])
    return sqlalchemy.create_engine(url.set(drivername="postgresql+pg8000"), pool_size=1)


@cache
def _connector() -> Any:
    from google.cloud.sql.connector import Connector

    return Connector()


def _connect_by_connector() -> Any:
    return _connector().connect(
        os.environ["DATABASE_INSTANCE"],
        "pg8000",
        user=os.environ["DATABASE_USER"],
        db=os.environ["DATABASE_NAME"],
        ip_type=os.environ.get("DATABASE_IP_TYPE", "public"),
        enable_iam_auth=True,
    )


if context.is_offline_mode():
    raise RuntimeError("migrations run against a database; there is no --sql mode")
migrate()
