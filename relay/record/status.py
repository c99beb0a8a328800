"""Live sessions and their open connections, read from their flight logs. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from relay.record import events
from relay.record.closing import ended_by
from relay.record.events import AnyEvent
from relay.record.opened import OpenedPorts


class OpenConnection(msgspec.Struct):
    """A connection that has not ended."""

    connection: int
    to: str
    since: float
    """Seconds since the epoch."""
    reached: str | None = None
    """The upstream address, or the proxy; None while it is dialled, and if the gateway answers."""
    held: str | None = None
    """Why it is dialled again while the program waits."""
    served: bool = False
    """Whether the gateway answers it, by connections of its own."""
    protocol: str | None = None
    """What the gateway speaks on a connection of its own; None until that is agreed on."""
    suspected: str | None = None
    """Why it may be dead: it has not answered for so long."""

    def state(self) -> str:
        """Return for people how it stands."""
        if self.held is not None:
            return f"held, and dialled again: {self.held}"
        if self.served:
            return "answered by the gateway"
        if self.reached is None:
            return "being dialled"
        protocol = f" ({self.protocol})" if self.protocol else ""
        doubt = f", suspected: {self.suspected}" if self.suspected else ""
        return f"{self.reached}{protocol}{doubt}"


class PublishedPort(msgspec.Struct):
    """A port inside that is reached from the host."""

    port: int
    places: str
    """Where it is reached."""
    since: float
    """Seconds since the epoch."""


class SessionState(msgspec.Struct):
    """A session that still runs."""

    session: str
    program: str = ""
    pid: int = 0
    proxy: str = ""
    """Which proxies are its way out, and what has named them."""
    connections: dict[int, OpenConnection] = {}
    host_ports: list[str] = []
    """The ports of the host's loopback that are open, by whose word, and how often used."""
    published: dict[int, PublishedPort] = {}
    """By their ports on the host."""
    is_passed_by: bool = False
    """Whether programs may go past keepline, which then does not know of it: it is a proxy."""
    complete: bool = True
    """False once the log has reached its limit: what came later is not known."""


def state_of(session: str, log: Iterable[AnyEvent]) -> SessionState:
    """Return what has been opened and has not ended."""
    state = SessionState(session)
    open_, ports = state.connections, OpenedPorts()
    for event in log:
        ports.note(event)
        if (ended := ended_by(event)) is not None:
            open_.pop(ended, None)
        match event:
            case events.SessionStarted():
                state.program, state.pid, state.proxy = event.program, event.pid, event.proxy
                state.is_passed_by = event.intercept == "proxy"
            case events.LogFull():
                state.complete = False
            case events.Published() | events.PublishEnded():
                _note_port(state, event)
            case events.ConnectionOpened(connection=number):
                open_[number] = OpenConnection(number, event.to, event.at)
            case events.UpstreamOpened(connection=number):
                open_[number] = OpenConnection(number, f"{event.to} (gateway)", event.at)
            case _ if (known := open_.get(getattr(event, "connection", None) or 0)) is not None:
                _note(known, event)
    state.host_ports = list(ports.told(open_only=True))
    return state


def _note_port(state: SessionState, event: events.Published | events.PublishEnded) -> None:
    """Note whether a port inside is reached from the host."""
    if isinstance(event, events.Published):
        published = PublishedPort(event.port, event.places, event.at)
        state.published[event.host_port] = published
    else:
        state.published.pop(event.host_port, None)


def _note(connection: OpenConnection, event: AnyEvent) -> None:
    """Note what has become of a connection, which goes on."""
    match event:
        case events.Dialled():
            proxy = f"through the proxy {event.proxy}" if event.proxy else ""
            connection.reached, connection.held = proxy or event.address, None
        case events.DialHeld() | events.Replaying():
            connection.reached, connection.held = None, event.cause
        case events.ConnectionServed():
            connection.served = True
        case events.UpstreamReady():
            connection.protocol = event.protocol
        case events.Suspected():
            connection.suspected = f"silent for {event.silence:.0f} s"
        case events.Cleared():
            connection.suspected = None
        case _:
            pass


def as_json(states: list[SessionState]) -> str:
    """Return them as JSON."""
    return msgspec.json.format(msgspec.json.encode(states)).decode()


def lines(states: list[SessionState]) -> Iterator[str]:
    """Yield them as lines for people."""
    if not states:
        yield "no live session"
    for state in states:
        yield f"{state.session}  {state.program} (pid {state.pid})"
        if state.is_passed_by:
            yield f"  {events.PASSABLE}"
        if not state.complete:
            yield "  the log is full: connections as they were then"
        yield from (f"  {each}" for each in (state.proxy, *state.host_ports) if each)
        for published in state.published.values():
            yield f"  port {published.port} inside: {published.places} on the host"
        for open_ in state.connections.values():
            yield f"  #{open_.connection:<5} {open_.to:40} {open_.state()}"
