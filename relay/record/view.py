"""The flight log for people: one line an event, times since the session's start."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import assert_never

from relay.record.events import (
    AnswerWithheld,
    AnyEvent,
    AskedAgain,
    Cleared,
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    DialHeld,
    Dialled,
    Distrusted,
    LogFull,
    LookupFailed,
    NameAssigned,
    NameRefused,
    PathDown,
    PathUp,
    Replaying,
    RequestLost,
    ResolversChanged,
    ResolverSilent,
    ServedStale,
    SessionEnded,
    SessionStarted,
    Slept,
    Suspected,
    UpstreamClosed,
    UpstreamOpened,
    UpstreamReady,
)


def log_lines(events: Iterable[AnyEvent]) -> Iterator[str]:
    """Render each event."""
    start = None
    for event in events:
        if start is None:
            start = event.at
        yield f"{event.at - start:9.3f}  {told(event)}"


def told(event: AnyEvent) -> str:  # noqa: C901, PLR0911, PLR0912 - one case an event
    """Say what happened."""
    match event:
        case SessionStarted():
            begun = datetime.fromtimestamp(event.at, UTC).astimezone()
            return (
                f"session {event.session} of {event.program} started {begun:%Y-%m-%d %H:%M:%S}"
                f" (pid {event.pid}, uid {event.uid}, {event.intercept}, {event.dns} names)"
                + (f"; {event.gateway}" if event.gateway else "")
            )
        case SessionEnded():
            return (
                f"session ended with status {event.status} after {event.seconds:.1f} s and"
                f" {event.connections} connections"
            )
        case LogFull():
            return f"the log reached its limit of {size(event.limit)}: what follows is not in it"
        case ConnectionOpened():
            where = f"{event.name or event.address}:{event.port}"
            return f"#{event.connection} opened to {where}"
        case ConnectionDenied():
            return f"#{event.connection} denied and reset: {event.rule}"
        case Dialled():
            attempts = f", attempt {event.attempts}" if event.attempts > 1 else ""
            return (
                f"#{event.connection} reached {event.address} in"
                f" {event.seconds * 1000:.1f} ms{attempts}"
            )
        case DialFailed():
            return f"#{event.connection} not reached in {event.seconds:.1f} s: {event.cause}; reset"
        case DialHeld():
            return f"#{event.connection} held while it is dialled again: {event.cause}"
        case Replaying():
            return f"#{event.connection} upstream lost before its first byte: {event.cause}; again"
        case Suspected():
            return (
                f"#{event.connection} upstream silent for {event.silence:.1f} s:"
                f" {event.retransmits} retransmissions, {event.probes} probes unanswered,"
                f" {event.unacked} segments outstanding"
            )
        case Cleared():
            return f"#{event.connection} upstream has answered after all"
        case PathDown():
            return f"no answer from {event.address}: its connections are held"
        case PathUp():
            return f"{event.address} answers again after {event.seconds:.1f} s"
        case Slept():
            return f"the machine slept for {event.seconds:.0f} s"
        case ConnectionClosed():
            return f"#{event.connection} {_closed(event)}"
        case UpstreamOpened():
            return f"#{event.connection} opened by the gateway to {event.host}:{event.port}"
        case UpstreamReady():
            took = f"{event.seconds * 1000:.1f} ms"
            return f"#{event.connection} speaks {event.protocol} after {took}"
        case UpstreamClosed():
            return (
                f"#{event.connection} of the gateway ended ({event.cause}) after"
                f" {event.seconds:.1f} s; sent {size(event.sent)}, received {size(event.received)}"
            )
        case AskedAgain():
            billed = "; it may be billed twice" if event.may_be_billed else ""
            return (
                f"#{event.connection} {event.method} {event.path} lost ({event.cause}): asked"
                f" again, resend {event.resends}{billed}"
            )
        case RequestLost():
            why = f": {event.why}" if event.why else ""
            return (
                f"#{event.connection} {event.method} {event.path} lost ({event.cause}) and given up"
                f" after {event.resends} resends{why}; the program saw: {event.saw}"
            )
        case Distrusted():
            return f"#{event.connection} {event.how} of the gateway for {event.host}"
        case NameAssigned():
            return f"name {event.name} is {event.address} in this session"
        case AnswerWithheld():
            return f"name {event.name}: {event.type} withheld ({event.why})"
        case NameRefused():
            return f"name {event.name}: {event.type} refused: {event.rule}"
        case LookupFailed():
            return f"name {event.name}: {event.type} not found out: {event.cause}"
        case ServedStale():
            return f"name {event.name}: last known address used again ({event.cause})"
        case ResolverSilent():
            return f"resolver {event.server} gave no answer: {event.cause}"
        case ResolversChanged():
            return f"resolvers are now {', '.join(event.resolvers)}"
        case _:
            assert_never(event)


_HOW = {
    "fin": "closed by {}",
    "reset": "reset by {}",
    "timeout": "lost: {} fell silent",
    "unreachable": "lost: {} became unreachable",
    "session-end": "cut off as the session ended",
}


def _closed(event: ConnectionClosed) -> str:
    cause = f" ({event.cause})" if event.cause else ""
    return (
        f"{_HOW[event.how].format(event.by)}{cause} after {event.seconds:.1f} s, idle"
        f" {event.idle:.1f} s; sent {size(event.sent)}, received {size(event.received)}"
    )


def size(count: float) -> str:
    """Write a count of bytes in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
