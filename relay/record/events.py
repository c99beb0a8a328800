"""One type for each thing that can happen in a session; nothing here reads a clock or a file.

Payload never appears in an event: names, addresses, counts and causes only.
"""

from typing import Literal, TypeAlias

import msgspec

Closer: TypeAlias = Literal["program", "upstream", "keepline"]
Saw: TypeAlias = Literal["reset", "error event", "status 502"]
Distrust: TypeAlias = Literal["refused the certificate", "closed right after the handshake"]
How: TypeAlias = Literal["fin", "reset", "timeout", "unreachable", "session-end"]


def _snake(name: str) -> str:
    """Name the event in JSON as its class is named here: ConnectionOpened, connection_opened."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="event", tag=_snake):
    """What all events share."""

    at: float = 0.0
    """Seconds since the epoch; set when the event is recorded."""

    @property
    def is_loss(self) -> bool:
        """Whether something was lost, hidden or not."""
        return False


class SessionStarted(Event):
    """The namespace stands and the command is about to run."""

    session: str
    version: str
    program: str
    """The command's first word alone: arguments may hold secrets."""
    pid: int
    uid: int
    intercept: Literal["tproxy", "redirect", "ports"]
    dns: Literal["synthetic", "real"]
    gateway: str = ""
    """What the gateway reads, for people; empty if it is off."""


class SessionEnded(Event):
    """The command has ended."""

    status: int
    connections: int
    seconds: float


class LogFull(Event):
    """The file's bound is reached: later events of this session are dropped, its end excepted."""

    limit: int


class ConnectionOpened(Event):
    """The program opened a TCP connection, which the kernel has accepted on our behalf."""

    connection: int
    address: str
    port: int
    name: str | None = None


class ConnectionDenied(Event):
    """Policy forbids the destination; the program saw a reset."""

    connection: int
    rule: str


class Dialled(Event):
    """The upstream connection stands."""

    connection: int
    address: str
    seconds: float
    attempts: int = 1


class DialFailed(Event):
    """No upstream connection could be had; the program saw a reset."""

    connection: int
    cause: str
    seconds: float


class DialHeld(Event):
    """The first round of dials failed; more follow, and the program waits unaware."""

    connection: int
    cause: str

    @property
    def is_loss(self) -> bool:
        """A connect that would have failed."""
        return True


class Replaying(Event):
    """Upstream was lost before its first byte; the program's ClientHello goes to another one."""

    connection: int
    cause: str
    """How it was lost."""

    @property
    def is_loss(self) -> bool:
        """A handshake that would have failed."""
        return True


class Suspected(Event):
    """An upstream connection does not answer; the same destination is dialled to see why."""

    connection: int
    retransmits: int
    probes: int
    """Keepalive probes without an answer."""
    unacked: int
    """Segments."""
    silence: float
    """Seconds since the last ACK."""

    @property
    def is_loss(self) -> bool:
        """An outage, or worse."""
        return True


class Cleared(Event):
    """A suspected connection has answered after all."""

    connection: int


class PathDown(Event):
    """A destination with suspected connections does not answer a new one either: all are held."""

    address: str


class PathUp(Event):
    """It answers again; held connections are made to speak."""

    address: str
    seconds: float
    """For which it was down."""


class Slept(Event):
    """The machine was suspended; idle connections are probed at once."""

    seconds: float


class ConnectionClosed(Event):
    """Both directions of a connection have ended."""

    connection: int
    by: Closer
    how: How
    sent: int
    """Bytes from the program to upstream."""
    received: int
    """Bytes from upstream to the program."""
    seconds: float
    idle: float
    """Seconds since the last byte in either direction."""
    waiting: bool = False
    """Whether the last byte was the program's: it had asked for something."""
    after_fin: bool = False
    """Whether upstream had said its FIN before."""
    cause: str | None = None

    @property
    def is_loss(self) -> bool:
        """Upstream was lost; whatever else ended was ended by somebody.

        A server that has closed answers TLS's close_notify by a reset: that is no loss.
        """
        lost = self.how in ("reset", "timeout", "unreachable")
        return self.by == "upstream" and lost and not self.after_fin


class UpstreamOpened(Event):
    """The gateway needs a connection of its own to a host it speaks HTTP with."""

    connection: int
    host: str
    port: int


class UpstreamReady(Event):
    """It stands, TLS is agreed on."""

    connection: int
    protocol: str
    """h2 or http/1.1."""
    seconds: float
    """Since it was needed, the dial included."""


class UpstreamClosed(Event):
    """It has ended; what was lost with it, if anything, is told by the requests."""

    connection: int
    cause: str
    sent: int = 0
    received: int = 0
    seconds: float = 0.0


class AskedAgain(Event):
    """The gateway lost an answer before the program had any of its content, and asks once more."""

    connection: int
    """The program's."""
    method: str
    path: str
    """Without its query."""
    cause: str
    resends: int
    """How often it has been asked again, this time included."""
    may_be_billed: bool = False
    """Whether upstream may have worked on the lost one too, and count both."""

    @property
    def is_loss(self) -> bool:
        """An answer that would have failed."""
        return True


class RequestLost(Event):
    """The gateway gave a request up."""

    connection: int
    """The program's."""
    method: str
    path: str
    """Without its query."""
    cause: str
    resends: int
    saw: Saw
    """What the program saw of it."""
    why: str = ""
    """Why it was not asked again; empty if the cause says that another try would not help."""

    @property
    def is_loss(self) -> bool:
        """It is one."""
        return True


class Distrusted(Event):
    """A program did not take the session's certificate: it does not know the session's CA."""

    connection: int
    host: str
    how: Distrust

    @property
    def is_loss(self) -> bool:
        """A connection that would have worked; to close early may have other reasons."""
        return self.how == "refused the certificate"


class NameAssigned(Event):
    """A name got its synthetic address for the rest of the session."""

    name: str
    address: str


class AnswerWithheld(Event):
    """A DNS answer, or a part of it, was kept from the program; recorded once a name and type."""

    name: str
    type: str
    why: str


class NameRefused(Event):
    """Policy forbids the name; no query left."""

    name: str
    type: str
    rule: str


class LookupFailed(Event):
    """No resolver gave a usable answer."""

    name: str
    type: str
    cause: str

    @property
    def is_loss(self) -> bool:
        """A name that the program asked for in vain."""
        return True


class ServedStale(Event):
    """No resolver answered, so the last known answer was used once more, RFC 8767."""

    name: str
    cause: str

    @property
    def is_loss(self) -> bool:
        """A lookup that would have failed."""
        return True


class ResolverSilent(Event):
    """A resolver gave no usable answer in time; the next one was asked."""

    server: str
    cause: str


class ResolversChanged(Event):
    """The host's resolv.conf names other resolvers now."""

    resolvers: list[str]


AnyEvent: TypeAlias = (
    SessionStarted
    | SessionEnded
    | LogFull
    | ConnectionOpened
    | ConnectionDenied
    | Dialled
    | DialFailed
    | DialHeld
    | Replaying
    | Suspected
    | Cleared
    | PathDown
    | PathUp
    | Slept
    | ConnectionClosed
    | UpstreamOpened
    | UpstreamReady
    | UpstreamClosed
    | AskedAgain
    | RequestLost
    | Distrusted
    | NameAssigned
    | AnswerWithheld
    | NameRefused
    | LookupFailed
    | ServedStale
    | ResolverSilent
    | ResolversChanged
)
