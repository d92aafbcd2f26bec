"""OIDC tokens as Google signs them for push, tasks and schedules, and the check that Cloud Run makes of them."""

import base64
import binascii
import json
import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://accounts.google.com"
LIFE_S = 3600
# Google hands the same token out again while it is young; signing one for every push would cost more than the push.
RENEWED_AFTER_S = 1800


class BadToken(Exception):
    """The token is not one that this cloud signed for this audience and this moment."""


def load_key(path: str | Path) -> rsa.RSAPrivateKey:
    """The RSA key of the file, made on first use; processes that start at the same moment all get the same one."""
    path = Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = fresh.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_once(path, pem)
    # To validate a key takes twenty times as long as to sign with it, and this one was made here.
    key = serialization.load_pem_private_key(path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path} holds no RSA key")
    return key


def _write_once(path: Path, content: bytes) -> None:
    # A link fails where the name exists, so the file is never seen half written and the first writer wins.
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


class Issuer:
    """Signs tokens with the key of `key_file` (RS256)."""

    def __init__(self, key_file: str | Path) -> None:
        self._key = load_key(key_file)
        self._key_id = _key_id(self._key.public_key())
        self._signed: dict[tuple[str, str], tuple[float, str]] = {}

    def token(self, email: str, audience: str, *, now: float) -> str:
        """A token for a service account, good for an hour from `now`."""
        signed_at, token = self._signed.get((email, audience), (0.0, ""))
        if not token or now - signed_at > RENEWED_AFTER_S:
            token = self._sign(email, audience, int(now))
            self._signed[email, audience] = (now, token)
        return token

    def _sign(self, email: str, audience: str, now: int) -> str:
        subject = str(int.from_bytes(sha256(email.encode()).digest()[:8]))
        header = {"alg": "RS256", "kid": self._key_id, "typ": "JWT"}
        claims = {
            "aud": audience,
            "azp": subject,
            "email": email,
            "email_verified": True,
            "exp": now + LIFE_S,
            "iat": now,
            "iss": ISSUER,
            "sub": subject,
        }
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"


class Verifier:
    """Checks what an Issuer of the same key file signed."""

    def __init__(self, key_file: str | Path) -> None:
        self._key = load_key(key_file).public_key()

    def email_of(self, token: str, audience: str, *, now: float) -> str:
        """The service account that the token names. Raises BadToken."""
        claims = self._claims(token)
        if claims.get("iss") != ISSUER:
            raise BadToken("the issuer is not Google")
        if claims.get("aud") != audience:
            raise BadToken(f"the audience is {claims.get('aud')!r}, not {audience!r}")
        # The clock is one file for all, and only goes forward: a token from the future is a token of another cloud.
        if not float(claims.get("iat", 0)) - 60 <= now < float(claims.get("exp", 0)):
            raise BadToken("the token is too old or not yet good")
        if claims.get("email_verified") is not True:
            raise BadToken("the e-mail is not verified")
        return str(claims.get("email", ""))

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            signed, _, signature = token.rpartition(".")
            header, _, body = signed.partition(".")
            if json.loads(_decode(header)).get("alg") != "RS256":
                raise BadToken("the algorithm is not RS256")
            self._key.verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(_decode(body))
        except InvalidSignature:
            raise BadToken("the signature does not match") from None
        except (ValueError, AttributeError, binascii.Error):
            raise BadToken("this is no token") from None
        if not isinstance(claims, dict):
            raise BadToken("this is no token")
        return claims


def public_key_pem(key_file: str | Path) -> str:
    """The public half, for whoever checks tokens with a library of their own."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return load_key(key_file).public_key().public_bytes(encoding, form).decode()


def _key_id(key: rsa.RSAPublicKey) -> str:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(key.public_bytes(encoding, form)).hexdigest()[:40]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
