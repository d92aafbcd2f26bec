"""What the routes of a buyer and those of staff both need, made on first use."""

from shared.kernel.first_use import first_use
from shared.persistence import orders as orders_in_sql
from shared.persistence import returns as returns_in_sql
from shared.persistence.returns import Returns
from shared.wiring.parts import Parts

parts = Parts(guards={**orders_in_sql.GUARDS, **returns_in_sql.GUARDS})


@first_use
def returns() -> Returns:
    return Returns(parts.database(), parts.clock)
