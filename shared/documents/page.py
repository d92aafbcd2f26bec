"""A document as a page of HTML that stands alone: no script, nothing fetched, all that was typed escaped."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.documents.documents import Document
from shared.documents.wording import word
from shared.kernel.first_use import first_use

# The page may have its own style and nothing else.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@first_use
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_html(document: Document) -> bytes:
    """The same bytes for the same document."""
    return _environment().get_template("document.html").render(sheet=word(document)).encode()
