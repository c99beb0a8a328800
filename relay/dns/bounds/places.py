"""Lookups under way: at most so many in all, and of one zone; pure.

A zone whose servers say nothing keeps its lookups for as long as programs wait. It takes its own
places with them, and leaves those of all others: the fewer are left, the fewer one zone may have.
"""

from collections import Counter
from typing import Final

MOST: Final = 4096
"""Lookups at a time."""

MOST_OF_ZONE: Final = 512
"""Of these, lookups of one zone: a program asks for all its names in an outage, and waits."""

_STEPS: Final = ((MOST // 2, MOST_OF_ZONE), (MOST * 3 // 4, 64), (MOST * 7 // 8, 8), (MOST, 1))
"""Below so many in all, so many of one zone: it takes 500 zones together to leave no place."""


class Places:
    """Counts lookups."""

    def __init__(self) -> None:
        self._taken = 0
        self._of_zone: Counter[str] = Counter()

    def take(self, zone: str) -> str:
        """Take a place; return "", or the bound that leaves none."""
        limit = next((limit for most, limit in _STEPS if self._taken < most), 0)
        if not limit:
            return f"{MOST} lookups are under way"
        if self._of_zone[zone] >= limit:
            others = f", as {self._taken} of all zones are" if limit < MOST_OF_ZONE else ""
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
