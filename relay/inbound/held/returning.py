"""SYNs that had no place: few of their copies may take the place of others; pure.

The kernel of a program repeats each of them once a second. If each copy of thousands took the place
of another, which is repeated in its turn, the relay would do nothing else.
"""

from typing import Final

from relay.inbound.held.answered import Ends

MOST: Final = 16_384
"""SYNs that are remembered; a copy of a further one counts as new."""

RETURNS: Final = 64
"""Copies that may take the place of another between two sweeps."""


class Returning:
    """Sequence numbers of SYNs that are not held, by their ends."""

    def __init__(self) -> None:
        self._all: dict[Ends, int] = {}
        self._returned = 0

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._all)

    def note(self, ends: Ends, sequence: int) -> None:
        """Remember a SYN, in the place of the oldest if there is no other."""
        self._all.pop(ends, None)
        self._all[ends] = sequence
        if len(self._all) > MOST:
            del self._all[next(iter(self._all))]

    def may_displace(self, ends: Ends, sequence: int) -> bool:
        """Return whether a SYN may take another's place now; a copy that may counts."""
        if self._all.get(ends) != sequence:
            return True
        self._returned += 1
        return self._returned <= RETURNS

    def forget(self, ends: Ends) -> None:
        """Forget a SYN that is held."""
        self._all.pop(ends, None)

    def turn(self) -> None:
        """Let as many return again."""
        self._returned = 0
