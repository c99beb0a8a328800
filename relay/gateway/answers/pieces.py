"""Bytes that wait to be given away, in pieces; pure."""

from collections.abc import Sequence
from typing import Final

PIECE: Final = 64 * 1024
"""Bytes of one piece; and of an unfinished event that are waited for where events flow."""


class Pieces:
    """Bytes, in pieces that can be given away and forgotten one by one."""

    def __init__(self) -> None:
        self.all: list[bytearray] = []
        self.size = 0
        self._left = 0
        """Bytes for which the last piece has room."""

    def add(self, data: bytes | bytearray) -> None:
        """Add bytes; a bytearray may be taken over."""
        size = len(data)
        self.size += size
        if 0 < size <= self._left:
            self.all[-1] += data
            self._left -= size
            return
        if isinstance(data, bytearray):
            self.all.append(data)
        elif len(data) > PIECE:
            places = range(0, len(data), PIECE)
            self.all += [bytearray(data[at : at + PIECE]) for at in places]
        elif data:
            self.all.append(bytearray(data))
        if self.all:
            self._left = PIECE - len(self.all[-1])

    def take(self) -> list[bytearray]:
        """Return all, and forget it."""
        taken, self.all, self.size, self._left = self.all, [], 0, 0
        return taken


def pieces_of(parts: Sequence[bytes | bytearray]) -> list[bytearray]:
    """Return parts in pieces of PIECE bytes at most; a bytearray may be taken over."""
    if not parts:
        return []
    if sum(map(len, parts)) <= PIECE:
        return [bytearray().join(parts)]
    made = Pieces()
    for part in parts:
        made.add(part)
    return made.all
