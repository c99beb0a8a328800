"""The flight log for people: one line an event with its local time, and one for each day."""

from collections.abc import Iterable, Iterator
from datetime import tzinfo

from relay.record.events import AnyEvent
from relay.record.times import Clock


def log_lines(events: Iterable[AnyEvent], zone: tzinfo | None = None) -> Iterator[str]:
    """Yield each event's line; times are those of `zone`, or of this machine."""
    clock = Clock(zone)
    for event in events:
        if day := clock.day(event.at):
            yield day
        yield f"{clock.time(event.at, 'milliseconds')}  {event.text()}"
