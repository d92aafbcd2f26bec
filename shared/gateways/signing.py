"""V4 signed URLs of Cloud Storage, and who signs: the function's own account, or locally a key in a file.

The client's own code reads the machine's time, which a laptop cannot shift; a test holds ours to be the same to the
byte.
https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

import base64
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from shared.gateways.google_calls import google_errors, transport_errors
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.logs import Log

ALGORITHM = "GOOG4-RSA-SHA256"
IAM_URL = "https://iamcredentials.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

log = Log(__name__)


class Signer(Protocol):
    def sign(self, text: bytes, *, within_s: float) -> bytes:
        """RSA over SHA-256, PKCS #1 v1.5. Raises Unavailable, Declined."""
        ...

    def email(self, *, within_s: float) -> str:
        """The account that signs. Raises Unavailable, Declined."""
        ...


def sign_url(
    signer: Signer,
    *,
    method: str,
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    at: datetime,
    ttl_s: int,
    within_s: float,
) -> str:
    """Allows one kind of request from `at` for `ttl_s`: this method, this path, each of these headers as it is.

    `path` begins with a slash and is not yet percent-encoded. Raises Unavailable, Declined.
    """
    moment = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/auto/storage/goog4_request"
    signed = {name.lower(): " ".join(text.split()) for name, text in headers.items()}
    signed["host"] = urlsplit(base_url).netloc
    names = ";".join(sorted(signed))
    query = {
        "X-Goog-Algorithm": ALGORITHM,
        "X-Goog-Credential": f"{signer.email(within_s=within_s)}/{scope}",
        "X-Goog-Date": moment,
        "X-Goog-Expires": str(ttl_s),
        "X-Goog-SignedHeaders": names,
    }
    resource = quote(path, safe="/~")
    written = "&".join(f"{name}={quote(text, safe='~')}" for name, text in sorted(query.items()))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = "\n".join((method, resource, written, lines, names, "UNSIGNED-PAYLOAD"))
    text = "\n".join((ALGORITHM, moment, scope, sha256(request.encode()).hexdigest()))
    signature = signer.sign(text.encode(), within_s=within_s).hex()
    return f"{base_url}{resource}?{written}&X-Goog-Signature={signature}"


class KeyFile:
    """A service account's key, as Google gives keys out. The local cloud's only: a deployment has no key."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._account: Any = None

    def sign(self, text: bytes, *, within_s: float) -> bytes:
        return bytes(self._read().sign_bytes(text))

    def email(self, *, within_s: float) -> str:
        return str(self._read().signer_email)

    def _read(self) -> Any:
        from google.oauth2 import service_account

        with self._lock:
            if self._account is None:
                read = service_account.Credentials.from_service_account_file
                self._account = read(self._file)  # type: ignore[no-untyped-call] # google-auth types no such functions
            return self._account


def _own_account() -> Any:
    import google.auth

    credentials, _ = google.auth.default(scopes=[_SCOPE])
    return credentials


class OwnAccount:
    """The account that the function runs as, by IAM's signBlob: it is token creator of itself. Safe for threads.

    https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    """

    def __init__(self, *, iam_url: str = IAM_URL, account: Callable[[], Any] = _own_account) -> None:
        self._iam_url = iam_url
        self._account = account
        self._lock = threading.Lock()
        self._session: Any = None
        self._credentials: Any = None

    def sign(self, text: bytes, *, within_s: float) -> bytes:
        url = f"{self._iam_url}/v1/projects/-/serviceAccounts/{self.email(within_s=within_s)}:signBlob"
        payload = {"payload": base64.b64encode(text).decode()}
        with google_errors("iam"), transport_errors():
            answer = self._session.post(url, json=payload, timeout=within_s, max_allowed_time=within_s)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable
        if answer.status_code != 200:
            log.error("google_refused", service="iam", reason=f"signBlob {answer.status_code}")
            raise Declined(reason="signBlob")
        return base64.b64decode(answer.json()["signedBlob"])

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def email(self, *, within_s: float) -> str:
        from google.auth.transport.requests import AuthorizedSession, Request

        with self._lock, google_errors("iam"), transport_errors():
            if self._session is None:
                credentials = self._account()
                # Until it has a token, the account of a machine calls itself `default`.
                credentials.refresh(Request())
                self._credentials = credentials
                self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call] # as above
            return str(self._credentials.service_account_email)
