"""What the merchant has set."""

from functions.inventory.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.inventory_views import SettingsBody, SettingsView, settings_view
from shared.edge.routing import Routes
from shared.gateways.paypal_money import supports
from shared.kernel.errors import Field, Invalid
from shared.kernel.first_use import first_use
from shared.persistence.shop_settings import SettingsOfShop
from shared.shop.settings import SettingsStale

routes = Routes()


@first_use
def settings_of_shop() -> SettingsOfShop:
    return SettingsOfShop(parts.database(), parts.clock)


@routes.get("/v1/admin/settings", answers={200: SettingsView}, permission="settings:read")
def get_settings(call: Call[None]) -> Reply:
    """What the merchant has set."""
    settings = settings_of_shop().get()
    return Reply(200, settings_view(settings), {"ETag": f'"{settings.version}"'})


@routes.patch(
    "/v1/admin/settings",
    body=SettingsBody,
    answers={200: SettingsView},
    errors=[SettingsStale, Invalid],
    permission="settings:write",
    if_match="optional",
)
def change_settings(call: Call[SettingsBody]) -> Reply:
    """Change what the merchant has set; If-Match names the version that is meant. It counts from the next quote on."""
    body = call.body
    if isinstance(body.currency, str) and not supports(body.currency):
        raise Invalid([Field("/currency", "PayPal takes no payments in this currency.")])
    settings = settings_of_shop().change(body.changed, actor=call.actor, if_match=call.if_match)
    return Reply(200, settings_view(settings), {"ETag": f'"{settings.version}"'})
