"""What a session asked for: names, and addresses that it dialled as such. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.record import events
from relay.record.events import AnyEvent
from relay.record.kinds import Kind


@dataclass
class Asked:
    """Hosts by name or address, in the order in which they came."""

    ports: dict[str, set[int]] = field(default_factory=dict)
    """The ports at which each was dialled; none if a name was only looked up."""
    denied: dict[str, None] = field(default_factory=dict)
    """HOST:PORT, or HOST, that policy denied: nobody needs to look it up."""


def asked(log: Iterable[AnyEvent]) -> Asked:
    """Gather what a session asked for.

    An address that stands for a name of another session is no destination, and is left out.
    """
    found = Asked()
    opened: dict[int, tuple[str, int]] = {}
    looked_up: dict[str, None] = {}
    denied_hosts = set()
    for event in log:
        match event:
            case events.ConnectionOpened():
                opened[event.connection] = (event.name or event.address, event.port)
            case events.UpstreamOpened():
                opened[event.connection] = (event.host, event.port)
            case events.ConnectionDenied(kind=Kind.UNDIALABLE):
                opened.pop(event.connection, None)
            case events.ConnectionDenied(connection=number) if number in opened:
                host, port = opened.pop(number)
                found.denied[f"{host}:{port}"] = None
                denied_hosts.add(host)
            case events.NameRefused():
                found.denied[event.name] = None
            case (
                events.NameAssigned()
                | events.NameForwarded()
                | events.LookupFailed()
                | events.AnswerWithheld()
            ):
                looked_up[event.name] = None
            case _:
                pass
    for host, port in opened.values():
        found.ports.setdefault(host, set()).add(port)
    for name in looked_up.keys() - denied_hosts:
        found.ports.setdefault(name, set())
    return found
