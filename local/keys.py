"""Keys and passwords of one local cloud, made once per state folder."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.google.identity import load_key, public_key_pem


class Keys:
    """Opens the key material of a state folder, or makes it. Everything lies in files that only the owner reads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._secrets_file = folder / "secrets.json"
        self.oidc_key = folder / "oidc.pem"
        self.oidc_public_key = folder / "oidc-public.pem"
        self.sendgrid_key = folder / "sendgrid-webhook.pem"
        self._known: dict[str, str] = {}
        if self._secrets_file.exists():
            self._known = json.loads(self._secrets_file.read_text())
        load_key(self.oidc_key)
        if not self.oidc_public_key.exists():
            _write(self.oidc_public_key, public_key_pem(self.oidc_key))
        if not self.sendgrid_key.exists():
            _write(self.sendgrid_key, _new_ec_key())

    def secret(self, name: str) -> str:
        """The value under this name; a password is made for a name that is new."""
        if name not in self._known:
            self._known[name] = _new_secret(name)
            _write(self._secrets_file, json.dumps(self._known, indent=1, sort_keys=True))
        return self._known[name]

    @property
    def token_keys(self) -> Mapping[str, str]:
        """{"current": kid, "keys": {kid: base64}} as the functions get it in TOKEN_KEYS."""
        ring: Mapping[str, str] = json.loads(self.secret("TOKEN_KEYS"))
        return ring

    @property
    def sendgrid_webhook_key(self) -> str:
        """SendGrid's public key as its settings page shows it: base64 of the DER SubjectPublicKeyInfo."""
        private = serialization.load_pem_private_key(self.sendgrid_key.read_bytes(), password=None)
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return base64.b64encode(private.public_key().public_bytes(encoding, form)).decode()


def _new_secret(name: str) -> str:
    if name == "TOKEN_KEYS":
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        return json.dumps({"current": "local-1", "keys": {"local-1": key}})
    if name == "PAYPAL_CLIENT_ID":
        return "A" + secrets.token_hex(39)
    if name == "PAYPAL_WEBHOOK_ID":
        return "".join(secrets.choice("0123456789ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(17))
    if name == "SENDGRID_API_KEY":
        return f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"
    return secrets.token_urlsafe(24)


def _new_ec_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _write(file: Path, content: str) -> None:
    fresh = file.with_name(file.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(content)
    os.replace(fresh, file)
