"""Connections to the name server, and which one gives way to a further one; pure.

Each may be idle for half a minute. So a program that opens connections and says nothing on them, or
half a question, would keep all others from theirs for as long.
"""

from collections.abc import Callable

MOST = 128
"""At a time."""


class Caller:
    """One connection."""

    def __init__(self, now: float, end: Callable[[], None]) -> None:
        """Take what ends it."""
        self.since = now
        """When a whole question came last, or an answer went."""
        self.end = end
        self.is_busy: Callable[[], bool] = lambda: False
        """Whether something that it has asked is under way."""


class Callers:
    """All of them."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._all: dict[Caller, None] = {}

    def add(self, caller: Caller) -> bool:
        """Add one; return whether another had to end for it.

        That is the one that has been idle for longest. If all have questions under way, it is the
        one of which nothing was heard for longest.
        """
        is_full = len(self._all) >= self.most
        if is_full:
            gone = min(self._all, key=lambda each: (each.is_busy(), each.since))
            self.discard(gone)
            gone.end()
        self._all[caller] = None
        return is_full

    def discard(self, caller: Caller) -> None:
        """Forget one that has ended, if it is not forgotten yet."""
        self._all.pop(caller, None)
