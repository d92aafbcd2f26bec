"""What can go wrong with documents; apart, because routes name it that otherwise need nothing of them."""

from shared.kernel.errors import NotFound


class DocumentNotFound(NotFound):
    sentence = "There is no such document, or it is not issued yet."


class DocumentsMoved(Exception):
    """Another document of the order was issued meanwhile, so what this one would say is no longer right."""
