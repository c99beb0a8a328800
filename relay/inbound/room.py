"""Who is held, in room for so many, and who makes room for a further one; pure.

The oldest of those to the destination that has most gives way: a program that knocks at a silent
host thousands of times does not keep others from theirs.
"""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from relay.addresses import Endpoint


class Guest(Protocol):
    """Whatever is held for a destination."""

    destination: Endpoint


T = TypeVar("T", bound=Guest)


class Room(Generic[T]):
    """A set in the order of arrival; each of its operations takes the same time, however full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: dict[T, None] = {}
        self._by_destination: dict[Endpoint, dict[T, None]] = {}
        self._crowded: Endpoint = ("", 0)
        """The destination that had most when one was added, so that nobody has to search for it."""

    def __contains__(self, guest: object) -> bool:
        """Return whether it is held."""
        return guest in self._all

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._all)

    def __iter__(self) -> Iterator[T]:
        """Return those that are held now, the oldest one first."""
        return iter(tuple(self._all))

    def to_give_way(self) -> T | None:
        """Return who has to go before another is added; None if there is room."""
        if len(self._all) < self._most:
            return None
        return next(iter(self._by_destination.get(self._crowded) or self._all))

    def add(self, guest: T) -> None:
        """Hold one more, for whom there is room."""
        self._all[guest] = None
        here = self._by_destination.setdefault(guest.destination, {})
        here[guest] = None
        if len(here) >= len(self._by_destination.get(self._crowded, ())):
            self._crowded = guest.destination

    def discard(self, guest: T) -> None:
        """Hold one no longer, if it is held."""
        if guest not in self._all:
            return
        del self._all[guest]
        here = self._by_destination[guest.destination]
        del here[guest]
        if not here:
            del self._by_destination[guest.destination]
