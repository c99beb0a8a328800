"""What a session asked for: names, and addresses that it dialled as such. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.addresses import is_ipv4
from relay.record import events
from relay.record.events import AnyEvent
from relay.record.kinds import Kind
from relay.record.opened import leads_to_host


@dataclass
class Asked:
    """Hosts by name or address, in the order in which they came."""

    ports: dict[str, set[int]] = field(default_factory=dict)
    """The ports at which each was dialled; none if a name was only looked up."""
    host_ports: set[int] = field(default_factory=set)
    """The ports of the host's loopback."""
    denied: dict[str, None] = field(default_factory=dict)
    """HOST:PORT, or HOST, that policy denied: nobody needs to look it up."""


def asked(log: Iterable[AnyEvent]) -> Asked:
    """Gather what a session asked for.

    An address that stands for a name of another session is no destination, and is left out. What
    TLS and HTTP ask for within a connection to a name has to be allowed too; a rule about an
    address speaks for all names behind it.
    """
    gathered = _Gathered()
    for event in log:
        gathered.names(event)
        gathered.connections(event)
        gathered.within(event)
    return gathered.result()


class _Gathered:
    """What the events so far have told."""

    def __init__(self) -> None:
        self._denied: dict[str, None] = {}
        self._denied_hosts: set[str] = set()
        self._opened: dict[int, tuple[str, int]] = {}
        self._looked_up: dict[str, None] = {}
        self._within: dict[tuple[str, int], None] = {}
        self._host_ports: set[int] = set()

    def names(self, event: AnyEvent) -> None:
        match event:
            case events.NameRefused():
                self._denied[event.name] = None
            case (
                events.NameAssigned()
                | events.NameForwarded()
                | events.LookupFailed()
                | events.AnswerWithheld()
            ):
                self._looked_up[event.name] = None
            case _:
                pass

    def connections(self, event: AnyEvent) -> None:
        match event:
            case events.ConnectionOpened() if leads_to_host(event):
                self._host_ports.add(event.port)
            case events.LoopbackRefused(on_host=True):
                self._host_ports.add(event.port)
            case events.ConnectionOpened():
                self._opened[event.connection] = (event.name or event.address, event.port)
            case events.UpstreamOpened():
                self._opened[event.connection] = (event.host, event.port)
            case events.ConnectionDenied(kind=Kind.UNDIALABLE):
                self._opened.pop(event.connection, None)
            case events.ConnectionDenied(connection=number) if number in self._opened:
                host, port = self._opened.pop(number)
                self._denied[f"{host}:{port}"] = None
                self._denied_hosts.add(host)
            case _:
                pass

    def within(self, event: AnyEvent) -> None:
        match event:
            case events.InnerSeen(connection=number, inner=name) if number in self._opened:
                host, port = self._opened[number]
                if not is_ipv4(host):
                    self._within[name, port] = None
            case events.InnerDiffers(connection=number, inner=name) if number in self._opened:
                self._denied[f"{name}:{self._opened[number][1]}"] = None
            case _:
                pass

    def result(self) -> Asked:
        found = Asked(denied=self._denied, host_ports=self._host_ports)
        allowed = (each for each in self._within if f"{each[0]}:{each[1]}" not in self._denied)
        for host, port in (*self._opened.values(), *allowed):
            found.ports.setdefault(host, set()).add(port)
        for name in self._looked_up.keys() - self._denied_hosts:
            found.ports.setdefault(name, set())
        return found
