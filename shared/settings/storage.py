"""Cloud Storage: which buckets are ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.settings.reading import Reader


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """`bucket` takes what browsers send with a signed URL: private, and emptied by itself after a day or two."""

    bucket: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("uploads", env)
        settings = cls(bucket=reader.text("UPLOADS_BUCKET"))
        reader.finish()
        return settings


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """`bucket` holds what everybody may see, below MEDIA_URL."""

    bucket: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("media", env)
        settings = cls(bucket=reader.text("MEDIA_BUCKET"))
        reader.finish()
        return settings
