"""The turn at the catalogue: whoever writes products, variants, brands, categories or addresses takes it first.

Imports take it batch by batch, staff for an edit; so nobody waits for another one's rows, what is looked up is still so
when it is written, and nobody else takes a slug meanwhile.
"""

from shared.persistence.database import Transaction

_LOCK = "pg_advisory_xact_lock(hashtext('catalogue-import'))"
_TAKE = f"select {_LOCK}"

# Waits for the other importers' batches, then for any row as long as a request can keep it (DESIGN.md rule 4). Plans
# are made for each batch: one that was made while the tables were empty would read all of them, batch after batch.
_TAKE_FOR_A_BATCH = f"""
select set_config('lock_timeout', '60s', true), {_LOCK},
    set_config('lock_timeout', '15s', true), set_config('plan_cache_mode', 'force_custom_plan', true)
"""


def take_turn(tx: Transaction) -> None:
    """Until the transaction ends. Whoever waits longer than its session waits for a lock is Unavailable."""
    tx.rows(_TAKE)


def take_turn_for_a_batch(tx: Transaction) -> None:
    """As an import takes it: it waits for a minute."""
    tx.rows(_TAKE_FOR_A_BATCH)
