"""What HTTP/1.1 says in a request's head and of a status, RFC 9112, for http.py; pure."""

import re
from http import HTTPStatus
from typing import Final

import h11

from relay.gateway.http import Request, length, values, without

_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
"""What precedes the path in a request to a proxy, RFC 9112 section 3.2.2."""


def request_of(event: h11.Request) -> Request:
    """Return a request as http.py has it; a body that is chunked has no length, section 6.3."""
    fields = event.headers.raw_items()
    is_framed = bool(length(fields))
    if values(fields, b"transfer-encoding"):
        fields, is_framed = without(fields, b"content-length"), True
    return Request(event.method, _origin_form(event.target), fields, is_framed)


def _origin_form(target: bytes) -> bytes:
    """Return the target without a host, and without the user and the password that may be in it."""
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    rest = target[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def reason_of(status: int) -> bytes:
    """Return the usual reason phrase of a status; empty if it is not a known one."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
