"""What was lost, hidden or seen: events joined to losses, each told once. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, assert_never

from relay.record import events
from relay.record.events import AnyEvent, size
from relay.record.kinds import UNAWAITED, Kind
from relay.record.story.entry import Entry, Mark, evidence_of
from relay.record.story.failures import ended, failure

_HIDING: Final = (
    events.AskedAgain,
    events.Cleared,
    events.Dialled,
    events.LookupHeld,
    events.ServedStale,
    events.UpstreamClosed,
)
"""Events that settle a loss of which the program saw nothing."""

_LOSSES: Final = frozenset({Mark.HIDDEN, Mark.VISIBLE})


def losses(log: Iterable[AnyEvent]) -> Iterator[Entry]:
    """Yield every loss, in the order in which they were settled."""
    return (entry for entry in entries(log) if entry.mark in _LOSSES)


def entries(log: Iterable[AnyEvent]) -> Iterator[Entry]:
    """Yield every loss and every failure, in the order in which they were settled."""
    story = Story()
    for event in log:
        yield from story.note(event)


class Story:
    """What the events so far have come to."""

    def __init__(self) -> None:
        self._destinations: dict[int, str] = {}
        self._troubles: dict[int, list[AnyEvent]] = {}
        """By connection, the events of the trouble that it is in; none while all is well."""

    def forget(self, number: int) -> None:
        """Forget a connection that has ended."""
        self._destinations.pop(number, None)
        self._troubles.pop(number, None)

    def note(self, event: AnyEvent) -> Iterator[Entry]:
        """Take the next event; yield the losses and failures that it settles."""
        number = getattr(event, "connection", None) or 0
        to, troubles = self._destinations.get(number, "?"), self._troubles
        match event:
            case events.ConnectionOpened() | events.UpstreamOpened():
                self._destinations[number], troubles[number] = event.to, []
            case events.ServedStale(name=name, cause=cause):
                yield _loss(event, name, f"DNS failed ({cause}); the last known address served")
            case events.LookupHeld(name=name, cause=cause):
                held = f"not resolved for {event.seconds:.1f} s ({cause}), then answered"
                yield _loss(event, name, held)
            case events.AskedAgain() | events.RequestLost() | events.Distrusted():
                yield _loss(event, to, _of_gateway(event))
            case (
                events.Fault()
                | events.ServiceDown()
                | events.TurnedAway()
                | events.LogLost()
                | events.LogChanged()
                | events.RulesLacking()
            ):
                yield _own_loss(event, f"{to}: " if number in self._destinations else "")
            case events.DialHeld() | events.Replaying() | events.Suspected() if number in troubles:
                troubles[number].append(event)
            case _ if number in troubles and (what := _of_connection(event, troubles[number])):
                yield _loss(event, to, what, troubles[number])
                troubles[number] = []
            case _ if (failed := failure(event, to)) is not None:
                yield failed


def _loss(event: AnyEvent, about: str, what: str, trouble: Sequence[AnyEvent] = ()) -> Entry:
    """Return the loss that this event settles, after those of the connection's trouble."""
    mark = Mark.HIDDEN if isinstance(event, _HIDING) else Mark.VISIBLE
    kind = getattr(event, "kind", Kind.UNKNOWN)
    if isinstance(event, events.DialFailed) and kind in UNAWAITED:
        mark = Mark.GAVE_UP
    return Entry(
        event.at,
        mark,
        f"{about}: {what}",
        kind,
        evidence_of(event, trouble),
        host=about.partition(":")[0],
        is_told=mark is Mark.GAVE_UP,
    )


def _own_loss(
    event: events.Fault
    | events.ServiceDown
    | events.TurnedAway
    | events.LogLost
    | events.LogChanged
    | events.RulesLacking,
    to: str,
) -> Entry:
    """Return what keepline itself was the cause of: a fault, or a limit that it has met."""
    evidence = [event.text()]
    match event:
        case events.Fault():
            saw = f"the program saw {event.saw}" if event.saw else "the program saw nothing of it"
            what = f"{to}fault in {event.where} ({event.cause}); {saw}"
            evidence += event.traceback.splitlines()
            hidden = not event.saw
        case events.TurnedAway():
            what, hidden = f"{event.where} turned a connection away ({event.cause})", False
        case events.ServiceDown() | events.LogLost() | events.LogChanged() | events.RulesLacking():
            what, hidden = event.text(), isinstance(event, events.LogLost)
        case _:
            assert_never(event)
    mark = Mark.HIDDEN if hidden else Mark.VISIBLE
    entry = Entry(event.at, mark, what, event.kind, tuple(evidence))
    if isinstance(event, events.TurnedAway):
        return replace(entry, count=event.count, same=what)
    return entry


def _of_gateway(event: events.AskedAgain | events.RequestLost | events.Distrusted) -> str:
    """Return how an answer was lost, or a program's trust."""
    if isinstance(event, events.Distrusted):
        return (
            f"a program {_DISTRUST[event.how]}: it does not know the certificate"
            f" authority that this session has for {event.host}. It takes it from"
            f" NODE_EXTRA_CA_CERTS; {_NEXT[event.goes_past]}"
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

_NEXT: Final = {
    True: "the next connections of such programs go past the gateway",
    False: "for other programs use --gateway=http, or off",
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
        case events.DialFailed() if trouble:
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


def _not_reached(event: events.DialFailed, trouble: Sequence[AnyEvent]) -> str:
    """Return how a dial that was held came to nothing."""
    cause = getattr(trouble[0], "cause", event.cause)
    if event.kind in UNAWAITED:
        return f"not reachable for {event.seconds:.1f} s ({cause}); then {ended(event.kind)}"
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
