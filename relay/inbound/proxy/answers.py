"""What a proxy says: HTTP's answers (RFC 9110 section 15), SOCKS5's replies (RFC 1928); pure."""

import re
from collections.abc import Sequence
from typing import Final

SUCCEEDED: Final = 0
GENERAL_FAILURE: Final = 1
NOT_ALLOWED: Final = 2
NETWORK_UNREACHABLE: Final = 3
HOST_UNREACHABLE: Final = 4
REFUSED: Final = 5
TTL_EXPIRED: Final = 6
NO_SUCH_COMMAND: Final = 7
NO_SUCH_ADDRESS_TYPE: Final = 8
"""Codes of replies, RFC 1928 section 6."""

REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}
"""Of the statuses that are sent."""

_UNQUOTABLE: Final = re.compile(r"[^ !#-\[\]-~]")
"""What no quoted string of a structured field holds as it is, RFC 8941 section 3.3.3."""


def reply(code: int) -> bytes:
    """Return SOCKS5's reply to a request; the address that the proxy sends from is not told."""
    return bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0])


def answer(status: int, words: str, *fields: str) -> bytes:
    """Return a whole answer of HTTP/1.1, after which the connection ends; `words` are its body."""
    body = f"keepline: {words}\n".encode(errors="replace")
    framing = ("Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}")
    closing = ("Connection: close", "Proxy-Connection: close")
    return _head(f"HTTP/1.1 {status} {REASONS[status]}", [*framing, *closing, *fields]) + body


def failed(status: int, error: str, why: str) -> bytes:
    """Return the answer to a request that has met an error of RFC 9209 section 2.3."""
    details = _UNQUOTABLE.sub("?", why)
    return answer(status, why, f'Proxy-Status: keepline; error={error}; details="{details}"')


def established() -> bytes:
    """Return the answer to a CONNECT that has succeeded: it has no body, and no framing."""
    return _head("HTTP/1.1 200 Connection established", [])


def _head(first: str, fields: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *fields, "")).encode("ascii")
