"""A document as a PDF, laid out by ourselves on ReportLab's canvas: text is drawn as text, so nothing in it is markup.

DejaVu Sans (fonts/LICENSE) is embedded, as far as it is used: Latin, Greek, Cyrillic, Armenian, Georgian and more.
Chinese, Japanese and Korean are set in Adobe's standard fonts, which every reader brings or replaces, and none is
embedded. What neither has (emoji, Thai, scripts of India), and what is written from right to left, stands as U+FFFD,
and a line at the end says that the HTML has it.
"""

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import Font, getFont, registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from shared.documents.documents import Document
from shared.documents.wording import Sheet, word
from shared.kernel.first_use import first_use

_FONTS = Path(__file__).parent / "fonts"
# ISO 216 A4 in points, and margins that every printer has.
_WIDTH, _HEIGHT, _MARGIN = 595.28, 841.89, 50.0
_RIGHT, _TOP, _BOTTOM = _WIDTH - _MARGIN, _HEIGHT - _MARGIN, 70.0
_REGULAR, _BOLD = "DejaVuSans", "DejaVuSans-Bold"
_CHINESE, _JAPANESE, _KOREAN = "STSong-Light", "HeiseiKakuGo-W5", "HYSMyeongJo-Medium"
_HAN = re.compile("[\u2e80-\u2fff\u3000-\u303f\u31c0-\u31ef\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
# Where a line may break: at spaces, and beside any character of a script that has none.
_PIECES = re.compile(f"{_HAN.pattern}|{_KANA.pattern}|[^\\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+|\\s+")
_UNKNOWN = "\ufffd"
_FROM_THE_RIGHT = frozenset({"R", "AL", "AN"})
_LOST = f"What stands as {_UNKNOWN} cannot be shown here; the HTML version of this document has it."
_NOT_EMBEDDED = "Chinese, Japanese and Korean text needs a reader that has a font for it."
_GAP = 12.0
_NARROWEST_TEXT = 130.0


def render_pdf(document: Document) -> bytes:
    """The same bytes for the same document."""
    return _Layout(word(document)).render()


# Fonts ---------------------------------------------------------------------------------------------


@first_use
def _glyphs() -> frozenset[int]:
    """The characters that both weights of DejaVu have. Registers every font, once a process."""
    for name in (_REGULAR, _BOLD):
        registerFont(TTFont(name, str(_FONTS / f"{name}.ttf")))
    for name in (_CHINESE, _JAPANESE, _KOREAN):
        registerFont(UnicodeCIDFont(name))
    regular, bold = (_face(getFont(name)) for name in (_REGULAR, _BOLD))
    return regular & bold


def _face(font: Font) -> frozenset[int]:
    """Without what is beyond U+FFFF: ReportLab cannot say in the file which character such a glyph is."""
    return frozenset(code for code in font.face.charToGlyph if code <= 0xFFFF)


@dataclass(frozen=True, slots=True)
class _Run:
    font: str
    text: str


def _runs(text: str, *, bold: bool = False) -> list[_Run]:
    """The text in the fonts that have it."""
    asian = _JAPANESE if _KANA.search(text) else _KOREAN if _HANGUL.search(text) else _CHINESE
    found: list[_Run] = []
    for font, character in (_set(character, bold, asian) for character in text):
        if found and found[-1].font == font:
            found[-1] = _Run(font, found[-1].text + character)
        else:
            found.append(_Run(font, character))
    return found


@lru_cache(maxsize=4096)
def _set(character: str, bold: bool, asian: str) -> tuple[str, str]:
    """The font of a character, and what is drawn for it."""
    if _HAN.match(character) or _KANA.match(character) or _HANGUL.match(character):
        return asian, character
    shown = ord(character) in _glyphs() and unicodedata.bidirectional(character) not in _FROM_THE_RIGHT
    return _BOLD if bold else _REGULAR, character if shown else _UNKNOWN


def _width(text: str, size: float, *, bold: bool = False) -> float:
    return sum(_width_of(character, bold) for character in text) * size


@lru_cache(maxsize=4096)
def _width_of(character: str, bold: bool) -> float:
    """At one point. No font here kerns, and those for Chinese, Japanese and Korean are all as wide."""
    font, shown = _set(character, bold, _CHINESE)
    return float(stringWidth(shown, font, 1))


def _wrap(text: str, width: float, size: float) -> list[str]:
    """Lines that fit, at least one; a word that is wider than the column is broken."""
    lines, filled = [""], 0.0
    for piece in _PIECES.findall(text):
        wide = _width(piece, size)
        if filled + wide <= width or piece.isspace():
            lines[-1] += piece
            filled += wide
            continue
        if lines[-1].strip():
            lines.append("")
            filled = 0.0
        for character in piece:
            wide = _width(character, size)
            if lines[-1] and filled + wide > width:
                lines.append("")
                filled = 0.0
            lines[-1] += character
            filled += wide
    return [line.strip() for line in lines]


# Layout --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    """Words at a place; `x` is their left, or their right where they are `flush_right`."""

    x: float
    text: str
    y: float = 0
    size: float = 9
    bold: bool = False
    grey: bool = False
    flush_right: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    x: float
    y: float
    width: float


class _Layout:
    """Writes from top to bottom; `_y` is where the next line stands."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._pages: list[list[_Text | _Rule]] = [[]]
        self._y = _TOP

    def render(self) -> bytes:
        self._compose()
        file = io.BytesIO()
        # invariant: no time of making, and an id that only the content gives.
        canvas = Canvas(file, pagesize=(_WIDTH, _HEIGHT), invariant=1, pageCompression=1, lang=self._sheet.language)
        canvas.setTitle(f"{self._sheet.title} {self._sheet.number}")
        canvas.setAuthor(self._sheet.seller[0])
        canvas.setCreator("Vitrine")
        for number, page in enumerate(self._pages, 1):
            foot = f"{self._sheet.title} {self._sheet.number} · {number} / {len(self._pages)}"
            for thing in [*page, _Text(_RIGHT, foot, y=40, size=7.5, grey=True, flush_right=True)]:
                if isinstance(thing, _Rule):
                    canvas.setStrokeGray(0.75)
                    canvas.line(thing.x, thing.y, thing.x + thing.width, thing.y)
                else:
                    _draw(canvas, thing)
            canvas.showPage()
        canvas.save()
        return file.getvalue()

    def _compose(self) -> None:
        sheet = self._sheet
        self._line(_Text(_MARGIN, f"{sheet.title} {sheet.number}", size=17, bold=True), height=34)
        top = self._y
        self._block("Seller", sheet.seller, _MARGIN)
        below, self._y = self._y, top
        self._block("Buyer", sheet.buyer, _MARGIN + 250)
        self._y = min(below, self._y) - 10
        for label, value in sheet.facts:
            first, *more = _wrap(value, _RIGHT - _MARGIN - 130, 9)
            self._row([_Text(_MARGIN, label, grey=True), _Text(_MARGIN + 130, first)], height=13)
            for line in more:
                self._line(_Text(_MARGIN + 130, line))
        self._y -= 14
        self._table(sheet.headings, sheet.rows)
        self._totals()
        self._table(sheet.tax_headings, sheet.tax_rows, width=(_RIGHT - _MARGIN) * 0.75)
        for text in filter(None, (sheet.footer, *self._warnings())):
            for line in _wrap(text, _RIGHT - _MARGIN, 8):
                self._line(_Text(_MARGIN, line, size=8, grey=True), height=11)

    def _warnings(self) -> Iterator[str]:
        texts = [thing.text for page in self._pages for thing in page if isinstance(thing, _Text)]
        runs = [run for text in texts for run in _runs(text)]
        if any(_UNKNOWN in run.text for run in runs):
            yield _LOST
        if any(run.font in (_CHINESE, _JAPANESE, _KOREAN) for run in runs):
            yield _NOT_EMBEDDED

    def _block(self, heading: str, lines: Sequence[str], x: float) -> None:
        self._line(_Text(x, heading, size=8, grey=True))
        for place, line in enumerate(lines):
            for part in _wrap(line, 230, 9):
                self._line(_Text(x, part, bold=not place))

    def _table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, width: float = _RIGHT - _MARGIN
    ) -> None:
        """The first column takes what the figures leave; where that is too little all is set smaller."""
        size = 9.0
        while True:
            figures = [
                max(_width(row[column], size) for row in [headings, *rows]) for column in range(1, len(headings))
            ]
            text_width = width - sum(figures) - _GAP * len(figures)
            if text_width >= _NARROWEST_TEXT or size <= 5:
                break
            size -= 0.5
        rights = [_MARGIN + text_width + sum(figures[: at + 1]) + _GAP * (at + 1) for at in range(len(figures))]
        self._heads(headings, rights, width)
        for first, *cells in rows:
            lines = _wrap(first, max(text_width, 40), size)
            if self._y - 14 < _BOTTOM:
                self._new_page()
                self._heads(headings, rights, width)
            row = [_Text(_MARGIN, lines[0], size=size)]
            row += [_Text(x, cell, size=size, flush_right=True) for x, cell in zip(rights, cells, strict=True)]
            self._row(row, height=13)
            for line in lines[1:]:
                if self._y - 14 < _BOTTOM:
                    self._new_page()
                    self._heads(headings, rights, width)
                self._line(_Text(_MARGIN, line, size=size))
            self._y -= 3
        self._y -= 12

    def _heads(self, headings: Sequence[str], rights: Sequence[float], width: float) -> None:
        row = [_Text(_MARGIN, headings[0], size=8, grey=True)]
        row += [
            _Text(x, heading, size=8, grey=True, flush_right=True)
            for x, heading in zip(rights, headings[1:], strict=True)
        ]
        self._row(row, height=6)
        self._pages[-1].append(_Rule(_MARGIN, self._y, width))
        self._y -= 12

    def _totals(self) -> None:
        left = _RIGHT - 220
        for place, (label, value) in enumerate(self._sheet.totals, 1):
            last = place == len(self._sheet.totals)
            row = [_Text(left, label, bold=last), _Text(_RIGHT, value, bold=last, flush_right=True)]
            self._row(row, height=15)
        self._y -= 16

    def _line(self, text: _Text, *, height: float = 13) -> None:
        self._row([text], height=height)

    def _row(self, texts: Sequence[_Text], *, height: float) -> None:
        if self._y - height < _BOTTOM:
            self._new_page()
        self._pages[-1] += [replace(text, y=self._y) for text in texts]
        self._y -= height

    def _new_page(self) -> None:
        self._pages.append([])
        self._y = _TOP


def _draw(canvas: Canvas, text: _Text) -> None:
    canvas.setFillGray(0.4 if text.grey else 0.1)
    x = text.x - (_width(text.text, text.size, bold=text.bold) if text.flush_right else 0)
    for run, at in _placed(text, x):
        canvas.setFont(run.font, text.size)
        canvas.drawString(at, text.y, run.text)


def _placed(text: _Text, x: float) -> Iterator[tuple[_Run, float]]:
    for run in _runs(text.text, bold=text.bold):
        yield run, x
        x += float(stringWidth(run.text, run.font, text.size))
