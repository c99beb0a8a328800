"""The offers that are held, up to a maximum, and which one gives way to a further one; pure.

The oldest one to the destination that has most gives way, but to none of that destination: a
program that dials a silent host thousands of times keeps nobody else from theirs, and its own SYNs
do not drive each other out, each time that one is retransmitted. Nor does one destination have all
of the room. Where none has more than a few, the oldest of all gives way: one that has just come,
maybe to a host that answers at once, keeps its place while thousands dial a silent host each.
"""

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from relay.addresses import Endpoint

FEW: Final = 8
"""Connections to one destination that are no crowd: browsers open six to a host at once."""

_PART: Final = 64
"""In a small room, that part of it is few."""


class Pending(Protocol):
    """An offer, of which only the destination matters here."""

    destination: Endpoint


T = TypeVar("T", bound=Pending)


class Room(Generic[T]):
    """A set in the order of arrival; each of its operations takes the same time, however full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_one = (most + 1) // 2
        self._few = max(min(FEW, most // _PART), 1)
        self._all: dict[T, None] = {}
        self._by_destination: dict[Endpoint, dict[T, None]] = {}
        self._crowded: Endpoint = ("", 0)
        """The destination that had most when one was added, so that it need not be searched for."""

    def __contains__(self, offer: object) -> bool:
        """Return whether it is held."""
        return offer in self._all

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._all)

    def __iter__(self) -> Iterator[T]:
        """Iterate over those that are held now, the oldest one first."""
        return iter(tuple(self._all))

    def has_place(self, destination: Endpoint) -> bool:
        """Return whether one more to this destination may be added, once another has given way."""
        here = len(self._by_destination.get(destination, ()))
        if here >= self._most_of_one:
            return False
        is_full = len(self._all) >= self._most
        return not (is_full and here > self._few and here >= len(self._crowd()))

    def to_give_way(self) -> T | None:
        """Return the offer that has to go before another is added; None if there is room."""
        if len(self._all) < self._most:
            return None
        crowd = self._crowd()
        return next(iter(crowd if len(crowd) > self._few else self._all))

    def add(self, offer: T) -> None:
        """Hold one more, for which there is room."""
        self._all[offer] = None
        here = self._by_destination.setdefault(offer.destination, {})
        here[offer] = None
        if len(here) >= len(self._crowd()):
            self._crowded = offer.destination

    def discard(self, offer: T) -> None:
        """Hold one no longer, if it is held."""
        if offer not in self._all:
            return
        del self._all[offer]
        here = self._by_destination[offer.destination]
        del here[offer]
        if not here:
            del self._by_destination[offer.destination]

    def _crowd(self) -> dict[T, None]:
        """Return the offers to the destination that had most; they may have gone."""
        return self._by_destination.get(self._crowded, {})
