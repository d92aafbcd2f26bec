"""What a forger can do who holds one genuine transmission: another body with the same CRC32."""

import zlib

# Two letters that differ in one bit: what is padded stays JSON, and each place is one unknown of a linear system.
_ZERO, _ONE = b"a", b"c"
_PLACES = 64


def forge(genuine: bytes, wanted: str) -> bytes:
    """`wanted`, a JSON object as text, with a member `pad` that gives it the checksum of `genuine`.

    CRC32 is linear over GF(2): turning the letter at one place changes the checksum by the same bits whatever the
    others are. Gaussian elimination finds the places to turn.
    """
    head = wanted.rstrip()[:-1].encode() + b',"pad":"'
    tail = b'"}'
    plain = head + _ZERO * _PLACES + tail
    missing = zlib.crc32(plain) ^ zlib.crc32(genuine)
    rows: dict[int, tuple[int, int]] = {}
    for place in range(_PLACES):
        turned = head + _ZERO * place + _ONE + _ZERO * (_PLACES - place - 1) + tail
        effect, places = zlib.crc32(plain) ^ zlib.crc32(turned), 1 << place
        while effect:
            bit = effect.bit_length()
            if bit not in rows:
                rows[bit] = effect, places
                break
            effect, places = effect ^ rows[bit][0], places ^ rows[bit][1]
    chosen = 0
    while missing:
        effect, places = rows[missing.bit_length()]
        missing, chosen = missing ^ effect, chosen ^ places
    letters = b"".join(_ONE if chosen >> place & 1 else _ZERO for place in range(_PLACES))
    return head + letters + tail
