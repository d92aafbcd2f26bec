"""Cloud Storage: one bucket, as far as the shop needs it."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from shared.gateways.google_calls import call, google_errors, transport_errors
from shared.gateways.signing import KeyFile, OwnAccount, Signer, sign_url
from shared.kernel.storage import ObjectGone, SignedUpload, StoredObject
from shared.settings import GoogleSettings

_URL = "https://storage.googleapis.com"

Answer = TypeVar("Answer")


class Bucket:
    """Makes its client on first use. Safe for threads.

    Calls are repeated while there is time. The first one imports the client, which the time does not count.
    """

    def __init__(self, name: str, *, project: str, signer: Signer, emulator_url: str = "") -> None:
        self.name = name
        self._project = project
        self._signer = signer
        self._emulator_url = emulator_url
        self._lock = threading.Lock()
        self._client: Any = None

    @classmethod
    def from_settings(cls, name: str, settings: GoogleSettings) -> Self:
        file = settings.storage_key_file
        signer: Signer = KeyFile(file) if file else OwnAccount()
        return cls(name, project=settings.project, signer=signer, emulator_url=settings.storage_emulator)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def sign_upload(
        self,
        name: str,
        *,
        content_type: str,
        least_bytes: int = 1,
        most_bytes: int,
        at: datetime,
        ttl_s: int = 900,
        within_s: float = 5.0,
    ) -> SignedUpload:
        """A PUT of this object from a browser, for `ttl_s` from `at`: of this type and length, and nothing overwritten.

        Whoever holds the URL may send it; who sends first is who is heard, and the second is refused (412).
        A call to IAM, except locally: never inside a transaction. Raises Unavailable, Declined.
        """
        headers = {
            "Content-Type": content_type,
            # Cloud Storage compares both with what comes; a browser cannot leave them out, they are signed.
            "x-goog-content-length-range": f"{least_bytes},{most_bytes}",
            "x-goog-if-generation-match": "0",
        }
        url = sign_url(
            self._signer,
            method="PUT",
            base_url=self._emulator_url or _URL,
            path=f"/{self.name}/{name}",
            headers=headers,
            at=at,
            ttl_s=ttl_s,
            within_s=within_s,
        )
        return SignedUpload("PUT", url, headers, at + timedelta(seconds=ttl_s))

    def find(self, name: str, *, within_s: float) -> StoredObject | None:
        """What lies there now. Raises Unavailable, Declined."""
        found = self._call(lambda bucket, **limits: bucket.get_blob(name, **limits), within_s)
        if found is None:
            return None
        return StoredObject(name, int(found.generation), int(found.size), found.content_type or "")

    def read(
        self, name: str, *, generation: int, start: int = 0, most_bytes: int | None = None, within_s: float
    ) -> bytes:
        """Up to `most_bytes` from `start`, empty behind the end, of this generation and no other.

        Raises ObjectGone where it was replaced or deleted, Unavailable, Declined.
        """
        from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable

        if most_bytes is not None and most_bytes <= 0:
            return b""
        end = None if most_bytes is None else start + most_bytes - 1

        def download(bucket: Any, **limits: Any) -> bytes | None:
            try:
                content: bytes = bucket.blob(name, generation=generation).download_as_bytes(
                    start=start, end=end, **limits
                )
            except RequestRangeNotSatisfiable:
                return b""
            except NotFound:
                return None
            return content

        content = self._call(download, within_s)
        if content is None:
            raise ObjectGone
        return content

    def write(self, name: str, content: bytes, *, content_type: str, cache_control: str, within_s: float) -> bool:
        """Write it where there is nothing of that name yet; whether it did. Repeating it does nothing.

        Raises Unavailable (it may have been written all the same), Declined.
        """
        from google.api_core.exceptions import PreconditionFailed

        def upload(bucket: Any, **limits: Any) -> bool:
            blob = bucket.blob(name)
            blob.cache_control = cache_control
            try:
                blob.upload_from_string(content, content_type=content_type, if_generation_match=0, **limits)
            except PreconditionFailed:
                return False
            return True

        return self._call(upload, within_s)

    def delete(self, name: str, *, within_s: float) -> None:
        """Repeating it does nothing. Raises Unavailable, Declined."""
        from google.api_core.exceptions import NotFound

        def remove(bucket: Any, **limits: Any) -> None:
            try:
                bucket.delete_blob(name, **limits)
            except NotFound:
                return

        self._call(remove, within_s)

    def _call(self, ask: Callable[..., Answer], within_s: float) -> Answer:
        def rpc(request: Any, **limits: Any) -> Answer:
            with transport_errors():
                return ask(request, **limits)

        return call(rpc, self._ready_client().bucket(self.name), service="storage", within_s=within_s)

    def _ready_client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> Any:
        import google.cloud.storage as storage
        from google.auth.credentials import AnonymousCredentials

        with google_errors("storage"):
            if not self._emulator_url:
                return storage.Client(project=self._project)
            nobody = AnonymousCredentials()  # type: ignore[no-untyped-call] # google-auth types no such functions
            options = {"api_endpoint": self._emulator_url}
            return storage.Client(project=self._project, credentials=nobody, client_options=options)
