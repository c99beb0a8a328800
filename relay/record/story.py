"""The flight log as a story: each loss in a line, hidden or seen, and what to do if it was seen."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from relay.record import events
from relay.record.events import AnyEvent, size
from relay.record.kinds import UNAWAITED, Kind


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


_HIDING: Final = (
    events.AskedAgain,
    events.Cleared,
    events.Dialled,
    events.ServedStale,
    events.UpstreamClosed,
)
"""Events that settle a loss of which the program saw nothing."""

ADVICE: Final = (
    "If the program gave up: repeat what it did; an agent's command line can resume its session."
)
REPORT: Final = "A fault is a defect of keepline: please report it with keepline explain -v."


def losses(log: Iterable[AnyEvent]) -> Iterator[Loss]:
    """Yield every loss, in the order in which they were settled."""
    destinations: dict[int, str] = {}
    troubles: dict[int, list[AnyEvent]] = {}
    """By connection, the events of the trouble that it is in; none while all is well."""
    for event in log:
        number = getattr(event, "connection", 0)
        match event:
            case events.ConnectionOpened() | events.UpstreamOpened():
                destinations[number], troubles[number] = event.to, []
            case events.ServedStale(name=name, cause=cause):
                yield _loss(event, f"{name}: DNS failed ({cause}); the last known address served")
            case events.LookupFailed(name=name, cause=cause, verdict=False):
                yield _loss(event, f"{name}: not resolved ({cause}); the program got an error")
            case events.AskedAgain() | events.RequestLost() | events.Distrusted():
                yield _loss(event, f"{destinations.get(number, '?')}: {_of_gateway(event)}")
            case events.Fault() | events.ServiceDown() | events.TurnedAway() | events.LogLost():
                to = f"{destinations[number]}: " if number in destinations else ""
                yield _own_loss(event, to)
            case _ if number not in troubles:
                pass
            case events.DialHeld() | events.Replaying() | events.Suspected():
                troubles[number].append(event)
            case _ if what := _of_connection(event, troubles[number]):
                yield _loss(event, f"{destinations[number]}: {what}", troubles[number])
                troubles[number] = []


def _loss(event: AnyEvent, what: str, trouble: Sequence[AnyEvent] = ()) -> Loss:
    """Return the loss that this event settles, after those of the connection's trouble."""
    evidence = tuple(each.text() for each in (*trouble, event))
    return Loss(event.at, isinstance(event, _HIDING), what, evidence)


def _own_loss(
    event: events.Fault | events.ServiceDown | events.TurnedAway | events.LogLost, to: str
) -> Loss:
    """Return what keepline itself was the cause of: a fault, or a limit that it has met."""
    evidence = [event.text()]
    match event:
        case events.Fault():
            saw = f"the program saw {event.saw}" if event.saw else "the program saw nothing of it"
            what = f"{to}fault in {event.where} ({event.cause}); {saw}"
            evidence += event.traceback.splitlines()
            hidden = not event.saw
        case events.TurnedAway():
            times = "a connection" if event.count == 1 else f"{event.count} connections so far"
            what = f"{event.where} reset {times} ({event.cause}); try: ulimit -Hn, and raise it"
            hidden = False
        case events.ServiceDown() | events.LogLost():
            what, hidden = event.text(), isinstance(event, events.LogLost)
        case _:
            assert_never(event)
    return Loss(event.at, hidden, what, tuple(evidence))


def _of_gateway(event: events.AskedAgain | events.RequestLost | events.Distrusted) -> str:
    """Return how an answer was lost, or a program's trust."""
    if isinstance(event, events.Distrusted):
        return (
            f"a program {_DISTRUST[event.how]}: it does not know the certificate"
            f" authority that this session has for {event.host}. It takes it from"
            " NODE_EXTRA_CA_CERTS; for other programs use --gateway=http, or off"
        )
    lost = f"the answer to {event.method} {event.path} was lost ({event.cause})"
    if isinstance(event, events.RequestLost):
        why = f"; not asked again: {event.why}" if event.why else ""
        return f"{lost}{why}; the program saw {_SAW[event.saw]}"
    billed = "; upstream may bill both" if event.may_be_billed else ""
    return f"{lost} before the program had any of it; asked again, resend {event.resends}{billed}"


_SAW: Final[dict[events.Saw, str]] = {
    "reset": "a reset",
    "error event": "an error event",
    "status 502": "status 502 with the cause in it",
}

_DISTRUST: Final[dict[events.Distrust, str]] = {
    "refused the certificate": "refused the gateway's certificate",
    "closed right after the handshake": (
        "closed right after the TLS handshake with the gateway, probably"
    ),
}


def _of_connection(event: AnyEvent, trouble: Sequence[AnyEvent]) -> str | None:
    """Return how a connection's trouble ended with this event; None if it did not, or had none."""
    match event:
        case events.Dialled() if trouble:
            return _reached(event, trouble)
        case events.Cleared():
            silent = event.at - trouble[0].at if trouble else 0.0
            return f"silent for {silent:.1f} s in an outage, then went on"
        case events.UpstreamClosed() if any(not isinstance(e, events.DialHeld) for e in trouble):
            return f"fell silent ({event.cause}); the gateway goes on with another connection"
        case events.DialFailed() if trouble or _has_outlasted(event):
            return _not_reached(event, trouble)
        case events.ConnectionClosed() if event.is_loss:
            return _lost(event)
        case _:
            return None


def _reached(event: events.Dialled, trouble: Sequence[AnyEvent]) -> str:
    """Return how a dial or a handshake went well in the end."""
    causes = [e.cause for e in trouble if isinstance(e, events.DialHeld | events.Replaying)]
    if any(isinstance(earlier, events.Replaying) for earlier in trouble):
        return (
            f"lost before the first byte of an answer ({causes[0]}); the TLS ClientHello went to"
            f" {event.address} instead"
        )
    return (
        f"not reachable for {event.seconds:.1f} s ({causes[0]}); the program waited while it was"
        f" dialled {event.attempts} times"
    )


def _has_outlasted(event: events.DialFailed) -> bool:
    """Return whether an outage was longer than patience, though the gateway had the dial."""
    return event.told == "no answer" and event.kind not in UNAWAITED


def _not_reached(event: events.DialFailed, trouble: Sequence[AnyEvent]) -> str:
    """Return how a dial that was held came to nothing."""
    if event.kind is Kind.PROGRAM_GONE and trouble and isinstance(trouble[0], events.DialHeld):
        return (
            f"not reachable for {event.seconds:.1f} s ({trouble[0].cause}); then the program's own"
            " time-out ended its connect()"
        )
    return f"not reachable for {event.seconds:.1f} s ({event.cause}); the program saw {event.told}"


_IN_AN_ANSWER: Final = 3.0
"""Seconds since upstream's last byte within which the answer may not have been complete."""

_HOW: Final = {
    "reset": "reset by the other side",
    "timeout": "fell silent",
    "unreachable": "cut off from this host",
}


def _lost(event: events.ConnectionClosed) -> str:
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
    while_ = "while it waited for an answer" if event.waiting else "before any data was sent"
    return (
        f"{lost} {while_}, {event.idle:.0f} s after the last byte ({size(event.sent)} sent,"
        f" {size(event.received)} received before); the program saw a reset"
    )


def lines(log: Iterable[AnyEvent], *, verbose: bool = False) -> Iterator[str]:
    """Yield the whole story line by line; `verbose` adds each loss's evidence."""
    known = list(log)
    if not known:
        yield "Nothing was recorded."
        return
    start = known[0].at
    yield known[0].text()
    for event in known:
        if isinstance(event, events.Slept | events.LeftBehind):
            yield f"{event.at - start:9.1f} s           {event.text()}"
    found = list(losses(known))
    for loss in found:
        mark = "hidden " if loss.hidden else "VISIBLE"
        yield f"{loss.at - start:9.1f} s  {mark}  {loss.what}"
        if verbose:
            yield from (f"{'':21}  {line}" for line in loss.evidence)
    yield summary(found) or "Nothing was lost."
    if any(not loss.hidden for loss in found):
        yield ADVICE
    if any(isinstance(event, events.Fault) and event.kind is Kind.DEFECT for event in known):
        yield REPORT


def summary(found: Iterable[Loss]) -> str:
    """Return how many losses there are; empty if there are none."""
    hidden = [loss.hidden for loss in found]
    if not hidden:
        return ""
    plural = "es" if len(hidden) > 1 else ""
    return f"{len(hidden)} loss{plural}: {sum(hidden)} hidden, {hidden.count(False)} visible."
