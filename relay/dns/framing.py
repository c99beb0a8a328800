"""DNS messages as bytes: sizes, and frames on a TCP stream, RFC 1035 section 4.2.2; pure."""

HEADER_SIZE = 12
"""Bytes that every DNS message has at least: RFC 1035 section 4.1.1."""

PAYLOAD = 1232
"""Bytes of a UDP message that cross any path unfragmented; the DNS flag day of 2020."""


class FrameError(Exception):
    """The stream announces a message shorter than its header; nothing after it can be trusted."""


def frame(message: bytes) -> bytes:
    """Put two bytes of length before a message of at most 65535 bytes."""
    return len(message).to_bytes(2, "big") + message


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
