"""Lookups under way: at most so many in all, and of one zone; pure.

A zone whose servers say nothing keeps its lookups for as long as programs wait. It takes its own
places with them, and leaves those of all others: the fewer are left, the fewer one zone may have.
"""

from collections import Counter
from typing import Final

MOST: Final = 4096
"""Lookups at a time, if there are four times as many descriptors: each needs one."""

MOST_OF_ZONE: Final = 512
"""Of these, lookups of one zone, if there are eight times as many descriptors: a program asks for
all its names in an outage, and waits."""

PART: Final = 4
"""That part of the descriptors may be for lookups."""


class Places:
    """Counts lookups."""

    def __init__(self, most: int = MOST) -> None:
        of_zone = max(most // (MOST // MOST_OF_ZONE), 1)
        self._most = most
        self._steps = (
            (most // 2, of_zone),
            (most * 3 // 4, min(of_zone, 64)),
            (most * 7 // 8, min(of_zone, 8)),
            (most, 1),
        )
        """Below so many in all, so many of one zone: it takes 500 zones together to leave no place.
        """
        self._of_one = of_zone
        self._taken = 0
        self._of_zone: Counter[str] = Counter()

    def take(self, zone: str) -> str:
        """Take a place; return "", or the bound that leaves none."""
        limit = next((limit for most, limit in self._steps if self._taken < most), 0)
        if not limit:
            return f"{self._most} lookups are under way"
        if self._of_zone[zone] >= limit:
            others = f", as {self._taken} of all zones are" if limit < self._of_one else ""
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
