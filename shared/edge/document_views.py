"""Documents and timelines as buyers and staff see them (DESIGN.md section 5)."""

from typing import Any, Literal

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from shared.documents.documents import Document
from shared.edge.calls import Call, Reply

HTML, PDF = "text/html; charset=utf-8", "application/pdf"
_FORMATS: dict[str, Literal["html", "pdf"]] = {"text/html": "html", "application/pdf": "pdf"}


def document_reply(call: Call[Any], document: Document) -> Reply:
    """In the format that the query names, else in the one that Accept likes best; HTML where it has no choice."""
    accepted = parse_accept_header(call.headers.get("Accept", ""), MIMEAccept)
    chosen = call.query.format or _FORMATS[accepted.best_match(list(_FORMATS), "text/html") or "text/html"]
    # ReportLab takes 0.4 s to import, Babel 0.1: whoever looks at a document pays for them, and nobody else.
    if chosen == "pdf":
        from shared.documents.pdf import render_pdf

        return Reply(200, render_pdf(document), _headers(document, PDF, "pdf"))
    from shared.documents.page import CONTENT_SECURITY_POLICY, render_html

    policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Reply(200, render_html(document), {**_headers(document, HTML, "html"), **policy})


def _headers(document: Document, content_type: str, suffix: str) -> dict[str, str]:
    """A number is of letters, digits and dashes: safe in a file's name."""
    return {
        "Content-Type": content_type,
        "Content-Disposition": f'inline; filename="{document.number}.{suffix}"',
        "Vary": "Accept",
    }
