"""Bytes that wait to be given away, in pieces; pure."""

from typing import Final

PIECE: Final = 64 * 1024
"""Bytes of one piece; and of an unfinished event that are waited for where events flow."""


class Pieces:
    """Bytes, in pieces that can be given away and forgotten one by one."""

    def __init__(self) -> None:
        self.all: list[bytearray] = []
        self.size = 0

    def add(self, data: bytes | bytearray) -> None:
        """Add bytes; a bytearray may be taken over."""
        self.size += len(data)
        if self.all and len(self.all[-1]) + len(data) <= PIECE:
            self.all[-1] += data
        elif isinstance(data, bytearray):
            self.all.append(data)
        elif len(data) > PIECE:
            places = range(0, len(data), PIECE)
            self.all += [bytearray(data[at : at + PIECE]) for at in places]
        elif data:
            self.all.append(bytearray(data))

    def take(self) -> list[bytearray]:
        """Return all, and forget it."""
        taken, self.all, self.size = self.all, [], 0
        return taken
