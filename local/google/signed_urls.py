"""Whether a V4 signed URL of Cloud Storage is good for a request: by the published rules, not by the client's code.

https://cloud.google.com/storage/docs/access-control/signed-urls, .../authentication/canonical-requests
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ALGORITHM = "GOOG4-RSA-SHA256"
LONGEST_S = 7 * 24 * 3600
SKEW_S = 15 * 60
PARAMETERS = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


class Denied(Exception):
    """The answer that Cloud Storage gives instead: a status, a code and a sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came: the path still percent-encoded, the query decoded, header names in lower case."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]


def is_signed(call: Call) -> bool:
    return any(name.lower().startswith("x-goog-") for name, _ in call.query)


def check(call: Call, *, key: rsa.RSAPublicKey, email: str, now: float) -> None:
    """Nothing, if `email` has signed this very request and the time is not over. Raises Denied."""
    given = {name: value for name, value in call.query if name.startswith("X-Goog-")}
    missing = [name for name in PARAMETERS if not given.get(f"X-Goog-{name}")]
    if missing:
        raise Denied(400, "AuthorizationQueryParametersError", f"X-Goog-{missing[0]} is missing.")
    if given["X-Goog-Algorithm"] != ALGORITHM:
        raise Denied(400, "AuthorizationQueryParametersError", f"X-Goog-Algorithm must be {ALGORITHM}.")
    _check_time(given["X-Goog-Date"], given["X-Goog-Expires"], now)
    scope = _check_credential(given["X-Goog-Credential"], given["X-Goog-Date"], email)
    signed_headers = given["X-Goog-SignedHeaders"].split(";")
    if "host" not in signed_headers:
        raise Denied(400, "AuthorizationQueryParametersError", "host must be among the signed headers.")
    unsigned = [name for name in call.headers if name.startswith("x-goog-") and name not in signed_headers]
    if unsigned:
        raise Denied(
            403, "AccessDenied", f"There were headers present in the request which were not signed: {unsigned[0]}"
        )
    text = "\n".join((ALGORITHM, given["X-Goog-Date"], scope, _hash_of(call, signed_headers)))
    try:
        key.verify(bytes.fromhex(given["X-Goog-Signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise Denied(403, "SignatureDoesNotMatch", "The signature does not belong to this request.") from None


def check_length(call: Call) -> None:
    """X-Goog-Content-Length-Range: least,most bytes of a body. Raises Denied."""
    wanted = call.headers.get("x-goog-content-length-range")
    if wanted is None:
        return
    found = re.fullmatch(r"(\d+),(\d+)", wanted.replace(" ", ""))
    if found is None or int(found[1]) > int(found[2]):
        raise Denied(400, "InvalidArgument", "x-goog-content-length-range must be two numbers, the smaller one first.")
    length = call.headers.get("content-length", "")
    if not length.isdigit():
        raise Denied(411, "MissingContentLength", "The request needs a Content-Length.")
    if int(length) < int(found[1]):
        raise Denied(400, "EntityTooSmall", "The body is shorter than the signed range allows.")
    if int(length) > int(found[2]):
        raise Denied(400, "EntityTooLarge", "The body is longer than the signed range allows.")


def _check_time(date: str, expires: str, now: float) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Denied(400, "AuthorizationQueryParametersError", "X-Goog-Date must be YYYYMMDD'T'HHMMSS'Z'.") from None
    if not expires.isdigit() or not 1 <= int(expires) <= LONGEST_S:
        raise Denied(400, "AuthorizationQueryParametersError", f"X-Goog-Expires must be between 1 and {LONGEST_S}.")
    if signed_at > now + SKEW_S:
        raise Denied(403, "RequestTimeTooSkewed", "The URL was signed in the future.")
    if now > signed_at + int(expires):
        raise Denied(400, "ExpiredToken", "The provided token has expired.")


def _check_credential(credential: str, date: str, email: str) -> str:
    signer, _, scope = credential.partition("/")
    parts = scope.split("/")
    if len(parts) != 4 or parts[0] != date[:8] or parts[2:] != ["storage", "goog4_request"]:
        raise Denied(400, "AuthorizationQueryParametersError", "X-Goog-Credential names another scope.")
    if signer != email:
        raise Denied(403, "AccessDenied", f"{signer} may not do this.")
    return scope


def _hash_of(call: Call, signed_headers: Sequence[str]) -> str:
    query = sorted((_encoded(name), _encoded(value)) for name, value in call.query if name != "X-Goog-Signature")
    headers = [f"{name}:{' '.join(call.headers.get(name, '').split())}\n" for name in sorted(signed_headers)]
    canonical = "\n".join(
        (
            call.method,
            quote(unquote(call.path), safe="/~"),
            "&".join(f"{name}={value}" for name, value in query),
            "".join(headers),
            ";".join(signed_headers),
            call.headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD"),
        )
    )
    return sha256(canonical.encode()).hexdigest()


def _encoded(text: str) -> str:
    return quote(text, safe="~")
