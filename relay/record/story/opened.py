"""Which ports of the host's loopback a session could reach, and how often it did. Pure."""

from collections import Counter
from collections.abc import Iterator

from relay.addresses import HOST_NAME, is_loopback
from relay.record import events
from relay.record.events import AnyEvent


def leads_to_host(event: events.ConnectionOpened) -> bool:
    """Return whether a connection is one to the host's loopback."""
    return is_loopback(event.address) or event.name == HOST_NAME


class OpenedPorts:
    """What the events so far have told of them."""

    def __init__(self) -> None:
        self._opened: list[events.HostPortOpened] = []
        self._closed: list[events.HostPortClosed] = []
        self._dialled: dict[int, int] = {}
        self._reached: Counter[int] = Counter()
        """By port, how many connections were."""

    def note(self, event: AnyEvent) -> None:
        """Take the next event."""
        match event:
            case events.HostPortOpened():
                self._opened.append(event)
            case events.HostPortClosed():
                self._closed.append(event)
            case events.ConnectionOpened(connection=number) if leads_to_host(event):
                self._dialled[number] = event.port
            case events.Dialled(connection=number) if number in self._dialled:
                self._reached[self._dialled.pop(number)] += 1
            case _:
                pass

    def told(self, *, has_closed: bool) -> Iterator[str]:
        """Yield each that was opened, for people; those closed since only with `has_closed`."""
        closed = Counter((event.port, event.source) for event in self._closed)
        for event in self._opened:
            is_closed = closed[event.port, event.source] > 0
            closed[event.port, event.source] -= 1
            if is_closed and not has_closed:
                continue
            used = sum(
                count
                for port, count in self._reached.items()
                if event.port <= port <= (event.last or event.port)
            )
            times = f"used {used} times" if used != 1 else "used once"
            end = ", closed since" if is_closed else ""
            yield f"{event.text()}, {times if used else 'not used'}{end}"
