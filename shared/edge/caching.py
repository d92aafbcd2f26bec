"""Answers that are everybody's: caches may keep them, and whoever has one is not sent it again (RFC 9110, 9111).

They are the same for all callers, so no Vary: a cache in between that compresses says Accept-Encoding itself, and the
entity tag is a weak one, because what it names is then sent in other bytes (RFC 9110, section 8.8.1).
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from werkzeug.http import parse_etags

from shared.edge.calls import Call, Reply
from shared.edge.parsing import View


def cacheable(
    call: Call[Any], content: View | bytes, *, max_age_s: int, headers: Mapping[str, str] = MappingProxyType({})
) -> Reply:
    """The content, kept by caches for `max_age_s`; a 304 where If-None-Match names it (RFC 9110, section 13.1.2).

    `headers` are those of the content itself: a View is JSON, bytes say here what they are.
    """
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    tag = hashlib.sha256(body).hexdigest()[:20]
    known_by = {"ETag": f'W/"{tag}"', "Cache-Control": f"public, max-age={max_age_s}"}
    if parse_etags(call.headers.get("If-None-Match")).contains_weak(tag):
        return Reply(304, None, known_by)
    return Reply(200, body, {**known_by, "Content-Type": "application/json", **headers})
