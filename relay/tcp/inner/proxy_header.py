"""The header by which a proxy says for whom it connects, PROXY protocol 1 and 2; pure.

A server that accepts it reads the beginning behind it: that is judged as if it stood first. The
header itself asks for nothing. https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
"""

from typing import Final

_SIGNATURE_1: Final = b"PROXY "
_SIGNATURE_2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_MOST_1: Final = 107
"""Bytes of a line, section 2.1."""

_FIXED_2: Final = 16
"""Bytes before those whose number the last two of them are, section 2.2."""


def size(data: bytes) -> int | None:
    """Return the bytes of the header with which `data` begins, 0 if it is none.

    None if more has to come to tell.
    """
    if data.startswith(_SIGNATURE_1[: len(data)]):
        end = data.find(b"\n", 0, _MOST_1)
        if end >= 0:
            return end + 1
        return None if len(data) < _MOST_1 else 0
    if data.startswith(_SIGNATURE_2[: len(data)]):
        if len(data) < _FIXED_2:
            return None
        whole = _FIXED_2 + int.from_bytes(data[_FIXED_2 - 2 : _FIXED_2], "big")
        return whole if len(data) >= whole else None
    return 0
