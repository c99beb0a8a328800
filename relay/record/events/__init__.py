"""One type for each thing that can happen in a session; nothing here reads a clock or a file."""
# Three tables of the same names, several to a line:
# fmt: off
# ruff: isort: off

from typing import TypeAlias

from relay.record.events.base import FORMAT, CausedEvent, CountedEvent, Event, LossEvent, size
from relay.record.events.connections import (
    Cleared, Closer, ConnectionClosed, ConnectionDenied, ConnectionOpened, DialFailed, DialHeld,
    Dialled, Excuse, How, LoopbackRefused, PathDown, PathUp, Replaying, Suspected, Told,
)
from relay.record.events.gateway import (
    AskedAgain, ConnectionServed, Distrust, Distrusted, GatewayUnused, RequestLost, Saw,
    UpstreamClosed, UpstreamOpened, UpstreamReady, WentPast,
)
from relay.record.events.names import (
    AnswerWithheld, LookupFailed, LookupHeld, NameAssigned, NameRefused, ResolversChanged,
    ResolverSilent, ServedStale,
)
from relay.record.events.session import (
    Fault, LeftBehind, LogChanged, LogFull, LogLost, ServiceDown, SessionEnded, SessionStarted,
    Shown, Slept, TurnedAway,
)

AnyEvent: TypeAlias = (
    SessionStarted | SessionEnded | LeftBehind | LogFull | LogLost | LogChanged | Slept | Fault
    | ServiceDown | TurnedAway
    | ConnectionOpened | ConnectionDenied | Dialled | DialFailed | DialHeld | Replaying
    | Suspected | Cleared | PathDown | PathUp | ConnectionClosed | LoopbackRefused
    | ConnectionServed | UpstreamOpened | UpstreamReady | UpstreamClosed | AskedAgain | RequestLost
    | Distrusted | WentPast | GatewayUnused
    | NameAssigned | AnswerWithheld | NameRefused | LookupFailed | LookupHeld | ServedStale
    | ResolverSilent | ResolversChanged
)

__all__ = [
    "FORMAT", "AnswerWithheld", "AnyEvent", "AskedAgain", "CausedEvent", "Cleared", "Closer",
    "ConnectionClosed", "ConnectionDenied", "ConnectionOpened", "ConnectionServed", "CountedEvent",
    "DialFailed", "DialHeld", "Dialled", "Distrust", "Distrusted", "Event", "Excuse", "Fault",
    "GatewayUnused", "How", "LeftBehind", "LogChanged", "LogFull", "LogLost", "LookupFailed",
    "LookupHeld", "LoopbackRefused", "LossEvent", "NameAssigned", "NameRefused", "PathDown",
    "PathUp", "Replaying", "RequestLost", "ResolverSilent", "ResolversChanged", "Saw",
    "ServedStale", "ServiceDown", "SessionEnded", "SessionStarted", "Shown", "Slept", "Suspected",
    "Told", "TurnedAway", "UpstreamClosed", "UpstreamOpened", "UpstreamReady", "WentPast", "size",
]
