"""Logs as Cloud Logging reads them: one JSON object a line, grouped by trace.

https://cloud.google.com/logging/docs/structured-logging names the special fields.
"""

import contextvars
import json
import logging
import re
import secrets
import sys
import traceback

import msgspec

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context, version 00
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/[0-9]+)?(?:;o=[01])?")
_NOWHERE = "0" * 32

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "fields"}

_trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="")
_project: contextvars.ContextVar[str] = contextvars.ContextVar("project", default="")


class JsonLines(logging.Formatter):
    """`message` is the event's name, the fields stand beside it; an exception's text goes here and nowhere else."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        trace = _trace.get()
        if trace:
            project = _project.get()
            line["trace"] = trace
            if project:
                line["logging.googleapis.com/trace"] = f"projects/{project}/traces/{trace}"
        line.update(getattr(record, "fields", {}))
        line.update({name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD})
        if record.exc_info and record.exc_info[1]:
            line["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        try:
            return msgspec.json.encode(line, enc_hook=str).decode()
        except UnicodeEncodeError:
            return json.dumps(line, default=str)  # half a surrogate pair in an exception's text: it must not be lost


class _StandardOut(logging.Handler):
    """Writes to whatever sys.stdout is at that moment, a line at once, so that threads do not interleave."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            self.handleError(record)


def write_json_lines() -> None:
    """From now on logs are JSON lines on standard output: ours from INFO, libraries' from WARNING. Once is enough."""
    root = logging.getLogger()
    if any(isinstance(handler, _StandardOut) for handler in root.handlers):
        return
    handler = _StandardOut()
    handler.setFormatter(JsonLines())
    root.addHandler(handler)
    for name in ("shared", "functions"):
        logging.getLogger(name).setLevel(logging.INFO)


def follow_trace(traceparent: str, cloud_trace: str, project: str) -> str:
    """Every line of this request carries the caller's trace, or a new one. Returns its id of 32 hexadecimal digits."""
    match = _TRACEPARENT.fullmatch(traceparent) or _CLOUD_TRACE.fullmatch(cloud_trace)
    trace = match.group(1) if match and match.group(1) != _NOWHERE else secrets.token_hex(16)
    _trace.set(trace)
    _project.set(project)
    return trace


def current_trace() -> str:
    return _trace.get()
