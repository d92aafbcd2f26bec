"""SendGrid: whom to call, with which key, and who the mails are from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Self

from shared.settings.reading import Reader

# https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/authentication: global and EU base
_HOSTS = ("https://api.sendgrid.com", "https://api.eu.sendgrid.com")


@dataclass(frozen=True, slots=True)
class SendGridSettings:
    """`mail_from` is one address as RFC 5322 writes it: Vitrine <orders@vitrine.example>."""

    base_url: str
    mail_from: str
    api_key: str = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("sendgrid", env)
        mail_from = reader.text("MAIL_FROM")
        if mail_from and "@" not in parseaddr(mail_from)[1]:
            reader.refuse("MAIL_FROM", "is not an address")
        settings = cls(
            base_url=reader.base_url("SENDGRID_BASE_URL", production=_HOSTS),
            mail_from=mail_from,
            api_key=reader.text("SENDGRID_API_KEY"),
        )
        reader.finish()
        return settings

    @property
    def sender(self) -> tuple[str, str]:
        """Display name and address."""
        return parseaddr(self.mail_from)
