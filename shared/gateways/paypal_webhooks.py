"""Whether a webhook transmission was signed by PayPal for this shop.

Signature: SHA256withRSA (PKCS#1 v1.5) over `transmission id|transmission time|webhook id|CRC32 of the raw body`, the
last as a decimal. The leaf certificate comes from the URL that the transmission names, its chain is ours to find: what
PayPal's leaves have chained to is in paypal_chain.pem (certifi dropped the root in 2026, which is about browsers, not
about this), the rest is fetched where the leaf's AIA says. A certificate is fetched and checked once and then kept.

What a signature is worth: it covers a checksum, and CRC32 is linear. Whoever holds one genuine transmission can make
another body that verifies under it. So nothing here is a fact about money; see shared.payments.applying.
"""

import binascii
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.gateways.https_calls import Origin
from shared.kernel.clock import Clock, parse_iso
from shared.kernel.errors import Unavailable
from shared.payments.webhooks import SignatureRefused, Transmission

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

# What else might be named is refused, however well it is signed.
_ALGORITHMS = frozenset({"SHA256withRSA"})
# PayPal repeats a transmission for three days. A clock that is wrong by more than an hour is no clock.
_OLDEST = timedelta(days=7)
_AHEAD = timedelta(hours=1)
_TRANSMISSION_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_CERTIFICATE_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_KEPT_FOR_S = 24 * 3600.0
_KEPT = 16
_FETCHES_AT_ONCE = 2
# A leaf and every issuer above it, together: the function answers 503 and PayPal repeats, before its platform gives up.
_FETCHED_WITHIN_S = 15.0
_ISSUERS_AT = ".digicert.com"
_CERTIFICATE_LIMIT = 64 * 1024
_CHAIN = Path(__file__).with_name("paypal_chain.pem")

# What lies at a URL, within so many seconds.
Fetch = Callable[[str, float], bytes]


class CertificateUnreachable(Unavailable):
    sentence = "The certificate of this signature cannot be had right now."


@dataclass(frozen=True, slots=True)
class _Signer:
    """A certificate that was found good; its whole chain is valid between `begins` and `ends`."""

    verify: Callable[[bytes, bytes], None]
    begins: datetime
    ends: datetime
    stale_at: float


class TransmissionVerifier:
    """Made on first use; opens nothing before the first transmission. Safe for threads.

    `cert_prefixes` begin the URLs that certificates are taken from, each ending in a slash; `cert_roots` is a PEM file
    of the roots to trust instead of certifi's and the bundled one.
    """

    def __init__(
        self,
        *,
        webhook_id: str,
        cert_prefixes: Sequence[str],
        clock: Clock,
        cert_roots: str | None = None,
        fetch: Fetch | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._webhook_id = webhook_id
        self._prefixes = tuple(cert_prefixes)
        self._clock = clock
        self._roots = cert_roots
        self._fetch = fetch or _fetch
        self._ticks = ticks
        self._fetching = threading.BoundedSemaphore(_FETCHES_AT_ONCE)
        self._signers: dict[str, _Signer] = {}

    def verify(self, headers: Mapping[str, str], body: bytes) -> Transmission:
        """Raises SignatureRefused, CertificateUnreachable."""
        transmission_id = headers.get("paypal-transmission-id", "")
        time_text = headers.get("paypal-transmission-time", "")
        if headers.get("paypal-auth-algo") not in _ALGORITHMS:
            raise SignatureRefused("algorithm" if "paypal-auth-algo" in headers else "unsigned")
        if not _TRANSMISSION_ID.fullmatch(transmission_id):
            raise SignatureRefused("transmission-id")
        sent_at = self._sent_at(time_text)
        try:
            signature = binascii.a2b_base64(headers.get("paypal-transmission-sig", ""), strict_mode=True)
        except ValueError as error:
            raise SignatureRefused("signature") from error
        signer = self._signer(headers.get("paypal-cert-url", ""), sent_at)
        if not signer.begins <= sent_at <= signer.ends:
            raise SignatureRefused("certificate-not-valid-then")
        signed = f"{transmission_id}|{time_text}|{self._webhook_id}|{zlib.crc32(body)}"
        signer.verify(signature, signed.encode())
        return Transmission(transmission_id, sent_at)

    def _sent_at(self, text: str) -> datetime:
        try:
            sent_at = parse_iso(text)
        except (ValueError, OverflowError) as error:
            raise SignatureRefused("transmission-time") from error
        if not -_AHEAD <= self._clock.now() - sent_at <= _OLDEST:
            raise SignatureRefused("transmission-time")
        return sent_at

    def _signer(self, url: str, at: datetime) -> _Signer:
        known = self._signers.get(url)
        if known is not None and known.stale_at > self._ticks():
            return known
        # Exactly a prefix and one plain name: no userinfo, no dots, no query, nothing that leads elsewhere.
        prefix = next((prefix for prefix in self._prefixes if url.startswith(prefix)), None)
        if prefix is None or not _CERTIFICATE_NAME.fullmatch(url[len(prefix) :]):
            raise SignatureRefused("certificate-url")
        # Anybody may name certificates that do not exist: they must not take every thread, or make PayPal refuse us.
        if not self._fetching.acquire(timeout=1.0):
            raise CertificateUnreachable
        try:
            until = self._ticks() + _FETCHED_WITHIN_S
            signer = self._check(self._fetch_until(until, url), at, until)
        finally:
            self._fetching.release()
        if len(self._signers) >= _KEPT:
            self._signers.clear()
        self._signers[url] = signer
        return signer

    def _fetch_until(self, until: float, url: str) -> bytes:
        """Raises CertificateUnreachable, also where the time of the whole check is up."""
        left_s = until - self._ticks()
        if left_s <= 0:
            raise CertificateUnreachable
        return self._fetch(url, left_s)

    def _check(self, pem: bytes, at: datetime, until: float) -> _Signer:
        """Raises SignatureRefused where the certificate is not PayPal's, by name, key or chain."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import rsa

        try:
            leaf, *more = x509.load_pem_x509_certificates(pem)
            names = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            key = leaf.public_key()
        except Exception as error:  # whatever a library finds wrong with these bytes, they are no certificate
            raise SignatureRefused("certificate-unreadable") from error
        # The rule of PayPal's Java SDK (com.paypal.base.SSLUtil), beside the chain.
        name = str(names[0].value) if len(names) == 1 else ""
        if not (name.startswith("messageverificationcerts") and name.endswith(".paypal.com")):
            raise SignatureRefused("certificate-name")
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
            raise SignatureRefused("certificate-key")
        chain = self._chain(leaf, name, more, at, until)
        return _Signer(
            verify=_rsa_verify(key),
            begins=max(certificate.not_valid_before_utc for certificate in chain),
            ends=min(certificate.not_valid_after_utc for certificate in chain),
            stale_at=self._ticks() + _KEPT_FOR_S,
        )

    def _chain(
        self, leaf: "Certificate", name: str, more: Sequence["Certificate"], at: datetime, until: float
    ) -> list["Certificate"]:
        from cryptography import x509
        from cryptography.x509 import verification

        try:
            subject = x509.DNSName(name)
        except ValueError as error:
            raise SignatureRefused("certificate-name") from error
        verifier = verification.PolicyBuilder().store(self._store).time(at).build_server_verifier(subject)
        intermediates = [*more, *self._bundled]
        above = [leaf]
        while True:
            try:
                return verifier.verify(leaf, intermediates)
            except (verification.VerificationError, ValueError) as error:
                above = self._issuers(above[0], until) if len(intermediates) < 8 else []
                if not above:
                    raise SignatureRefused("certificate-untrusted") from error
                intermediates += above

    def _issuers(self, certificate: "Certificate", until: float) -> list["Certificate"]:
        """Where the certificate's AIA says its issuer is (RFC 5280 s4.2.2.1), from hosts that issue for PayPal only."""
        from cryptography import x509
        from cryptography.x509.oid import AuthorityInformationAccessOID

        try:
            places = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        except (x509.ExtensionNotFound, ValueError):
            return []
        for place in places:
            url = place.access_location.value
            if place.access_method == AuthorityInformationAccessOID.CA_ISSUERS and self._may_issue(url):
                content = self._fetch_until(until, url)
                try:
                    if b"-----BEGIN" in content:
                        return x509.load_pem_x509_certificates(content)
                    return [x509.load_der_x509_certificate(content)]
                except ValueError:
                    return []
        return []

    def _may_issue(self, url: object) -> bool:
        if not isinstance(url, str):
            return False
        try:
            parts = urlsplit(url)
            plain = parts.scheme in ("http", "https") and "@" not in parts.netloc and not parts.query
            at_issuer = (parts.hostname or "").endswith(_ISSUERS_AT) and parts.port in (None, 80, 443)
        except ValueError:
            return False
        return plain and (at_issuer or parts.netloc in {urlsplit(prefix).netloc for prefix in self._prefixes})

    @cached_property
    def _bundled(self) -> list["Certificate"]:
        """Intermediates that come with this module."""
        return [certificate for certificate in _load(_CHAIN.read_bytes()) if certificate.issuer != certificate.subject]

    @cached_property
    def _store(self) -> Any:
        from cryptography.x509.verification import Store

        if self._roots is not None:
            return Store(_load(Path(self._roots).read_bytes()))
        import certifi

        pinned = [
            certificate for certificate in _load(_CHAIN.read_bytes()) if certificate.issuer == certificate.subject
        ]
        return Store([*pinned, *_load(certifi.contents().encode())])


def _rsa_verify(key: Any) -> Callable[[bytes, bytes], None]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()

    def verify(signature: bytes, message: bytes) -> None:
        try:
            key.verify(signature, message, pkcs1, sha256)
        except InvalidSignature as error:
            raise SignatureRefused("signature") from error

    return verify


def _load(pem: bytes) -> list["Certificate"]:
    import warnings

    from cryptography import x509
    from cryptography.utils import CryptographyDeprecationWarning

    # Some roots of certifi have a serial number that RFC 5280 does not allow.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_pem_x509_certificates(pem)


def _fetch(url: str, within_s: float) -> bytes:
    """What lies there. Raises CertificateUnreachable for anything but a 200; redirects are not followed."""
    parts = urlsplit(url)
    try:
        place = f"{parts.scheme}://{parts.netloc}"
        with closing(Origin(place, answer_limit=_CERTIFICATE_LIMIT, call_timeout_s=within_s)) as origin:
            answer = origin.call("GET", parts.path, headers={"Accept": "*/*"})
    except (Unavailable, ValueError) as error:
        raise CertificateUnreachable from error
    if answer.status != 200:
        raise CertificateUnreachable
    return answer.body
