"""The file of an import as it lies in a bucket: read a few megabytes at a time, and only the one that it began with."""

import io
from typing import IO, Protocol

from shared.catalog.imports import FileGone, Import
from shared.kernel.storage import ObjectGone

RANGE_BYTES = 4 << 20
_WITHIN_S = 30.0


class Ranges(Protocol):
    """A bucket, as shared.gateways.storage has it."""

    def read(
        self, name: str, *, generation: int, start: int = 0, most_bytes: int | None = None, within_s: float
    ) -> bytes:
        """Up to `most_bytes` from `start`, empty behind the end. Raises ObjectGone, Unavailable."""
        ...


def open_upload(of: Import, *, bucket: Ranges) -> IO[bytes]:
    """Seekable, buffered. Raises FileGone, and while it is read that and Unavailable."""
    if of.object_name is None or of.version is None:
        raise FileGone
    return io.BufferedReader(_Upload(bucket, of.object_name, int(of.version), of.size_bytes), RANGE_BYTES)


class _Upload(io.RawIOBase):
    def __init__(self, bucket: Ranges, name: str, generation: int, size_bytes: int) -> None:
        self._bucket = bucket
        self._name = name
        self._generation = generation
        self._size_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # the stubs name a type that is none
        try:
            found = self._bucket.read(
                self._name,
                generation=self._generation,
                start=self._at,
                most_bytes=len(buffer),
                within_s=_WITHIN_S,
            )
        except ObjectGone:
            raise FileGone from None
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
