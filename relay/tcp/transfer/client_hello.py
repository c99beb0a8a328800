"""Reads a TLS ClientHello, and tells the programs apart that write them; pure, no sockets.

Which TLS library a program has, and how that is set, shows in the lists of its ClientHello: cipher
suites, extensions, groups, signature algorithms, versions and protocols (as in JA3 and JA4). Left
out is what changes from one connection of a program to the next:

- what RFC 8701 has libraries put in at random (GREASE), and the order of extensions, which Chrome's
  library shuffles;
- the name of the server, padding, random bytes and key shares;
- all that a resumed session adds or leaves out: tickets, PSKs, their modes, early data, cookies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

LIMIT: Final = 16 * 1024
"""Bytes of a ClientHello that are read, in its records; with post-quantum key shares it has 2,000.
"""

_HANDSHAKE = b"\x16"
_CLIENT_HELLO = 1
_TLS_MAJOR = b"\3"
_MAX_RECORD = 2**14

_SERVER_NAME = 0
_GROUPS = 10
_SIGNATURES = 13
_PROTOCOLS = 16
_PADDING = 21
_SESSION_TICKET = 35
_PRE_SHARED_KEY = 41
EARLY_DATA: Final = 42
_VERSIONS = 43
_COOKIE = 44
_PSK_MODES = 45

_OF_ONE_CONNECTION: Final = frozenset(
    {
        *(_SERVER_NAME, _PADDING, _SESSION_TICKET, _PRE_SHARED_KEY),
        *(EARLY_DATA, _COOKIE, _PSK_MODES),
    }
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is the same in all ClientHellos of a program; equal for programs that are set alike."""

    ciphers: tuple[int, ...]
    extensions: frozenset[int]
    groups: tuple[int, ...]
    signatures: tuple[int, ...]
    versions: tuple[int, ...]
    protocols: bytes
    """ALPN's list as it was sent."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """A whole ClientHello, RFC 8446 section 4.1.2."""

    ciphers: tuple[int, ...]
    extensions: Mapping[int, bytes]
    is_alone: bool
    """Whether nothing comes after it."""
    size: int = 0
    """Bytes of its records; 0 if another message begins in the last of them."""

    def fingerprint(self) -> Fingerprint:
        """Return what tells its program from others."""
        extensions = self.extensions
        kinds = (each for each in extensions if not _is_grease(each))
        return Fingerprint(
            tuple(each for each in self.ciphers if not _is_grease(each)),
            frozenset(kinds) - _OF_ONE_CONNECTION,
            _numbers(extensions.get(_GROUPS, b""), 2),
            _numbers(extensions.get(_SIGNATURES, b""), 2),
            _numbers(extensions.get(_VERSIONS, b""), 1),
            extensions.get(_PROTOCOLS, b""),
        )


@dataclass(frozen=True, slots=True)
class Incomplete:
    """What has come so far may be the beginning of a ClientHello."""


@dataclass(frozen=True, slots=True)
class NoClientHello:
    """It is something else, or malformed."""


First: TypeAlias = ClientHello | Incomplete | NoClientHello


def read(data: bytes) -> First:
    """Read the ClientHello with which `data` begins, in however many records."""
    try:
        return _read(_Reader(data))
    except ValueError:
        return NoClientHello()


def _read(reader: "_Reader") -> ClientHello | Incomplete:
    message = b""
    while (fragment := _fragment(reader)) is not None:
        message += fragment
        if message[0] != _CLIENT_HELLO:
            raise ValueError("another message")
        end = 4 + int.from_bytes(message[1:4], "big")
        if 4 <= len(message) >= end:
            is_alone = len(message) == end and not reader.left
            hello = _hello(_Reader(message[4:end]), is_alone=is_alone)
            return replace(hello, size=reader.at) if len(message) == end else hello
    return Incomplete()


def _fragment(reader: "_Reader") -> bytes | None:
    """Take what a handshake record holds, RFC 8446 section 5.1; None if it is not all there."""
    header = reader.peek(5)
    if header[:1] not in {b"", _HANDSHAKE} or header[1:2] not in {b"", _TLS_MAJOR}:
        raise ValueError("another record")
    size = int.from_bytes(header[3:5], "big")
    if len(header) == 5 and not 0 < size <= _MAX_RECORD:
        raise ValueError("no size of a handshake record")
    if len(header) < 5 or reader.left < 5 + size:
        return None
    return reader.take(5 + size)[5:]


def _hello(reader: "_Reader", *, is_alone: bool) -> ClientHello:
    reader.take(2 + 32)  # legacy_version, random
    reader.vector(1)  # legacy_session_id
    ciphers = reader.vector(2)
    reader.vector(1)  # legacy_compression_methods
    inside = _Reader(reader.vector(2) if reader.left else b"")  # TLS 1.2 may have none
    if reader.left or len(ciphers) % 2:
        raise ValueError("bytes that belong to nothing")
    extensions: dict[int, bytes] = {}
    while inside.left:
        kind = int.from_bytes(inside.take(2), "big")
        if kind in extensions:
            raise ValueError("an extension twice, RFC 8446 section 4.2")
        extensions[kind] = inside.vector(2)
    return ClientHello(_pairs(ciphers), extensions, is_alone)


def _numbers(extension: bytes, length_size: int) -> tuple[int, ...]:
    """Return a list of 16-bit numbers behind its length, without GREASE; empty if malformed."""
    try:
        found = _Reader(extension).vector(length_size)
    except ValueError:
        return ()
    return tuple(each for each in _pairs(found) if not _is_grease(each))


def _pairs(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def _is_grease(number: int) -> bool:
    """Return whether it is one of the 16 values of RFC 8701 section 2: 0x0A0A, 0x1A1A, ..."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


class _Reader:
    """Takes bytes off the front; ValueError when there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at(self) -> int:
        return self._at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def peek(self, count: int) -> bytes:
        """Return as many bytes, or those that there are, without taking them."""
        return self._data[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("too short")
        self._at += count
        return self._data[self._at - count : self._at]

    def vector(self, length_size: int) -> bytes:
        """Take a length and as many bytes, RFC 8446 section 3.4."""
        return self.take(int.from_bytes(self.take(length_size), "big"))
