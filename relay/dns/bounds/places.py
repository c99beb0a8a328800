"""Lookups under way: at most so many in all, and of one zone; pure.

A zone whose servers say nothing keeps its lookups for as long as programs wait. It takes its own
places with them, and leaves those of all others.
"""

from collections import Counter
from typing import Final

MOST: Final = 4096
"""Lookups at a time, if there are four times as many descriptors: each needs one."""

MOST_OF_ZONE: Final = 512
"""Of these, lookups of one zone, if there are eight times as many descriptors: a program asks for
all its names in an outage, and waits."""


class Places:
    """Counts lookups."""

    def __init__(self, most: int = MOST, most_of_zone: int = MOST_OF_ZONE) -> None:
        self._most = most
        self._most_of_zone = most_of_zone
        self._taken = 0
        self._of_zone: Counter[str] = Counter()

    def take(self, zone: str) -> str:
        """Take a place; return "", or the bound that leaves none."""
        if self._of_zone[zone] >= self._most_of_zone:
            return f"{self._most_of_zone} lookups of one zone are under way"
        if self._taken >= self._most:
            return f"{self._most} lookups are under way"
        self._taken += 1
        self._of_zone[zone] += 1
        return ""

    def give_back(self, zone: str) -> None:
        """Give back a place that was taken."""
        self._taken -= 1
        self._of_zone[zone] -= 1
        if not self._of_zone[zone]:
            del self._of_zone[zone]
