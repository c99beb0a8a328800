"""Names in the record: the first of each zone with their events, further ones as counts; pure.

So each zone that is asked is in the record, with what was asked first, and no program can fill it
with names. A loss is always recorded.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from relay.dns.bounds.zones import OTHERS, zone_of
from relay.record.events import (
    AnswerWithheld,
    Event,
    FurtherNames,
    LookupFailed,
    NameAssigned,
    NameForwarded,
    NameRefused,
    NamesBounded,
)
from relay.record.kinds import Kind

NAMES_OF_ZONE: Final = 64
"""Names, each with a type, whose events of one sort are recorded."""

NAMES: Final = 2000
"""The same of all zones together."""

ZONES: Final = 400
"""Zones that are counted apart."""

What: TypeAlias = Literal["assigned", "forwarded", "refused", "withheld", "failed"]

_WHAT: Final[dict[type[Event], What]] = {
    NameAssigned: "assigned",
    NameForwarded: "forwarded",
    NameRefused: "refused",
    AnswerWithheld: "withheld",
    LookupFailed: "failed",
}

_ONCE: Final = frozenset({NameForwarded, AnswerWithheld})
"""What is recorded once of a name and type; of the others, each one is."""


class Tally:
    """Stands before the record for all that concerns names."""

    def __init__(self, record: Callable[[Event], None]) -> None:
        self._record = record
        self._zones: set[str] = set()
        self._known: dict[What, dict[str, set[tuple[str, str]]]] = {}
        """By what happened and by zone: names and types that are in the record."""

    def __call__(self, event: Event) -> None:
        """Record an event, or count it among those of its zone."""
        if isinstance(event, NamesBounded):
            event.zone = self._zone(event.zone)
        what = _WHAT.get(type(event))
        if what is None or event.is_loss:
            self._record(event)
            return
        name: str = getattr(event, "name")  # noqa: B009 - each of these types has one
        zone, key = self._zone(zone_of(name)), (name, getattr(event, "type", ""))
        known = self._known.setdefault(what, {})
        of_zone = known.setdefault(zone, set())
        if key in of_zone:
            if type(event) not in _ONCE:
                self._record(event)
        elif self._has_room(zone, known):
            of_zone.add(key)
            self._record(event)
        else:
            self._record(FurtherNames(zone=zone, what=what, kind=Kind.BOUND))

    def _has_room(self, zone: str, known: dict[str, set[tuple[str, str]]]) -> bool:
        is_few = len(known[zone]) < NAMES_OF_ZONE or zone == OTHERS
        return is_few and sum(map(len, known.values())) < NAMES

    def _zone(self, zone: str) -> str:
        """Return the zone, or what stands for all for which there is no room."""
        if zone not in self._zones and len(self._zones) >= ZONES:
            return OTHERS
        self._zones.add(zone)
        return zone
