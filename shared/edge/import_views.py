"""What staff ask of imports and see of them."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from shared.catalog.formulas import marked
from shared.catalog.importing import Refusal
from shared.catalog.imports import MOST_UPLOADED_BYTES, Import
from shared.catalog.rows import MAX_UNITS
from shared.edge.parsing import Body, View
from shared.edge.texts import SEEN_LINE
from shared.kernel.clock import iso
from shared.kernel.errors import Field, Invalid

CSV = "text/csv"

# What a browser may send, by how the name ends. It is read by what it is, whatever it was called.
_TYPES = {
    ".csv": CSV,
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".gz": "application/gzip",
}


class ImportBody(Body, frozen=True, kw_only=True):
    """`filename` ends in .csv, .tsv, .jsonl or .ndjson, or in .gz of one of them; `bytes` is exactly its length.

    A new SKU whose line has no on_hand gets `default_on_hand` units, if that is given.
    """

    filename: Annotated[str, Meta(min_length=1, max_length=200, pattern=SEEN_LINE)]
    bytes: Annotated[int, Meta(ge=1, le=MOST_UPLOADED_BYTES)]
    default_on_hand: Annotated[int, Meta(ge=0, le=MAX_UNITS)] | None = None

    def content_type(self) -> str:
        """Raises Invalid."""
        for suffix, content_type in _TYPES.items():
            if self.filename.lower().endswith(suffix):
                return content_type
        raise Invalid([Field("/filename", f"must end in one of {', '.join(_TYPES)}")])


class UploadView(View, frozen=True, kw_only=True):
    """Send the file by this method, with exactly these headers, until `expires_at`. Who has the URL may send it."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: str


class LineCountsView(View, frozen=True, kw_only=True):
    """`refused` counts refusals, also those that are no longer listed."""

    new: int
    changed: int
    unchanged: int
    refused: int


class ProgressView(View, frozen=True, kw_only=True):
    """`lines` have been read; `seconds_left` is reckoned by what lies behind, while it runs."""

    bytes_done: int
    bytes_total: int
    lines: int
    lines_per_second: float | None
    seconds_left: int | None


class ImportView(View, frozen=True, kw_only=True):
    """`state`: waiting for its file and its start, running, finished, failed (`failure` says why), cancelled.

    `source` is where its file is read: an upload, or the shell in which somebody imports it.
    """

    id: str
    filename: str
    source: str
    state: str
    default_on_hand: int | None
    progress: ProgressView
    counts: LineCountsView
    failure: str | None
    asked_by: str
    created_at: str
    started_at: str | None
    progressed_at: str
    finished_at: str | None


class CreatedImportView(ImportView, frozen=True, kw_only=True):
    """With where its file is to be sent."""

    upload: UploadView | None


class ImportsPage(View, frozen=True, kw_only=True):
    items: list[ImportView]
    next_cursor: str | None


class ImportErrorView(View, frozen=True, kw_only=True):
    """`number` counts refusals; `line` is the line of the file, `sku` what stands in it."""

    number: int
    line: int
    sku: str
    reason: str


class ImportErrorsPage(View, frozen=True, kw_only=True):
    items: list[ImportErrorView]
    next_cursor: str | None


def import_view(of: Import) -> ImportView:
    return ImportView(**_fields(of))


def created_import_view(of: Import) -> CreatedImportView:
    """As it is stored: the address is put in when the answer leaves, for it opens the bucket."""
    return CreatedImportView(**_fields(of), upload=None)


def _fields(of: Import) -> dict[str, Any]:
    return {
        "id": str(of.id),
        "filename": of.filename,
        "source": "shell" if of.object_name is None else "upload",
        "state": of.state,
        "default_on_hand": of.default_on_hand,
        "progress": _progress(of),
        "counts": LineCountsView(
            new=of.counts.new, changed=of.counts.changed, unchanged=of.counts.unchanged, refused=of.counts.refused
        ),
        "failure": of.failure,
        "asked_by": of.asked_by,
        "created_at": iso(of.created_at),
        "started_at": _moment(of.started_at),
        "progressed_at": iso(of.progressed_at),
        "finished_at": _moment(of.finished_at),
    }


def _progress(of: Import) -> ProgressView:
    done = of.size_bytes if of.state == "finished" else min(of.bytes_read, of.size_bytes)
    took_s = (of.progressed_at - of.started_at).total_seconds() if of.started_at is not None else 0.0
    moves = took_s > 0 and of.place.line > 0
    left = int(took_s / done * (of.size_bytes - done)) if moves and done and of.state == "running" else None
    return ProgressView(
        bytes_done=done,
        bytes_total=of.size_bytes,
        lines=of.place.line,
        lines_per_second=round(of.place.line / took_s, 1) if moves else None,
        seconds_left=left,
    )


def import_error_view(number: int, refusal: Refusal) -> ImportErrorView:
    return ImportErrorView(number=number, line=refusal.line, sku=refusal.sku, reason=refusal.reason)


def errors_as_csv(refusals: Iterable[Refusal]) -> bytes:
    """For a spreadsheet: with a byte order mark, and no cell that it would run."""
    file = io.StringIO()
    file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow(["line", "sku", "reason"])
    writer.writerows([refusal.line, marked(refusal.sku), marked(refusal.reason)] for refusal in refusals)
    return file.getvalue().encode()


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
