"""One type for each thing that can happen in a session; nothing here reads a clock or a file."""
# Three tables of the same names, several to a line:
# fmt: off
# ruff: isort: off

from typing import TypeAlias

from relay.record.events.base import FORMAT, CausedEvent, CountedEvent, Event, LossEvent, size
from relay.record.events.connections import (
    Cleared, Closer, ConnectionClosed, ConnectionOpened, DialFailed, DialHeld, Dialled, Excuse,
    How, PathDown, PathUp, Replaying, Suspected,
)
from relay.record.events.denials import (
    AddressDenied, ConnectionDenied, InnerDiffers, InnerSeen, Told,
)
from relay.record.events.gateway import (
    AskedAgain, ConnectionServed, Distrust, Distrusted, GatewayUnused, RequestLost, Saw,
    UpstreamClosed, UpstreamOpened, UpstreamReady, WentPast,
)
from relay.record.events.host_ports import HostPortClosed, HostPortOpened, LoopbackRefused
from relay.record.events.names import (
    AnswerWithheld, FurtherNames, LookupFailed, LookupHeld, NameAssigned, NameForwarded,
    NameRefused, NamesBounded, ResolversChanged, ResolverSilent, ServedStale,
)
from relay.record.events.pod import LogContinued, RulesLacking, RulesStand
from relay.record.events.publishing import (
    Bound, Published, PublishEnded, PublishingBounded, PublishingFailed,
)
from relay.record.events.session import (
    PASSABLE, ConnectLeft, Fault, LeftBehind, LogChanged, LogFull, LogLost, PolicyChangeIgnored,
    PolicyTightened, ProxyRefused, ServiceDown, SessionEnded, SessionStarted, Shown, SideDoor,
    Slept, TurnedAway,
)

AnyEvent: TypeAlias = (
    SessionStarted | SessionEnded | LeftBehind | LogFull | LogLost | LogChanged | Slept | Fault
    | ServiceDown | TurnedAway | ProxyRefused | PolicyTightened | PolicyChangeIgnored
    | ConnectionOpened | ConnectionDenied | AddressDenied | Dialled | DialFailed | DialHeld
    | Replaying | InnerDiffers | InnerSeen | Suspected | Cleared | PathDown | PathUp
    | ConnectionClosed | LoopbackRefused | ConnectLeft | HostPortOpened
    | HostPortClosed | SideDoor
    | Published | PublishEnded | PublishingBounded | PublishingFailed
    | RulesLacking | RulesStand | LogContinued
    | ConnectionServed | UpstreamOpened | UpstreamReady | UpstreamClosed | AskedAgain | RequestLost
    | Distrusted | WentPast | GatewayUnused
    | NameAssigned | NameForwarded | FurtherNames | NamesBounded | AnswerWithheld | NameRefused
    | LookupFailed | LookupHeld | ServedStale | ResolverSilent | ResolversChanged
)

__all__ = [
    "FORMAT", "PASSABLE", "AddressDenied", "AnswerWithheld", "AnyEvent", "AskedAgain", "Bound",
    "CausedEvent", "Cleared", "Closer", "ConnectLeft", "ConnectionClosed", "ConnectionDenied",
    "ConnectionOpened", "ConnectionServed", "CountedEvent", "DialFailed", "DialHeld", "Dialled",
    "Distrust", "Distrusted", "Event", "Excuse", "Fault", "FurtherNames", "GatewayUnused",
    "HostPortClosed", "HostPortOpened", "How", "InnerDiffers", "InnerSeen", "LeftBehind",
    "LogChanged", "LogContinued", "LogFull", "LogLost", "LookupFailed", "LookupHeld",
    "LoopbackRefused", "LossEvent", "NameAssigned", "NameForwarded", "NameRefused", "NamesBounded",
    "PathDown", "PathUp", "PolicyChangeIgnored", "PolicyTightened", "ProxyRefused", "PublishEnded",
    "Published", "PublishingBounded", "PublishingFailed", "Replaying", "RequestLost",
    "ResolverSilent", "ResolversChanged", "RulesLacking", "RulesStand", "Saw", "ServedStale",
    "ServiceDown", "SessionEnded", "SessionStarted", "Shown", "SideDoor", "Slept", "Suspected",
    "Told", "TurnedAway", "UpstreamClosed", "UpstreamOpened", "UpstreamReady", "WentPast", "size",
]
