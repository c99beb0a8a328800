"""Heads of responses that are not quite HTTP/1.1, as clients take them; pure.

h11 refuses what clients (curl, Node, Bun) take in one way or another. mend() writes such a head as
RFC 9112 wants it, where there is but one way to read how long its body is:

- white space before a colon is taken away, as a proxy has to do, section 5.1;
- a field whose name is no token, or empty, is dropped;
- folded lines become one, section 5.2; a line may end with LF alone, section 2.2;
- any HTTP/1.x, and HTTP/2 as some servers write it over HTTP/1.1, count as HTTP/1.1;
- `Transfer-Encoding: identity` says nothing; chunked may be named more than once;
- a Content-Length may have a sign.

A bare CR, NUL, a line without a colon, lengths that differ or are no numbers, and other transfer
codings are refused: what follows such a head could be read as an answer of its own.
"""

import re
from typing import Final

from relay.gateway.http import TOKEN

_STATUS: Final = re.compile(rb"(?i:HTTP)/[0-9](?:\.[0-9])?[ \t]+([1-9][0-9]{2})(?:[ \t]+(.*))?")
_ODD: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_LENGTH: Final = re.compile(rb"\+?([0-9]{1,20})")
_END: Final = re.compile(rb"\n\r?\n")
_PREFIX: Final = b"HTTP/"


def may_be_http(begun: bytes | bytearray) -> bool:
    """Return whether what has begun so may become a response."""
    begin = bytes(begun[:99]).lstrip(b"\r\n")[: len(_PREFIX)].upper()
    return _PREFIX.startswith(begin)


def mend(came: bytes) -> bytes | None:
    """Return what came, whole heads first, with the heads mended; None if they cannot be."""
    mended = b""
    while True:
        came = came.lstrip(b"\r\n")
        end = _END.search(came)
        if end is None:
            return None
        head, came = came[: end.start()], came[end.end() :]
        status, text = _mended(head)
        if not status:
            return None
        mended += text
        if status[:1] != b"1":
            return mended + came


def _mended(head: bytes) -> tuple[bytes, bytes]:
    """Return the status of one head, and the head as it should be; empty if it cannot be."""
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    first, fields = _STATUS.fullmatch(lines[0]), _fields(lines[1:])
    if first is None or fields is None or first[1] == b"101":
        return b"", b""
    reason = _ODD.sub(b"", first[2] or b"")
    begin = b"HTTP/1.1 %b %b" % (first[1], reason)
    return first[1], b"\r\n".join([begin, *(b"%b: %b" % field for field in fields), b"", b""])


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]] | None:
    """Return the fields; None if they are ambiguous."""
    unfolded: list[bytes] = []
    for line in lines:
        if b"\r" in line or b"\x00" in line or (b":" not in line and line[:1] not in b" \t"):
            return None
        if line[:1] not in (b" ", b"\t"):
            unfolded.append(line)
        elif not unfolded:
            return None
        else:
            unfolded[-1] += b" " + line.strip()
    fields = []
    for line in unfolded:
        name, _colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if TOKEN.fullmatch(name):
            fields.append((name, value.strip(b" \t")))
    return _framed(fields)


def _framed(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]] | None:
    """Return the fields with one way to tell the body's end at most; None if they have more."""
    framing: dict[bytes, set[bytes]] = {b"transfer-encoding": set(), b"content-length": set()}
    others = []
    for name, value in fields:
        told = framing.get(name.lower())
        if told is None:
            others.append((name, value))
        else:
            told |= {member.strip(b" \t").lower() for member in value.split(b",")}
    codings, lengths = framing.values()
    codings -= {b"identity"}
    if codings:
        return [*others, (b"Transfer-Encoding", b"chunked")] if codings == {b"chunked"} else None
    if not lengths:
        return others
    numbers = {match[1] for match in map(_LENGTH.fullmatch, lengths) if match}
    if len(lengths) > 1 or not numbers:
        return None
    return [*others, (b"Content-Length", min(numbers))]
