"""What was seen lately, up to a maximum: a further one takes the place of the oldest; pure."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Lately(Generic[T]):
    """A set of at most so many; what is added again counts as new."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: dict[T, T] = {}
        self._newest: T | None = None

    def __contains__(self, one: object) -> bool:
        """Return whether it is remembered."""
        return one in self._all

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._all)

    def add(self, one: T) -> None:
        """Remember it, in the place of the oldest if there is no other."""
        if one == self._newest:
            return
        self._all.pop(one, None)
        self._all[one] = self._newest = one
        if len(self._all) > self._most:
            del self._all[next(iter(self._all))]

    def discard(self, one: T) -> None:
        """Forget it, if it is remembered."""
        if self._all.pop(one, None) == self._newest:
            self._newest = None
