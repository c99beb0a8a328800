"""The programs' connections that the gateway serves, and which of them give way to others; pure.

A program may be slow for good reasons: it was stopped for an hour, or the machine slept. So no
time alone ends a connection, and no timer runs. But a program that opens connections and lets the
gateway wait on them keeps the others from theirs. Rules, when a further connection comes:

1. Up to FREE connections nobody is hurried.
2. Beyond, those end on which the gateway has waited for the program for LIMIT seconds: for a
   handshake, the next request, the rest of a head, more of a body, or room for an answer.
3. At the most that there may be, the one waited on for longest gives way, however short that is.
4. What waits for upstream never gives way. If all do, the further connection is reset.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Final

from relay.record.events import Event, TurnedAway
from relay.record.kinds import Kind
from relay.record.repeats import is_told

FREE: Final = 64
LIMIT: Final = 60.0
"""Seconds; nginx has the same for a head, between two pieces of a body, and of an answer."""

MOST: Final = 2048
"""Connections, if there are eight times as many descriptors. Clients of the API open 1000 each."""

PART: Final = 8


class Guest:
    """One connection, as far as the gateway waits for its program."""

    def __init__(self, now: float = math.inf) -> None:
        """Wait for a handshake, or a request, since `now`."""
        self.heard = now
        """Since when the program is to say something; inf while it is not."""
        self.taken = math.inf
        """Since when it is to take what is sent to it; inf while it is not."""
        self.is_sent_away = False
        self.send_away: Callable[[], None] = lambda: None
        """Ends the connection."""
        self.asks: Callable[[], None] = lambda: None
        """Called when a request has come."""

    @property
    def since(self) -> float:
        """Since when the gateway has waited for the program; inf while it does not."""
        return min(self.heard, self.taken)

    def has_asked(self) -> None:
        """Take note that a request has come: what comes next is upstream's."""
        self.heard = math.inf
        self.asks()


class Guests:
    """All of them; the time is an argument."""

    def __init__(self, record: Callable[[Event], None], most: int = MOST) -> None:
        self._record = record
        self._most = most
        self._all: dict[Guest, None] = {}
        self._turned_away = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def arrive(self, guest: Guest, now: float) -> bool:
        """Add one, and send away those that give way; return False if there is no place."""
        going: list[Guest] = []
        if len(self._all) >= min(FREE, self._most):
            going = [each for each in self._all if now - each.since >= LIMIT]
        if not going and len(self._all) >= self._most:
            longest = min(self._all, key=lambda each: each.since)
            if math.isinf(longest.since):
                self._note(f"it serves {self._most} at a time")
                return False
            going = [longest]
        for each in going:
            del self._all[each]
            each.is_sent_away = True
            each.send_away()
            self._note("it waited for the program, and others came")
        self._all[guest] = None
        return True

    @contextlib.contextmanager
    def present(self, guest: Guest) -> Iterator[None]:
        """Keep one that has arrived until the with statement ends."""
        try:
            yield
        finally:
            self._all.pop(guest, None)

    def _note(self, cause: str) -> None:
        """Record the first, the second, the fourth that is reset, and so on."""
        self._turned_away += 1
        count = self._turned_away
        if is_told(count):
            event = TurnedAway(where="the gateway", kind=Kind.BOUND, cause=cause, count=count)
            self._record(event)
