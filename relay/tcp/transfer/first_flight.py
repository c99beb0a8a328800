"""The replay rule: what may be sent again on a new connection, and nothing beyond it.

Replay is allowed while all of this holds:
1. upstream has sent nothing at all;
2. the program's bytes are exactly one TLS ClientHello, whole, in as many records as it likes,
   and nothing after it;
3. the ClientHello offers no early data (RFC 8446 section 4.2.10): it would come with it;
4. fewer than three replays have been made.

A ClientHello asks for nothing, so a server that has seen it twice has done nothing twice. A pure
state machine: no sockets, no clock; pump.py sends.
"""

from dataclasses import dataclass, field
from typing import Final

LIMIT: Final = 16 * 1024
"""Bytes kept; a longer first flight is not replayed."""
TRIES: Final = 3

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_EARLY_DATA = 42
_TLS_MAJOR = 3
_MAX_RECORD = 2**14


@dataclass(slots=True)
class FirstFlight:
    """What one connection's program has sent before upstream's first byte."""

    sent: bytes = b""
    _open: bool = True
    """False once a replay is out of the question for good."""
    _replays: int = field(default=0)

    def program_sent(self, data: bytes | memoryview) -> None:
        """Keep what is passed upstream, as long as it may be needed again."""
        if not self._open:
            return
        self.sent += data
        if len(self.sent) > LIMIT:
            self.close()

    def close(self) -> None:
        """Upstream has answered, or the program has ended: what is lost now stays lost."""
        self._open = False
        self.sent = b""

    @property
    def is_open(self) -> bool:
        """Whether upstream has been silent so far and a replay may still be right."""
        return self._open

    @property
    def may_replay(self) -> bool:
        """Whether a loss of upstream right now could be hidden by a replay."""
        return self._open and self._replays < TRIES and is_client_hello(self.sent)

    def claim_replay(self, *, reset: bool) -> bool:
        """Upstream is lost, by a reset or a FIN: return whether to dial again, and count it.

        A reset before the program has sent anything needs another connection but no replay; a
        FIN at that time is passed on.
        """
        unused = self._open and self._replays < TRIES and reset and not self.sent
        if not (unused or self.may_replay):
            return False
        self._replays += 1
        return True


def is_client_hello(data: bytes) -> bool:
    """Return whether `data` is exactly one whole ClientHello without early data."""
    message = _handshake(data)
    if message is None or len(message) < 4 or message[0] != _CLIENT_HELLO:
        return False
    body = message[4:]
    if int.from_bytes(message[1:4], "big") != len(body):
        return False
    try:
        return _EARLY_DATA not in _extensions(_Reader(body))
    except ValueError:
        return False


def _handshake(data: bytes) -> bytes | None:
    """Join the handshake records' contents, RFC 8446 section 5.1; None if anything else is in."""
    reader, message = _Reader(data), b""
    try:
        while reader.left:
            content_type, major, _minor = reader.take(3)
            fragment = reader.vector(2)
            if content_type != _HANDSHAKE or major != _TLS_MAJOR:
                return None
            if not 0 < len(fragment) <= _MAX_RECORD:
                return None
            message += fragment
    except ValueError:
        return None
    return message


def _extensions(reader: "_Reader") -> set[int]:
    """Read a ClientHello's extension types, RFC 8446 section 4.1.2; ValueError if malformed."""
    reader.take(2 + 32)  # legacy_version, random
    reader.vector(1)  # legacy_session_id
    reader.vector(2)  # cipher_suites
    reader.vector(1)  # legacy_compression_methods
    if not reader.left:
        return set()  # TLS 1.2 may have none
    extensions, types = _Reader(reader.vector(2)), set()
    if reader.left:
        raise ValueError("bytes after the extensions")
    while extensions.left:
        types.add(int.from_bytes(extensions.take(2), "big"))
        extensions.vector(2)
    return types


class _Reader:
    """Takes bytes off the front; ValueError when there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("too short")
        self._at += count
        return self._data[self._at - count : self._at]

    def vector(self, length_size: int) -> bytes:
        """Take a length and as many bytes, RFC 8446 section 3.4."""
        return self.take(int.from_bytes(self.take(length_size), "big"))
