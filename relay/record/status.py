"""Live sessions and their open connections, read from their flight logs. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from relay.record.events import (
    AnyEvent,
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    Dialled,
    LogFull,
    SessionStarted,
    UpstreamClosed,
    UpstreamOpened,
)


class OpenConnection(msgspec.Struct):
    """A connection that has not ended."""

    connection: int
    to: str
    since: float
    """Seconds since the epoch."""
    reached: str | None = None
    """The upstream address; None while it is being dialled."""


class SessionState(msgspec.Struct):
    """A session that still runs."""

    session: str
    program: str = ""
    pid: int = 0
    connections: dict[int, OpenConnection] = {}
    complete: bool = True
    """False once the log has reached its limit: what came later is not known."""


def state_of(session: str, events: Iterable[AnyEvent]) -> SessionState:
    """Return what has been opened and has not ended."""
    state = SessionState(session)
    for event in events:
        match event:
            case SessionStarted():
                state.program, state.pid = event.program, event.pid
            case ConnectionOpened(connection=number):
                to = f"{event.name or event.address}:{event.port}"
                state.connections[number] = OpenConnection(number, to, event.at)
            case UpstreamOpened(connection=number):
                to = f"{event.host}:{event.port} (gateway)"
                state.connections[number] = OpenConnection(number, to, event.at)
            case Dialled(connection=number):
                if number in state.connections:
                    state.connections[number].reached = event.address
            case ConnectionClosed() | ConnectionDenied() | DialFailed() | UpstreamClosed():
                state.connections.pop(event.connection, None)
            case LogFull():
                state.complete = False
            case _:
                pass
    return state


def as_json(states: list[SessionState]) -> str:
    """Return them as JSON."""
    return msgspec.json.format(msgspec.json.encode(states)).decode()


def lines(states: list[SessionState]) -> Iterator[str]:
    """Yield them as lines for people."""
    if not states:
        yield "no live session"
    for state in states:
        yield f"{state.session}  {state.program} (pid {state.pid})"
        if not state.complete:
            yield "  the log is full: connections as they were then"
        for open_ in state.connections.values():
            yield f"  #{open_.connection:<5} {open_.to:40} {open_.reached or 'being dialled'}"
