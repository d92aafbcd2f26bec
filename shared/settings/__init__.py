"""Settings: what the environment says, by group, read at first use. A function builds only the groups it needs.

Every group is a frozen dataclass with `from_env(env)`, which raises one SettingsError that names all that is missing or
bad. Whatever production must refuse is refused here.
"""

from shared.settings.database import DatabaseSettings
from shared.settings.google import GoogleSettings
from shared.settings.paypal import PayPalSettings, WebhookSettings
from shared.settings.platform import PlatformSettings
from shared.settings.reading import SettingsError, environment
from shared.settings.sendgrid import SendGridSettings
from shared.settings.storage import MediaSettings, UploadSettings
from shared.settings.tokens import TokenKeys
from shared.settings.turnstile import TurnstileSettings

__all__ = [
    "DatabaseSettings",
    "GoogleSettings",
    "MediaSettings",
    "PayPalSettings",
    "PlatformSettings",
    "SendGridSettings",
    "SettingsError",
    "TokenKeys",
    "TurnstileSettings",
    "UploadSettings",
    "WebhookSettings",
    "environment",
]
