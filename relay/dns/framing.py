"""DNS messages on a TCP stream: two bytes of length before each, RFC 1035 section 4.2.2; no I/O."""

HEADER_SIZE = 12
"""The least a DNS message can be, in bytes: RFC 1035 section 4.1.1."""


class FrameError(Exception):
    """The stream announces a message too short to be one; nothing after it can be trusted."""


def frame(message: bytes) -> bytes:
    """Put the length before a message of at most 65535 bytes."""
    return len(message).to_bytes(2, "big") + message


class Unframer:
    """Cuts a stream into messages, whatever pieces it arrives in."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece and give the messages that it completes; raises FrameError."""
        self._buffer += data
        messages: list[bytes] = []
        while (end := self._end()) is not None:
            messages.append(bytes(self._buffer[2:end]))
            del self._buffer[:end]
        return messages

    def _end(self) -> int | None:
        """Say where the first message in the buffer ends; None if it is not all there."""
        if len(self._buffer) < 2:
            return None
        length = int.from_bytes(self._buffer[:2], "big")
        if length < HEADER_SIZE:
            raise FrameError(f"a DNS message of {length} bytes")
        end = 2 + length
        return end if len(self._buffer) >= end else None
