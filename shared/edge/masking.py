"""What opens something is shown to nobody whom it was not made for: staff see that it is there, not what it is.

Who has a cart's id has the cart, who has a link's fragment has its order or account (DESIGN.md sections 2 and 9).
"""

import re

MASK = "***"
_SHOWN = 4  # enough to tell two of a list apart, of an id of 128 bits
_OPENING = r"cart_id|approve_url|\w*(?:token|secret|password)\w*|\w*(?:verif|reset|magic)\w*(?:url|link)|\w*_link"
# In the text itself: what came as a dead letter need not be whole, or JSON at all.
_FIELD = re.compile(rf'("(?:{_OPENING})"\s*:\s*)("(?:[^"\\]|\\.)*"?|[\w.+-]+)', re.IGNORECASE)
_FRAGMENT = re.compile(r"(#k=)[\w.~%+/=-]+")
# As in the links of PayPal's objects, where the address at which a buyer approves a payment has no name of its own.
_QUERY = re.compile(r"([?&]\w*token=)[\w.~%+/=-]+", re.IGNORECASE)


def mask_text(text: str) -> str:
    """JSON, or what is left of it, without the values of fields that open something; null stays."""
    return _QUERY.sub(rf"\1{MASK}", _FRAGMENT.sub(rf"\1{MASK}", _FIELD.sub(_mask_field, text)))


def mask_id(capability: str) -> str:
    """The beginning of an id that opens something."""
    return f"{capability[:_SHOWN]}{MASK}"


def _mask_field(found: re.Match[str]) -> str:
    name, value = found.groups()
    return f"{name}{value}" if value in ("null", '""') else f'{name}"{MASK}"'
