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
        self._opened: dict[tuple[int, str], events.HostPortOpened] = {}
        """By port and source: an editor that is started anew opens its port again."""
        self._closed: set[tuple[int, str]] = set()
        self._dialled: dict[int, int] = {}
        self._reached: Counter[int] = Counter()
        """By port, how many connections were."""

    def note(self, event: AnyEvent) -> None:
        """Take the next event."""
        match event:
            case events.HostPortOpened():
                self._opened[event.port, event.source] = event
                self._closed.discard((event.port, event.source))
            case events.HostPortClosed():
                self._closed.add((event.port, event.source))
            case events.ConnectionOpened(connection=number) if leads_to_host(event):
                self._dialled[number] = event.port
            case events.Dialled(connection=number) if number in self._dialled:
                self._reached[self._dialled.pop(number)] += 1
            case _:
                pass

    def told(self, *, open_only: bool = False) -> Iterator[str]:
        """Yield each that was opened, or is open, for people."""
        for key, event in self._opened.items():
            is_closed = key in self._closed
            if is_closed and open_only:
                continue
            used = sum(
                count
                for port, count in self._reached.items()
                if event.port <= port <= (event.last or event.port)
            )
            times = f"used {used} times" if used != 1 else "used once"
            end = ", closed since" if is_closed else ""
            yield f"{event.text()}, {times if used else 'not used'}{end}"
