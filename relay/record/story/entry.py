"""A line of the story, and how lines that say the same become one. Pure."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.record.events import AnyEvent
from relay.record.kinds import Kind


class Mark(StrEnum):
    """What a line tells of."""

    HIDDEN = "hidden"
    """A loss of which the program saw nothing."""
    VISIBLE = "VISIBLE"
    """A loss that the program saw."""
    DENIED = "denied"
    """By a rule of the session."""
    GAVE_UP = "gave up"
    """The program, or its user, waited no longer for what was being held."""
    LIMIT = "limit"
    """It works without keepline, and cannot under it: README.md has these under Limits."""
    FAILED = "failed"
    """It would have failed without keepline too."""
    NOTE = "note"
    """What is worth knowing beside the rest."""


@dataclass(frozen=True)
class Entry:
    """One thing that is told."""

    at: float
    """Seconds since the epoch."""
    mark: Mark
    what: str
    kind: Kind = Kind.UNKNOWN
    evidence: tuple[str, ...] = ()
    """The lines of the events that it is concluded from."""
    count: int = 1
    """How often; of an event that was recorded with a count, as many as that says."""
    until: float = 0.0
    """When it was met last, in seconds since the epoch; 0 if it was met once."""
    host: str = ""
    """The host that it is about, if one is."""
    same: Hashable = None
    """Equal for entries that are told in one line; None for one that has a line of its own."""
    part: Hashable = None
    """Which of the events that make up such a line: each has a count of its own."""
    is_told: bool = False
    """Whether it is worth a line at the end, where the command has failed."""

    @property
    def hidden(self) -> bool:
        """Whether the program saw nothing of it."""
        return self.mark is Mark.HIDDEN


def evidence_of(event: AnyEvent, trouble: Iterable[AnyEvent] = ()) -> tuple[str, ...]:
    """Return the lines of the events that an entry is concluded from."""
    return tuple(each.text() for each in (*trouble, event))


def joined(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries in order, those that are the same as one, at the place of the first.

    An event has a count if others before it were left out of the log, repeats.py; one without is
    one more.
    """
    found: dict[Hashable, Entry] = {}
    counts: dict[Hashable, dict[Hashable, int]] = {}
    for number, entry in enumerate(entries):
        key: Hashable = (number,) if entry.same is None else entry.same
        parts = counts.setdefault(key, {})
        parts[entry.part] = max(parts.get(entry.part, 0) + 1, entry.count)
        if key in found:
            found[key] = replace(found[key], count=sum(parts.values()), until=entry.at)
        else:
            found[key] = entry
    return list(found.values())
