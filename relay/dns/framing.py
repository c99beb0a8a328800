"""DNS messages as bytes, without dnspython: sizes, frames on a TCP stream, SERVFAIL; pure."""

import struct

HEADER_SIZE = 12
"""Bytes that every DNS message has at least: RFC 1035 section 4.1.1."""

PAYLOAD = 1232
"""Bytes of a UDP message that cross any path unfragmented; the DNS flag day of 2020."""


_QR, _RA, _SERVFAIL = 0x8000, 0x0080, 2
_NXDOMAIN, _RCODE, _TC = 3, 0x0F, 0x02
"""In the header's third and fourth byte."""

_KEPT = 0x7910
"""What an answer keeps of a query's flags: opcode, RD and CD."""

_HEADER = struct.Struct("!HHHHHH")


class FrameError(Exception):
    """The stream announces a message shorter than its header; nothing after it can be trusted."""


def frame(message: bytes) -> bytes:
    """Put two bytes of length before a message of at most 65535 bytes."""
    return len(message).to_bytes(2, "big") + message


def servfail(query: bytes) -> bytes | None:
    """Return SERVFAIL as the answer to what was not understood; None if it is no query.

    The first question is part of it: libc takes no answer that lacks it.
    """
    if len(query) < HEADER_SIZE:
        return None
    number, flags, questions, *_counts = _HEADER.unpack_from(query)
    if flags & _QR:
        return None
    question = _first_question(query) if questions else b""
    flags = flags & _KEPT | _QR | _RA | _SERVFAIL
    return _HEADER.pack(number, flags, bool(question), 0, 0, 0) + question


def truncated(query: bytes) -> bytes:
    """Return what has the program ask again over TCP: no error, no records, the TC bit."""
    answer = bytearray(servfail(query) or b"")
    if answer:
        answer[2] |= _TC
        answer[3] &= ~_RCODE
    return bytes(answer)


def is_error(answer: bytes) -> bool:
    """Return whether an answer is neither NOERROR nor NXDOMAIN."""
    return answer[3] & _RCODE not in {0, _NXDOMAIN}


def _first_question(query: bytes) -> bytes:
    """Return name, type and class, RFC 1035 section 4.1.2; nothing if they are not all there."""
    at = HEADER_SIZE
    while at < len(query) and 0 < query[at] < 64:
        at += 1 + query[at]
    end = at + 5
    return query[HEADER_SIZE:end] if end <= len(query) and query[at] == 0 else b""


class Unframer:
    """Cuts a stream into messages, whatever pieces it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece and return the messages that it completes; raises FrameError."""
        self._buffer += data
        messages: list[bytes] = []
        while (end := self._end()) is not None:
            messages.append(bytes(self._buffer[2:end]))
            del self._buffer[:end]
        return messages

    def _end(self) -> int | None:
        """Return where the first message in the buffer ends, None if part of it is missing."""
        if len(self._buffer) < 2:
            return None
        length = int.from_bytes(self._buffer[:2], "big")
        if length < HEADER_SIZE:
            raise FrameError(f"a DNS message of {length} bytes")
        end = 2 + length
        return end if len(self._buffer) >= end else None
