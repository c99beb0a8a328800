"""What the frames of HTTP/2 cost that carry nothing of an answer, RFC 9113; pure.

They are looked at as they come, before h2 has them: of each the header alone, section 4.1.

- DATA of a stream that waits for an answer is what was asked for. It costs what its framing is
  longer than its content, in bytes; where it has none, or nobody waits for it, a token too.
- Any other frame costs a token, and one for each UNIT bytes: PRIORITY and frames of unknown types
  as well, which are ignored, and each CONTINUATION, of which h2 makes one frame.
- SETTINGS cost a token for each setting, for each is kept; HEADERS and CONTINUATION one for each
  FIELDS bytes, which may stand for as many fields.
"""

from collections.abc import Container
from struct import Struct
from typing import Final

from relay.gateway.bounds.bucket import OF_PIECE, UNIT

_HEADER: Final = Struct(">HBBBI")
"""Length (24 bits), type, flags, and the stream with a bit that is reserved."""
_STREAM: Final = 0x7FFF_FFFF
_DATA: Final = 0x0
_OF_FIELDS: Final = frozenset({0x1, 0x9})
_SETTINGS: Final = 0x4
_SETTING: Final = 6
"""Bytes of one setting, section 6.5.1."""
FIELDS: Final = 64
_PADDED: Final = 0x8
_PAYS: Final = _HEADER.size + OF_PIECE
"""Bytes of content that pay for a frame of DATA."""


class Frames:
    """The frames of one connection, as they come in pieces."""

    def __init__(self) -> None:
        self._begun = b""
        """A frame's header as far as it has come."""
        self._skip = 0
        """Bytes that are still to come of the last frame."""

    def costs(self, data: bytes | bytearray, awaited: Container[int]) -> list[tuple[int, float]]:
        """Return where in `data` each frame begins that costs something, and its tokens.

        `awaited` has the streams whose answers are to come. A frame that has begun before `data`
        begins at 0.
        """
        found: list[tuple[int, float]] = []
        before = len(self._begun)
        if before:
            data = self._begun + data
        at, self._skip, self._begun = self._skip, 0, b""
        last = len(data) - _HEADER.size
        while at <= last:
            high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
            length = high << 8 | low
            useful = 0
            if kind == _DATA:
                useful = length
                if flags & _PADDED and length:
                    if at + _HEADER.size == len(data):
                        break  # how much of it is padding comes next
                    useful = max(0, length - 1 - data[at + _HEADER.size])
            is_awaited = stream & _STREAM in awaited
            pays_for_itself = is_awaited and length == useful >= _PAYS  # as most frames do
            if not pays_for_itself:
                cost = _cost(kind, length, useful if is_awaited else 0)
                if cost:
                    found.append((max(0, at - before), cost))
            at += _HEADER.size + length
        if at < len(data):
            self._begun = bytes(data[at:])
        else:
            self._skip = at - len(data)
        return found


def _cost(kind: int, length: int, useful: int) -> float:
    """Return the tokens of a frame, of whose payload so many bytes are of use."""
    if kind == _SETTINGS:
        return 1 + length // _SETTING
    if kind in _OF_FIELDS:
        return 1 + length // FIELDS
    if kind != _DATA:
        return 1 + length // UNIT
    framing = _HEADER.size + length - useful
    return max(0, framing + OF_PIECE - useful) / UNIT if useful else 1 + length // UNIT
