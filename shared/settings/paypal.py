"""PayPal: whom to call and with which credentials, and whose webhooks to believe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from shared.settings.reading import Reader

# https://developer.paypal.com/api/rest/requests/#api-integrations
_HOSTS = ("https://api-m.paypal.com", "https://api-m.sandbox.paypal.com")
# Every certificate URL that was ever recorded begins with one of these (VENDORS.md).
_CERTIFICATES = (
    "https://api.paypal.com/v1/notifications/certs/",
    "https://api.sandbox.paypal.com/v1/notifications/certs/",
)
# PayPal's webhook simulator signs with the live key over this literal id: whoever accepts it believes anybody.
_SIMULATOR_ID = "WEBHOOK_ID"


@dataclass(frozen=True, slots=True)
class PayPalSettings:
    """`invoice_prefix` marks what this shop has made: what does not carry it is never touched (DESIGN.md rule 8)."""

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    invoice_prefix: str = "VIT-"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("paypal", env)
        settings = cls(
            base_url=reader.base_url("PAYPAL_BASE_URL", production=_HOSTS),
            client_id=reader.text("PAYPAL_CLIENT_ID"),
            client_secret=reader.text("PAYPAL_CLIENT_SECRET"),
            invoice_prefix=reader.text("PAYPAL_INVOICE_PREFIX", "VIT-"),
        )
        reader.finish()
        return settings


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """`cert_prefixes` begin the URLs that certificates may come from; `cert_roots` is a PEM file, None: certifi's."""

    paypal_webhook_id: str
    cert_prefixes: tuple[str, ...]
    cert_roots: str | None
    sendgrid_key: str | None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("webhooks", env)
        webhook_id = reader.text("PAYPAL_WEBHOOK_ID")
        if webhook_id.upper() == _SIMULATOR_ID:
            reader.refuse("PAYPAL_WEBHOOK_ID", "is the id that PayPal's simulator signs for anybody")
        prefixes = tuple(
            part.strip() for part in reader.text("PAYPAL_CERT_PREFIXES", ",".join(_CERTIFICATES)).split(",")
        )
        if not all(prefix.startswith(("https://", "http://")) and prefix.endswith("/") for prefix in prefixes):
            reader.refuse("PAYPAL_CERT_PREFIXES", "must be URL prefixes that end in a slash")
        roots = reader.text("PAYPAL_CERT_ROOTS", "") or None
        if reader.in_production:
            if not set(prefixes) <= set(_CERTIFICATES):
                reader.refuse("PAYPAL_CERT_PREFIXES", f"must be among {', '.join(_CERTIFICATES)} in production")
            if roots is not None:
                reader.refuse("PAYPAL_CERT_ROOTS", "must not be set in production")
        settings = cls(
            paypal_webhook_id=webhook_id,
            cert_prefixes=prefixes,
            cert_roots=roots,
            sendgrid_key=reader.text("SENDGRID_WEBHOOK_KEY", "") or None,
        )
        reader.finish()
        return settings
