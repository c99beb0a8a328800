"""What a program meets again and again is recorded of the first, second, fourth time, and the last.

So a program that asks for a denied name, or polls a port that refuses, does not fill the log. The
events are the same but for their time and the number of their connection. Pure.

A connection is recorded as opened before it is known how that ends. Where the two before to the
same destination have failed, this waits for what is next: if it is the same failure, both events
are one of those that are counted; if it is anything else, both are written, and the destination is
one like any other again. So do all connections once DISTINCT destinations have failed alike: from
then on further ones are counted together, so that a program that tries them all fills no log. What
was lost is counted apart always.

What still waits is not in the log if keepline is killed meanwhile: a dial to where nothing was
reached.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from relay.record.events import (
    AddressDenied,
    ConnectionDenied,
    ConnectionOpened,
    CountedEvent,
    DialFailed,
    DialHeld,
    Event,
    InnerDiffers,
)

MOST: Final = 1000
"""Failures that are counted, and destinations that are known to fail; further ones are written."""

DISTINCT: Final = 100
"""Failures of one kind, each of another destination or name, that are counted apart."""

PATIENT: Final = 2
"""Failures of a destination in a row after which the next connection's first event waits."""

_VARYING: Final = frozenset({"at", "connection", "count", "seconds", "together"})
"""The fields in which two of the same failure may differ."""


@dataclass(slots=True)
class _Repeated:
    """A failure that is counted."""

    count: int = 0
    unwritten: tuple[Event, ...] = ()
    """The last one, with the event of its connection, unless it is written."""


class Repeats:
    """Decides which events are written."""

    def __init__(self) -> None:
        self._counted: dict[Hashable, _Repeated] = {}
        self._distinct: dict[Hashable, int] = {}
        """By kind of failure, how many of it are counted apart."""
        self._are_many = False
        """Whether there are so many that further ones are counted together."""
        self._failing: dict[str, int] = {}
        """By destination, how many connections in a row have failed."""
        self._opened: dict[int, str] = {}
        """By number, the destinations of connections of which nothing else has come yet."""
        self._waiting: dict[int, ConnectionOpened] = {}

    def passed(self, event: Event) -> tuple[Event, ...]:
        """Return what is to be written now that this has happened: up to two events."""
        if isinstance(event, ConnectionOpened):
            return self._open(event)
        number = getattr(event, "connection", None) or 0
        to, opened = self._opened.pop(number, ""), self._waiting.pop(number, None)
        if to and isinstance(event, DialHeld | AddressDenied | InnerDiffers):
            self._opened[number] = to  # its end is to come
        elif to:
            self._note(to, has_failed=isinstance(event, ConnectionDenied | DialFailed))
        both: tuple[Event, ...] = (event,) if opened is None else (opened, event)
        if not isinstance(event, CountedEvent):
            return both
        is_shown = bool(number) and opened is None
        return self._count(event, to, both, is_shown=is_shown)

    def _open(self, event: ConnectionOpened) -> tuple[Event, ...]:
        self._opened[event.connection] = event.to
        if not self._are_many and self._failing.get(event.to, 0) < PATIENT:
            return (event,)
        self._waiting[event.connection] = event
        return ()

    def _note(self, to: str, *, has_failed: bool) -> None:
        """Note how the latest connection to a destination went."""
        if not has_failed:
            self._failing.pop(to, None)
        elif to in self._failing or len(self._failing) < MOST:
            self._failing[to] = self._failing.get(to, 0) + 1

    def _count(
        self, event: CountedEvent, to: str, both: tuple[Event, ...], *, is_shown: bool
    ) -> tuple[Event, ...]:
        """Count a failure; return what is to be written of it.

        `is_shown`: its connection is in the log already, and so must be its end.
        """
        fields = (name for name in event.__struct_fields__ if name not in _VARYING)
        key: Hashable = (type(event), to, *(getattr(event, name) for name in fields))
        if key not in self._counted:
            if len(self._counted) >= MOST:
                return both
            key = self._first(key, event)
        repeated = self._counted.setdefault(key, _Repeated())
        repeated.count += 1
        event.count = repeated.count
        is_due = is_shown or is_told(event.count)
        repeated.unwritten = () if is_due else both
        return both if is_due else ()

    def _first(self, key: Hashable, event: CountedEvent) -> Hashable:
        """Return under which key a failure is counted that has not come before."""
        if event.is_loss:
            return key
        alike = (type(event), event.kind)
        known = self._distinct.get(alike, 0)
        self._distinct[alike] = known + 1
        if known < DISTINCT:
            return key
        self._are_many = event.together = True
        return alike

    def last(self) -> Iterator[Event]:
        """Yield, at the end of the session, what is not written yet: the last of each failure."""
        for repeated in self._counted.values():
            yield from repeated.unwritten
            repeated.unwritten = ()
        yield from self._waiting.values()
        self._waiting.clear()


def is_told(count: int) -> bool:
    """Return whether a repetition is told: the first, the second, the fourth, the eighth."""
    return count & (count - 1) == 0
