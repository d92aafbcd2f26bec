"""What the routes and jobs of this function need, made on first use."""

from collections.abc import Sequence
from uuid import UUID

from shared.gateways.paypal import PayPal
from shared.gateways.turnstile import Turnstile
from shared.kernel.first_use import first_use
from shared.persistence import orders as orders_in_sql
from shared.persistence.orders import Orders
from shared.settings import PayPalSettings, TurnstileSettings, environment
from shared.wiring.parts import Parts

parts = Parts(guards=orders_in_sql.GUARDS)
clock, platform, token_keys, database = parts.clock, parts.platform, parts.token_keys, parts.database


@first_use
def paypal_settings() -> PayPalSettings:
    return PayPalSettings.from_env(environment())


@first_use
def paypal() -> PayPal:
    return PayPal(paypal_settings())


@first_use
def bots() -> Turnstile | None:
    settings = TurnstileSettings.from_env(environment())
    return None if settings.secret is None else Turnstile(settings)


@first_use
def orders() -> Orders:
    return Orders(database(), clock, take_published=_publish_early)


def _publish_early() -> Sequence[UUID]:
    parts.dispatcher().publish()
    return parts.dispatcher().take_published()
