"""Lookups under way: at most so many in all, and of one zone; pure.

A zone whose servers say nothing keeps its lookups for as long as programs wait. It takes its own
places with them, and leaves those of all others: the fewer are left, the fewer one zone may have.
"""

from collections import Counter
from typing import Final

MOST: Final = 4096
"""Lookups at a time, if there are descriptors enough, for each needs one."""

MOST_OF_ZONE: Final = MOST // 8
"""Of these, lookups of one zone, while half of all places are free."""

_PARTS_OF_ZONE: Final = ((1 / 2, 8), (3 / 4, 64), (7 / 8, 512), (1, 4096))
"""Until such a part of all are under way, one zone may have one in so many of all: a program asks
for all its names in an outage, and waits; it takes 500 zones together to leave no place."""


class Places:
    """Counts lookups."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._steps = [(int(most * part), max(1, most // one)) for part, one in _PARTS_OF_ZONE]
        self._taken = 0
        self._of_zone: Counter[str] = Counter()

    def take(self, zone: str) -> str:
        """Take a place; return "", or the bound that leaves none."""
        limit = next((limit for below, limit in self._steps if self._taken < below), 0)
        if not limit:
            return f"{self._most} lookups are under way"
        if self._of_zone[zone] >= limit:
            is_fewer = limit < self._steps[0][1]
            others = f", as {self._taken} of all zones are" if is_fewer else ""
            return f"{limit} lookups of one zone are under way{others}"
        self._taken += 1
        self._of_zone[zone] += 1
        return ""

    def give_back(self, zone: str) -> None:
        """Give back a place that was taken."""
        self._taken -= 1
        self._of_zone[zone] -= 1
        if not self._of_zone[zone]:
            del self._of_zone[zone]
