"""Patterns of text that people type and others read: on labels, in mails, at PayPal, at the desk."""

from shared.kernel.countries import COUNTRIES
from shared.kernel.languages import LOCALES

# Each class is as Python and ECMA-262 both read it, for docs/openapi.json. What would end a line or turn the direction
# of writing round would be somebody else's line, or look like another text (CVE-2021-42574).
_TURNING = r"\u2028-\u202e\u2066-\u2069"
_UNRULY = rf"\x00-\x1f\x7f-\x9f{_TURNING}"
_UNRULY_IN_LINES = rf"\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNING}"
# White space, what Unicode calls Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the empty braille cell.
_UNSEEN = (
    r"\x20\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202f\u205f-\u2065\u206a-\u206f"
    r"\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8" + "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)

LINE = rf"^[^{_UNRULY}]*\Z"
LINES = rf"^[^{_UNRULY_IN_LINES}]*\Z"
# What is not seen comes first and cannot be what is seen, so that no text makes the match go back.
SEEN_LINE = rf"^[{_UNSEEN}]*[^{_UNSEEN}{_UNRULY}][^{_UNRULY}]*\Z"
SEEN_LINES = rf"^[{_UNSEEN}\t\n]*[^{_UNSEEN}{_UNRULY}][^{_UNRULY_IN_LINES}]*\Z"
COUNTRY = rf"^({'|'.join(sorted(COUNTRIES))})\Z"
LOCALE = rf"^({'|'.join(sorted(LOCALES))})\Z"

SENTENCES = {
    LINE: "must be a line of text without control characters",
    LINES: "must be text without control characters",
    SEEN_LINE: "must be a line of text that can be seen, without control characters",
    SEEN_LINES: "must be text that can be seen, without control characters",
    COUNTRY: "must be a country's code as ISO 3166-1 alpha-2 has it",
    LOCALE: "must be a language and a territory that CLDR knows together, en_US",
}
