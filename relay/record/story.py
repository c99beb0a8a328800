"""The flight log as a story: each loss in a line, hidden or seen, and what to do if it was seen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

from relay.record.events import (
    AnyEvent,
    AskedAgain,
    Cleared,
    ConnectionClosed,
    ConnectionOpened,
    DialFailed,
    DialHeld,
    Dialled,
    Distrusted,
    LookupFailed,
    Replaying,
    RequestLost,
    ServedStale,
    Slept,
    Suspected,
    UpstreamClosed,
    UpstreamOpened,
    size,
)


@dataclass(frozen=True)
class Loss:
    """One thing that was lost."""

    at: float
    """Seconds since the epoch."""
    hidden: bool
    """Whether the program saw nothing of it."""
    what: str
    evidence: tuple[str, ...] = ()
    """The lines of the events that it is concluded from."""


@dataclass
class _Connection:
    """What is known of a connection so far."""

    to: str
    events: list[AnyEvent] = field(default_factory=list)
    """Those of the trouble that it is in; none while all is well."""
    held_since: float | None = None
    """When that trouble began, in seconds since the epoch."""


ADVICE = (
    "If the program gave up: repeat what it did; an agent's command line can resume its session."
)


def losses(events: Iterable[AnyEvent]) -> Iterator[Loss]:
    """Yield every loss, in the order in which they were settled."""
    connections: dict[int, _Connection] = {}
    for event in events:
        match event:
            case ConnectionOpened():
                to = f"{event.name or event.address}:{event.port}"
                connections[event.connection] = _Connection(to)
            case ServedStale():
                what = f"{event.name}: DNS failed ({event.cause}); the last known address served"
                yield Loss(event.at, hidden=True, what=what, evidence=(event.text(),))
            case LookupFailed():
                what = f"{event.name}: not found out, {event.cause}; the program got an error"
                yield Loss(event.at, hidden=False, what=what, evidence=(event.text(),))
            case UpstreamOpened():
                connections[event.connection] = _Connection(f"{event.host}:{event.port}")
            case AskedAgain() | RequestLost() | Distrusted():
                to = connections[event.connection].to if event.connection in connections else "?"
                yield _of_gateway(event, to)
            case _ if (connection := connections.get(getattr(event, "connection", 0))) is not None:
                yield from _of_connection(event, connection)
            case _:
                pass


def _of_gateway(event: AskedAgain | RequestLost | Distrusted, to: str) -> Loss:
    """Return the loss of an answer, or of a program's trust."""
    match event:
        case AskedAgain():
            billed = "; upstream may bill both" if event.may_be_billed else ""
            what = (
                f"{to}: the answer to {event.method} {event.path} was lost ({event.cause}) before"
                f" the program had any of it; asked again, resend {event.resends}{billed}"
            )
        case RequestLost():
            why = f"; not asked again: {event.why}" if event.why else ""
            what = (
                f"{to}: the answer to {event.method} {event.path} was lost ({event.cause}){why};"
                f" the program saw {_SAW[event.saw]}"
            )
        case Distrusted():
            what = (
                f"{to}: a program {_DISTRUST[event.how]}: it does not know the certificate"
                f" authority that this session has for {event.host}. It takes it from"
                " NODE_EXTRA_CA_CERTS; for other programs use --gateway=http, or off"
            )
        case _:
            assert_never(event)
    return Loss(event.at, isinstance(event, AskedAgain), what, (event.text(),))


_SAW = {
    "reset": "a reset",
    "error event": "an error event",
    "status 502": "status 502 with the cause in it",
}

_DISTRUST = {
    "refused the certificate": "refused the gateway's certificate",
    "closed right after the handshake": (
        "closed right after the TLS handshake with the gateway, probably"
    ),
}


def _of_connection(event: AnyEvent, connection: _Connection) -> Iterator[Loss]:
    """Add an event to a connection's trouble; yield the loss once that is over."""
    to = connection.to
    match event:
        case DialHeld() | Replaying() | Suspected():
            if connection.held_since is None:
                connection.held_since = event.at
            connection.events.append(event)
        case Dialled() if connection.events:
            yield _settled(
                event, connection, hidden=True, what=f"{to}: {_reached(event, connection)}"
            )
        case Cleared():
            what = f"{to}: silent for {_held(event, connection)} in an outage, then went on"
            yield _settled(event, connection, hidden=True, what=what)
        case UpstreamClosed() if connection.events:
            what = f"{to}: fell silent ({event.cause}); the gateway goes on with another connection"
            yield _settled(event, connection, hidden=True, what=what)
        case DialFailed():
            if connection.events:
                what = f"{to}: {_given_up(event)}"
                yield _settled(event, connection, hidden=False, what=what)
        case ConnectionClosed() if event.is_loss:
            yield _settled(event, connection, hidden=False, what=f"{to}: {_lost(event)}")
        case _:
            pass


def _settled(event: AnyEvent, connection: _Connection, *, hidden: bool, what: str) -> Loss:
    evidence = tuple(earlier.text() for earlier in (*connection.events, event))
    connection.events, connection.held_since = [], None
    return Loss(event.at, hidden, what, evidence)


def _held(event: AnyEvent, connection: _Connection) -> str:
    return f"{event.at - (connection.held_since or event.at):.1f} s"


def _reached(event: Dialled, connection: _Connection) -> str:
    """Return how a dial or a handshake went well in the end."""
    causes = [e.cause for e in connection.events if isinstance(e, DialHeld | Replaying)]
    if any(isinstance(earlier, Replaying) for earlier in connection.events):
        return (
            f"lost before the first byte of an answer ({causes[0]}); the TLS ClientHello went to"
            f" {event.address} instead"
        )
    return (
        f"not reachable for {event.seconds:.1f} s ({causes[0]}); the program waited while it was"
        f" dialled {event.attempts} times"
    )


def _given_up(event: DialFailed) -> str:
    return f"not reachable for {event.seconds:.1f} s ({event.cause}); the program saw a reset"


_IN_AN_ANSWER = 3.0
"""Seconds since upstream's last byte within which the answer may not have been complete."""

_HOW = {
    "reset": "reset by the other side",
    "timeout": "fell silent",
    "unreachable": "cut off from this host",
}


def _lost(event: ConnectionClosed) -> str:
    cause = f" ({event.cause})" if event.cause else ""
    lost = f"{_HOW[event.how]}{cause}"
    if not event.waiting and event.received and event.idle < _IN_AN_ANSWER:
        return (
            f"{lost} right after {size(event.received)} of an answer, perhaps in the middle of it;"
            " the program saw a reset"
        )
    if not event.waiting and event.received:
        return (
            f"{lost} after {event.idle:.0f} s idle, with nothing asked; a pool drops such a"
            " connection, most programs notice nothing"
        )
    while_ = "while it waited for an answer" if event.waiting else "before anything was said"
    return (
        f"{lost} {while_}, {event.idle:.0f} s after the last byte ({size(event.sent)} sent,"
        f" {size(event.received)} received before); the program saw a reset"
    )


def lines(events: Iterable[AnyEvent], *, verbose: bool = False) -> Iterator[str]:
    """Yield the whole story line by line; `verbose` adds each loss's evidence."""
    known = list(events)
    if not known:
        yield "Nothing was recorded."
        return
    start = known[0].at
    yield known[0].text()
    for event in known:
        if isinstance(event, Slept):
            yield f"{event.at - start:9.1f} s           {event.text()}"
    found = list(losses(known))
    for loss in found:
        mark = "hidden " if loss.hidden else "VISIBLE"
        yield f"{loss.at - start:9.1f} s  {mark}  {loss.what}"
        if verbose:
            yield from (f"{'':21}  {line}" for line in loss.evidence)
    yield f"{summary(found) or 'Nothing was lost.'}"
    if any(not loss.hidden for loss in found):
        yield ADVICE


def summary(found: Iterable[Loss]) -> str:
    """Return how many losses there are; empty if there are none."""
    hidden = [loss.hidden for loss in found]
    if not hidden:
        return ""
    plural = "es" if len(hidden) > 1 else ""
    return f"{len(hidden)} loss{plural}: {sum(hidden)} hidden, {hidden.count(False)} visible."
