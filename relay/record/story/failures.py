"""What a program asked for and did not get, though nothing was lost. Pure.

It was denied by a rule, given up by whoever waited, or failed as it would have without keepline.
What is in trouble before it fails is a loss, losses.py.
"""

from dataclasses import replace
from typing import Final

from relay.record import events
from relay.record.events import AnyEvent
from relay.record.kinds import UNAWAITED, Kind
from relay.record.story.entry import Entry, Mark, evidence_of

SHORT: Final = 1.0
"""Seconds. A dial that was given up sooner is ordinary: of the addresses of a name, many programs
dial several, and keep the one that answers first."""


_PAST: Final = (
    "a program that had refused the gateway's certificate went past it: as without the gateway, its"
    " losses are not hidden"
)

_OF_RESOLVERS: Final = frozenset(
    {Kind.REFUSED, Kind.TIMEOUT, Kind.UNREACHABLE, Kind.NOT_PERMITTED, Kind.MALFORMED, Kind.OTHER}
)
"""Kinds of how a resolver failed, about which the same is to be done: others may be named."""


def failure(event: AnyEvent, to: str) -> Entry | None:
    """Return what failed with an event, of a connection to `to`; None if nothing is to tell."""
    found = None
    match event:
        case events.NameRefused():
            found = _entry(
                event, Mark.DENIED, event.name, _denied(event.rule) + event.detail, event.name
            )
        case events.FurtherNames(zone=zone, what="refused"):
            further = _entry(event, Mark.DENIED, f"further names of {zone}", "denied", zone)
            found = replace(further, kind=Kind.POLICY)  # only their record is bounded
        case events.ConnectionDenied(kind=Kind.UNDIALABLE):
            found = _entry(event, Mark.FAILED, to, event.rule, _host(to))
        case events.ConnectionDenied():
            found = _entry(event, Mark.DENIED, to, _denied(event.rule) + event.detail, _host(to))
        case events.NamesBounded(zone=zone, cause=cause):
            what = f"names not asked for ({cause}); the program saw an error"
            found = _entry(event, Mark.VISIBLE, zone, what, "")
        case events.LookupFailed():
            found = _lookup(event)
        case events.LoopbackRefused():
            found = _loopback(event)
        case events.ConnectLeft():
            what = "connects were to wait until others had ended: too many were pending"
            found = _entry(event, Mark.LIMIT, event.to, what, event.address)
        case events.DialFailed():
            found = _dial(event, to)
        case _:
            found = _note(event)
    return found


def _note(event: AnyEvent) -> Entry | None:
    """Return what is worth knowing of an event that is no failure."""
    found = None
    match event:
        case events.GatewayUnused():
            what = f"its answers are not read by the gateway: {event.why}"
            host = "" if event.by_choice else event.host
            found = _entry(event, Mark.NOTE, event.host, what, host)
        case events.PolicyChangeIgnored():
            found = _entry(event, Mark.NOTE, "settings", f"a change is ignored: {event.cause}", "")
        case events.WentPast():
            found = _entry(event, Mark.NOTE, event.host, _PAST, "")
        case _:
            pass
    return found


def _entry(event: AnyEvent, mark: Mark, about: str, what: str, host: str) -> Entry:
    same: object = (mark, about, what)
    if getattr(event, "together", False):
        about, same = f"{about} and others", (mark, type(event), getattr(event, "kind", None))
    return Entry(
        event.at,
        mark,
        f"{about}: {what}",
        getattr(event, "kind", Kind.UNKNOWN),
        evidence_of(event),
        getattr(event, "count", 1),
        host=host,
        same=same,
        part=getattr(event, "type", None),
        is_told=mark in (Mark.DENIED, Mark.GAVE_UP, Mark.LIMIT),
    )


def _host(to: str) -> str:
    return to.rpartition(":")[0]


def _denied(rule: str) -> str:
    """Return why a rule denies it, or the lack of one: rules hold no spaces, reasons do."""
    return f"denied: {rule}" if " " in rule else f"denied by the rule deny {rule}"


def _lookup(event: events.LookupFailed) -> Entry:
    mark, what = Mark.VISIBLE, f"not resolved ({event.cause}); the program got an error"
    if event.kind in UNAWAITED:
        mark = Mark.GAVE_UP
        what = f"not resolved for {event.seconds:.1f} s ({event.cause}); then the command ended"
    elif event.verdict:
        mark, what = Mark.FAILED, f"not resolved ({event.cause}), as without keepline"
    entry = _entry(event, mark, event.name, what, event.name)
    return replace(entry, kind=Kind.NAME_FAILURE) if event.kind in _OF_RESOLVERS else entry


def _loopback(event: events.LoopbackRefused) -> Entry:
    what = "refused: nobody listens there inside the session"
    if event.name:
        what = "refused: no --host-port opens that port of the host"
    mark = Mark.LIMIT if event.on_host else Mark.FAILED
    if event.on_host:
        what += f"; --host-port {event.port} leads to the host's own server there"
    entry = _entry(event, mark, event.to, what, event.address)
    # Who dials localhost is refused by both families: that is told once.
    return entry if event.together else replace(entry, same=(mark, event.port, what))


def _dial(event: events.DialFailed, to: str) -> Entry | None:
    """Return how a dial failed that was in no trouble before."""
    if event.kind in UNAWAITED:
        if event.seconds < SHORT:
            return None
        what = f"no answer for {event.seconds:.1f} s; then {ended(event.kind)}"
        entry = _entry(event, Mark.GAVE_UP, to, what, _host(to))
        return replace(entry, same=(Mark.GAVE_UP, to, event.kind))
    if event.is_loss:
        what = f"not reachable for {event.seconds:.1f} s ({event.cause}); the program saw"
        entry = _entry(event, Mark.VISIBLE, to, f"{what} {event.told}", _host(to))
        return replace(entry, same=(Mark.VISIBLE, to, event.cause))
    return _entry(event, Mark.FAILED, to, f"{event.cause}; the program saw {event.told}", _host(to))


def ended(kind: Kind) -> str:
    """Return who ended a dial for which nobody waited any more."""
    if kind is Kind.PROGRAM_GONE:
        return "the program's own time-out ended its connect()"
    return "the command ended"
