"""Lockout: whose payments are refused too often waits, twice as long each time (DESIGN.md section 9).

A stolen card is tried out where trying is free. Refusals are counted for the cart, the e-mail address and the network
of an order, by the step that closes the attempt, from our own rows. While one of the three waits, nothing new is
placed, no payment is reopened and no capture is asked for; what PayPal has already been asked for goes on.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.kernel.errors import NotFound, RateLimited
from shared.shop.settings import ShopSettings

Kind = Literal["cart", "email", "network"]
_WINDOW = timedelta(hours=1)
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(hours=24)
# Who has kept quiet for so long after a wait begins anew with the shortest one.
FORGOTTEN_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Lockout:
    """The refusals of one cart, e-mail address (folded) or network: those of the last hour, the oldest first.

    `times` is how often it was locked in a row.
    """

    id: UUID
    kind: Kind
    subject: str
    refused_at: tuple[datetime, ...] = ()
    times: int = 0
    locked_until: datetime | None = None

    def after_refusal(self, at: datetime, *, limit: int) -> "Lockout":
        """With `limit` refusals within an hour it is locked: a minute, then twice as long each time, a day at most."""
        refused_at = (*(moment for moment in self.refused_at if moment > at - _WINDOW), at)[-limit:]
        is_forgotten = self.locked_until is not None and at - self.locked_until > FORGOTTEN_AFTER
        times = 0 if is_forgotten else self.times
        if len(refused_at) < limit:
            return replace(self, refused_at=refused_at, times=times)
        until = at + min(_SHORTEST * 2 ** min(times, 20), _LONGEST)
        if self.locked_until is not None:
            until = max(until, self.locked_until)
        return replace(self, refused_at=refused_at, times=times + 1, locked_until=until)


def limit_of(kind: Kind, shop: ShopSettings) -> int:
    """How many refusals within an hour lock it."""
    return shop.refused_payments_per_network if kind == "network" else shop.refused_payments_per_buyer


class CheckoutLocked(RateLimited):
    sentence = "Too many payments were refused. Please wait a while before you try again."


def refuse_while_locked(locked_until: datetime | None, *, at: datetime) -> None:
    """Raises CheckoutLocked with the time that is left."""
    if locked_until is not None and locked_until > at:
        raise CheckoutLocked(retry_after_s=max(1, math.ceil((locked_until - at).total_seconds())))


class LockoutNotFound(NotFound):
    sentence = "There is no such lockout."
