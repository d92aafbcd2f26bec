"""Signatures of webhooks, by a certificate chain of the simulator's own.

PayPal signs SHA256withRSA over `transmissionId|transmissionTime|webhookId|crc32 of the raw body`, serves the leaf alone
and leaves the chain to the receiver: the root is written to roots.pem, the intermediate is where the leaf's AIA says.
"""

import base64
import os
import secrets
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

LEAF_NAME = "messageverificationcerts.sandbox.paypal.com"
CERTS_PATH = "/v1/notifications/certs/"
INTERMEDIATE = "intermediate.crt"


class Chain:
    """Root, intermediate and leaf in one folder. The first two live as long as the folder; the leaf is issued again
    when the simulator's URL, which its AIA names, has changed."""

    def __init__(self, folder: Path, base_url: str, now: float) -> None:
        self._folder = folder / "certificates"
        self._folder.mkdir(parents=True, exist_ok=True)
        # Well before now: a transmission is delivered for three days, and the leaf may be issued again meanwhile.
        self._begin = datetime.fromtimestamp(now, UTC) - timedelta(days=30)
        root_key, root = self._authority("root", None)
        write_whole(folder / "roots.pem", root.public_bytes(serialization.Encoding.PEM))
        self._issuer = self._authority("intermediate", (root_key, root))
        self._issue_leaf(base_url)

    def cert_path(self) -> str:
        """Where the current leaf is served."""
        return CERTS_PATH + self.cert_id

    def read(self, name: str) -> tuple[bytes, str] | None:
        """A certificate by the last part of its URL, and its content type: leaves as PEM, the intermediate as DER."""
        if name == INTERMEDIATE:
            return self._issuer[1].public_bytes(serialization.Encoding.DER), "application/pkix-cert"
        path = self._folder / f"{name}.pem"
        if not name.startswith("CERT-") or "/" in name or not path.exists():
            return None
        return path.read_bytes(), "application/x-pem-file"

    def sign(self, transmission_id: str, at: str, webhook_id: str, body: bytes) -> str:
        message = signed_message(transmission_id, at, webhook_id, body)
        return base64.b64encode(self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()

    def verify(self, cert_name: str, signature: str, message: bytes) -> bool:
        """True where one of our own leaves signed the message."""
        found = self.read(cert_name)
        if found is None or cert_name == INTERMEDIATE:
            return False
        key = x509.load_pem_x509_certificate(found[0]).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(base64.b64decode(signature), message, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True

    def _issue_leaf(self, base_url: str) -> None:
        issued_for = self._folder / "leaf.url"
        current = self._folder / "leaf.id"
        known = issued_for.exists() and issued_for.read_text() == base_url
        self._key = self._private_key("leaf")
        if known:
            self.cert_id = current.read_text()
            return
        self.cert_id = f"CERT-{secrets.token_hex(4)}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
        issuer_key, issuer = self._issuer
        builder = _builder(_name(LEAF_NAME), issuer.subject, self._key, self._begin, years=10)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(LEAF_NAME)]), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityInformationAccess(
                    [
                        x509.AccessDescription(
                            AuthorityInformationAccessOID.CA_ISSUERS,
                            x509.UniformResourceIdentifier(f"{base_url}{CERTS_PATH}{INTERMEDIATE}"),
                        )
                    ]
                ),
                critical=False,
            )
            .add_extension(_authority_id(issuer), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        write_whole(self._folder / f"{self.cert_id}.pem", certificate.public_bytes(serialization.Encoding.PEM))
        write_whole(current, self.cert_id.encode())
        # Last: a kill before this line only means that the next start issues one more.
        write_whole(issued_for, base_url.encode())

    def _authority(
        self, name: str, issuer: tuple[rsa.RSAPrivateKey, x509.Certificate] | None
    ) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
        key = self._private_key(name)
        path = self._folder / f"{name}.pem"
        if not path.exists():
            subject = _name(f"Vitrine Local PayPal {name.title()} CA")
            signer, issuer_name = (key, subject) if issuer is None else (issuer[0], issuer[1].subject)
            builder = (
                _builder(subject, issuer_name, key, self._begin, years=20)
                .add_extension(x509.BasicConstraints(ca=True, path_length=1 if issuer is None else 0), critical=True)
                .add_extension(_usage(signs_certificates=True), critical=True)
            )
            if issuer is not None:
                builder = builder.add_extension(_authority_id(issuer[1]), critical=False)
            write_whole(path, builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return key, x509.load_pem_x509_certificate(path.read_bytes())

    def _private_key(self, name: str) -> rsa.RSAPrivateKey:
        path = self._folder / f"{name}.key"
        if not path.exists():
            made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            write_whole(
                path,
                made.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
                mode=0o600,
            )
        # It was made here, and to validate one takes twenty times as long as to sign.
        key = serialization.load_pem_private_key(path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key


def signed_message(transmission_id: str, at: str, webhook_id: str, body: bytes) -> bytes:
    return f"{transmission_id}|{at}|{webhook_id}|{zlib.crc32(body)}".encode()


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file that is there entirely or not at all, whenever this process dies."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(mode)
    os.replace(fresh, path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, begin: datetime, *, years: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=30 + 365 * years))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _name(common_name: str, names: Sequence[tuple[x509.ObjectIdentifier, str]] = ()) -> x509.Name:
    attributes = [(NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "Vitrine local simulator"), *names]
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in [*attributes, (NameOID.COMMON_NAME, common_name)]])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
