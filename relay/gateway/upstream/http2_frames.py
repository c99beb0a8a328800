"""Frames of HTTP/2 as they come, RFC 9113 section 4.1, for a look before h2 takes them; pure."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct(">HBBBI")
"""Length (24 bits), type, flags, and a reserved bit with the stream's number."""

_NUMBER: Final = 0x7FFFFFFF

_DATA: Final = 0x0
_GOAWAY: Final = 0x7
_END_STREAM: Final = 0x1
_PADDED: Final = 0x8


class Frame(NamedTuple):
    """A whole frame, which need not be valid."""

    octets: bytearray
    kind: int
    flags: int
    stream: int

    @property
    def is_data(self) -> bool:
        """Whether it is DATA, section 6.1."""
        return self.kind == _DATA

    @property
    def data_size(self) -> int:
        """Bytes of DATA, without padding."""
        size = len(self.octets) - _HEADER.size
        return size - 1 - sum(self.octets[9:10]) if self.flags & _PADDED else size

    @property
    def ends_stream(self) -> bool:
        """Whether DATA is the last of its stream."""
        return bool(self.flags & _END_STREAM)

    @property
    def last_stream(self) -> int | None:
        """The last stream that a valid GOAWAY accepts, section 6.8; None for other frames."""
        if self.kind != _GOAWAY or self.stream or len(self.octets) < _HEADER.size + 8:
            return None
        return int.from_bytes(self.octets[9:13], "big") & _NUMBER


def cut(received: bytearray) -> Iterator[Frame]:
    """Take the frames that are whole off what was received."""
    while len(received) >= _HEADER.size:
        high, low, kind, flags, number = _HEADER.unpack_from(received)
        end = _HEADER.size + (high << 8 | low)
        if len(received) < end:
            return
        octets = received[:end]
        del received[:end]
        yield Frame(octets, kind, flags, number & _NUMBER)
