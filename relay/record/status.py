"""Live sessions and their open connections, read from their flight logs. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from relay.record import events
from relay.record.events import AnyEvent


class OpenConnection(msgspec.Struct):
    """A connection that has not ended."""

    connection: int
    to: str
    since: float
    """Seconds since the epoch."""
    reached: str | None = None
    """The upstream address; None while it is being dialled."""
    held: str | None = None
    """Why it is dialled again while the program waits."""


class SessionState(msgspec.Struct):
    """A session that still runs."""

    session: str
    program: str = ""
    pid: int = 0
    connections: dict[int, OpenConnection] = {}
    complete: bool = True
    """False once the log has reached its limit: what came later is not known."""


def state_of(session: str, log: Iterable[AnyEvent]) -> SessionState:
    """Return what has been opened and has not ended."""
    state = SessionState(session)
    open_ = state.connections
    for event in log:
        match event:
            case events.SessionStarted():
                state.program, state.pid = event.program, event.pid
            case events.ConnectionOpened(connection=number):
                open_[number] = OpenConnection(number, event.to, event.at)
            case events.UpstreamOpened(connection=number):
                open_[number] = OpenConnection(number, f"{event.to} (gateway)", event.at)
            case events.Dialled(connection=number) if number in open_:
                open_[number].reached, open_[number].held = event.address, None
            case events.DialHeld(connection=number) if number in open_:
                open_[number].held = event.cause
            case (
                events.ConnectionClosed()
                | events.ConnectionDenied()
                | events.DialFailed()
                | events.UpstreamClosed()
            ):
                open_.pop(event.connection, None)
            case events.Fault(connection=int(number)) if event.ends_connection:
                open_.pop(number, None)
            case events.LogFull():
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
            held = f"held: {open_.held}" if open_.held is not None else None
            reached = open_.reached or held or "being dialled"
            yield f"  #{open_.connection:<5} {open_.to:40} {reached}"
