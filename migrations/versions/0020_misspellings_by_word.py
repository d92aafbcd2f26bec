"""What a word that is gone leaves in the list of misspellings is found by the word: built beside the writers."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
        op.get_bind().exec_driver_sql("drop index concurrently if exists search_misspellings_word")
        op.get_bind().exec_driver_sql(
            "create index concurrently search_misspellings_word on search_misspellings (word)"
        )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
