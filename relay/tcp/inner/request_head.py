"""The names that the head of an HTTP/1 request asks for, RFC 9112: its target's and its Host; pure.

Servers are lenient in ways that differ. So a head is read strictly, and whatever one of them might
take in another way is unreadable: a folded line, a bare CR, a space before a colon, a second Host,
a line without a colon, HTTP/0.9, and HTTP/2 without TLS, whose names are compressed.
"""

import re
from collections.abc import Sequence
from typing import Final

from relay.tcp.inner.asked import Asked, Incomplete, Names, Unreadable, host_name

LIMIT: Final = 32 * 1024
"""Bytes of a head; servers take 8 to 32 KiB."""

_MOST_OF_METHOD: Final = 32
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_LINE: Final = re.compile(rb"([^ ]+) ([^ ]+) HTTP/1\.[01]")
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][-+.0-9A-Za-z]*://([^/?#]*).*")
_AUTHORITY: Final = re.compile(rb"([^:@\[\]]+)(?::[0-9]*)?")
_ODD: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_HTTP2: Final = b"PRI * HTTP/2.0"


def read(data: bytes) -> Asked:
    """Read the head with which `data` begins; empty lines before it are ignored, section 2.2."""
    is_full = len(data) >= LIMIT
    data = data.lstrip(b"\r\n")
    method, space, _ = data[: _MOST_OF_METHOD + 1].partition(b" ")
    if (method and not _TOKEN.fullmatch(method)) or (not space and len(data) > _MOST_OF_METHOD):
        return Unreadable("something other than HTTP")
    if data.startswith(_HTTP2):
        return Unreadable("HTTP/2 without TLS")
    end = min((at for at in (data.find(b"\n\n"), data.find(b"\n\r\n")) if at >= 0), default=-1)
    if end < 0:
        return Unreadable("a request without an end") if is_full else Incomplete()
    return _read([line.removesuffix(b"\r") for line in data[:end].split(b"\n")])


def _read(lines: list[bytes]) -> Asked:
    first = _LINE.fullmatch(lines[0])
    if first is None or any(map(_ODD.search, lines)):
        return Unreadable("a request line, or a character, that HTTP/1.1 does not have")
    fields = [line.partition(b":") for line in lines[1:]]
    if not all(colon and _TOKEN.fullmatch(name) for name, colon, _value in fields):
        return Unreadable("a header field that servers read in more than one way")
    hosts = [value.strip(b" \t") for name, _, value in fields if name.lower() == b"host"]
    target = _of_target(first[1], first[2])
    if target is None:
        return Unreadable("a request target that servers read in more than one way")
    return asked_by(hosts, target)


def asked_by(hosts: Sequence[bytes], target: Sequence[bytes] = ()) -> Names | Unreadable:
    """Return the names in a request's Host fields, and those in its target."""
    if len(hosts) > 1:
        return Unreadable("a request with more than one Host")
    names = [_host_of(authority) for authority in (*target, *hosts) if authority]
    if None in names:
        return Unreadable("a Host that is no host name")
    return Names(tuple(dict.fromkeys(name for name in names if name is not None)))


def _of_target(method: bytes, target: bytes) -> list[bytes] | None:
    """Return the authority that a target names, section 3.2, if any; None if it is no target."""
    if method == b"CONNECT":
        return [target]
    if target.startswith(b"/") or target == b"*":
        return []
    absolute = _ABSOLUTE.fullmatch(target)
    return [absolute[1]] if absolute and absolute[1] else None


def _host_of(authority: bytes) -> str | None:
    """Return the host of HOST[:PORT]; None if there is none, or it is an IPv6 address."""
    found = _AUTHORITY.fullmatch(authority)
    return host_name(found[1]) if found else None
