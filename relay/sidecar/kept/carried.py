"""What the next file of a record begins with: the events of the connections that go on. Pure.

Of each the latest of its kind, with the time at which it happened: from them `status` knows what is
open, and `explain` what a loss is about.
"""

from collections.abc import Iterator

from relay.record import events
from relay.record.closing import ended_by
from relay.record.events import Event


class Carried:
    """The events of what is open."""

    def __init__(self) -> None:
        self._open: dict[int, dict[type[Event], Event]] = {}
        """By number, the latest of each type, in the order in which these came first."""

    def note(self, event: Event) -> None:
        """Take the next event."""
        if (ended := ended_by(event)) is not None:
            self._open.pop(ended, None)
        match event:
            case (
                events.ConnectionOpened(connection=number)
                | events.UpstreamOpened(connection=number)
            ):
                self._open[number] = {type(event): event}
            case _:
                known = self._open.get(getattr(event, "connection", None) or 0)
                if known is not None:
                    known[type(event)] = event

    def __iter__(self) -> Iterator[Event]:
        """Yield them all, connection by connection."""
        for known in self._open.values():
            yield from known.values()
