"""What all events share. An event carries names, addresses, counts and causes, never payload."""

from typing import Final

import msgspec

from relay.record.kinds import Kind

FORMAT: Final = 1
"""Version of the log's format. Within one, events, fields and values may be added, and nothing is
renamed or removed."""


def _snake(name: str) -> str:
    """Return an event's name in JSON: connection_opened for ConnectionOpened."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="event", tag=_snake):
    """Something that happened in a session; each type renders itself by text()."""

    at: float = 0.0
    """Seconds since the epoch; set when the event is recorded."""

    @property
    def is_loss(self) -> bool:
        """Whether something was lost, hidden or not."""
        return False

    @property
    def is_failure(self) -> bool:
        """Whether a program asked for something and did not get it, though nothing was lost."""
        return False


class CausedEvent(Event, kw_only=True):
    """A failure, a loss or an end, and why it came."""

    kind: Kind = Kind.UNKNOWN
    """UNKNOWN is left out in JSON, as all defaults are."""


class LossEvent(CausedEvent):
    """A loss, hidden from the program or not."""

    @property
    def is_loss(self) -> bool:
        """True for every event of this type."""
        return True


class CountedEvent(CausedEvent, kw_only=True):
    """What a program may meet again and again: repeats.py decides of which times it is recorded."""

    count: int = 1
    """How many of the same there were so far in this session, this one included."""
    together: bool = False
    """Whether those of other destinations or names are counted with it: there were very many."""

    @property
    def is_failure(self) -> bool:
        """True for every event of this type."""
        return True

    def times(self) -> str:
        """Return how many there were so far, as the end of a line for people."""
        others = " with others" if self.together else ""
        return f"; {self.count} times so far{others}" if self.count > 1 else ""


def size(count: float) -> str:
    """Return a count of bytes in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
