"""What follows a ClientHello: another one, if the server answers by a HelloRetryRequest; pure.

It comes in the clear, and servers take the name in it (RFC 8446 section 4.1.2 forbids another one;
OpenSSL looks at the second alone). Before it a program may send what servers pass over: alerts,
change_cipher_spec, and early data that is refused (section 4.2.10). All else ends the beginning.
"""

from typing import Final

from relay.tcp.inner import server_name
from relay.tcp.inner.asked import Asked, Incomplete, Other

MOST: Final = 1 << 20
"""Bytes that are looked through; servers pass over 16 KiB of early data, by default."""

_PASSED_OVER: Final = frozenset({20, 21})
_HANDSHAKE: Final = 22
_EARLY_DATA: Final = 23
_CLIENT_HELLO: Final = 1
_HEADER: Final = 5
_LONGEST: Final = 2**14 + 256
"""Bytes in a record, RFC 8446 section 5.2."""


def read(data: bytes, *, is_early: bool) -> tuple[Asked, int]:
    """Read what follows a ClientHello; return also how much of it asks for nothing.

    `is_early`: whether that one has announced early data. Other is the end of the beginning.
    """
    at = 0
    while at < len(data):
        kind, header = data[at], data[at : at + _HEADER + 1]
        if kind == _HANDSHAKE:
            if len(header) <= _HEADER:
                return Incomplete(), at
            is_hello = header[_HEADER] == _CLIENT_HELLO
            return (server_name.read(data[at:]) if is_hello else Other()), at
        if kind not in _PASSED_OVER and not (is_early and kind == _EARLY_DATA):
            return Other(), at
        size = int.from_bytes(header[3:_HEADER], "big")
        if size > _LONGEST:
            return Other(), at
        if len(header) < _HEADER or at + _HEADER + size > len(data):
            return Incomplete(), at
        at += _HEADER + size
    return Incomplete(), at
