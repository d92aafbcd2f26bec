"""What all routes of this function share, made on first use."""

from shared.persistence import fulfilment as fulfilment_in_sql
from shared.wiring.parts import Parts

parts = Parts(guards=fulfilment_in_sql.GUARDS)
