"""Which SYNs are copies of one that was accepted already, or is to have no answer; pure.

A SYN that was retransmitted just before its connection was accepted may be read when that is closed
already. Sent again, it would hit whatever has the same ends by then.
"""

from typing import Final, TypeAlias

from relay.addresses import Endpoint

Ends: TypeAlias = tuple[Endpoint, Endpoint]
"""Source and destination of a connect()."""

MOST_LEFT: Final = 4096
"""SYNs that are left without an answer; each copy of a further one is taken for a new connect()."""


class Answered:
    """Sequence numbers of SYNs that were accepted and closed lately, or are left unanswered."""

    def __init__(self) -> None:
        self._lately: dict[Ends, int] = {}
        self._before: dict[Ends, int] = {}
        """Of the last turn, and the one before."""
        self._left: dict[Ends, int] = {}

    def note(self, ends: Ends, sequence: int) -> None:
        """Remember a SYN for this turn and the next one."""
        self._lately[ends] = sequence

    def leave(self, ends: Ends, sequence: int) -> None:
        """Remember a SYN until forget_left(): its program's kernel repeats it for minutes."""
        if len(self._left) < MOST_LEFT:
            self._left[ends] = sequence

    def is_copy(self, ends: Ends, sequence: int) -> bool:
        """Return whether a SYN is one of those."""
        of_ends = self._lately.get(ends), self._before.get(ends), self._left.get(ends)
        return sequence in of_ends

    @property
    def left(self) -> tuple[Ends, ...]:
        """The ends of those that are left unanswered."""
        return tuple(self._left)

    def forget_left(self, ends: Ends) -> None:
        """Forget a SYN whose program has ended its connect()."""
        self._left.pop(ends, None)

    def turn(self) -> None:
        """Begin a new turn, which is longer than a SYN may wait to be read."""
        self._before, self._lately = self._lately, {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        return not (self._lately or self._before or self._left)
