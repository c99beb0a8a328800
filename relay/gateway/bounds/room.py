"""How much of the answers is held in memory, by all requests of a session together; pure.

Answers are held so that they can be asked for again (answers/hold.py, answers/taking.py). All of
them share one Room. Where it is full the answer that grows is passed on as it comes: nothing of it
is lost, but a loss after that is the program's to see. Who has more than SMALL leaves KEPT to the
others, so that a few answers without end do not take from all others what holding is good for.
"""

from dataclasses import dataclass
from typing import Final

ALL: Final = 64 * 1024 * 1024
"""Bytes held of all answers. With what is on its way to programs, in pieces, and what it takes to
read an event, the relay's memory grows by less than 96 MiB."""

SMALL: Final = 1024 * 1024
KEPT: Final = ALL // 4


@dataclass(eq=False)
class Room:
    """The room of a session."""

    left: int = ALL
    """Bytes."""


class Share:
    """What one answer takes of a room."""

    def __init__(self, room: Room) -> None:
        """Take nothing yet; whoever makes a share ends it with hold(0)."""
        self._room = room
        self._held = 0

    def hold(self, size: int) -> bool:
        """Take so many bytes in all from now on; return whether there is room for that."""
        self._room.left += self._held - size
        self._held = size
        return self._room.left >= (KEPT if size > SMALL else 0)
