"""The flight log for people: one line an event, times since the session's start."""

from collections.abc import Iterable, Iterator

from relay.record.events import AnyEvent


def log_lines(events: Iterable[AnyEvent]) -> Iterator[str]:
    """Yield each event's line."""
    start = None
    for event in events:
        if start is None:
            start = event.at
        yield f"{event.at - start:9.3f}  {event.text()}"
