"""Debian's PostgreSQL, which speaks TLS as Cloud SQL does; the wheel's own is built without it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local.ports import is_free
from local.postgres import EmbeddedPostgres

_PORT = 5432  # the private profile has no other


class NotHere(Exception):
    """It cannot be had on this machine; the message says why."""


@contextmanager
def tls_postgres(folder: Path) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """The server and the PEM of the authority of its certificate. Raises NotHere."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if not programs:
        raise NotHere("Debian's postgresql is not installed, and the embedded server speaks no TLS")
    if not is_free(_PORT):
        raise NotHere(f"port {_PORT} is taken, and the private profile knows no other")
    folder.mkdir()
    authority = _certify(folder)
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(folder / "server.crt"),
        "ssl_key_file": str(folder / "server.key"),
        "log_statement": "none",
    }
    server = EmbeddedPostgres(folder / "postgres", port=_PORT, settings=settings, programs=programs[-1].parent)
    with server:
        yield server, authority


def _version(program: Path) -> int:
    found = re.match(r"\d+", program.parent.parent.name)
    return int(found.group()) if found else 0


def _certify(folder: Path) -> str:
    """A certificate that is its own authority, and its key as the server wants it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "project:instance")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "server.crt").write_bytes(pem)
    secret = folder / "server.key"
    secret.touch(mode=0o600)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return pem.decode()
