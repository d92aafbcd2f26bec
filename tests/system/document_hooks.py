"""What schemathesis cannot know: an Idempotency-Key is made anew for every request."""

from typing import Any
from uuid import uuid4

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    parts = case.meta.components.items() if case.meta is not None else ()
    if any(name.value == "header" and part.mode.is_negative for name, part in parts):
        return  # a bad key, or none, is what this case is about
    if case.headers is not None and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid4())
