"""The events of the gateway: its connections to API hosts, and the requests that it answers."""

from typing import Literal, TypeAlias

from relay.record.events.base import CausedEvent, Event, LossEvent, size

Saw: TypeAlias = Literal["reset", "error event", "status 502"]
Distrust: TypeAlias = Literal["refused the certificate", "closed right after the handshake"]


class UpstreamOpened(Event):
    """The gateway needs a connection of its own to a host it speaks HTTP with."""

    connection: int
    host: str
    port: int

    @property
    def to(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self.port}"

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} opened by the gateway to {self.to}"


class ConnectionServed(Event):
    """A program's connection is accepted by the gateway, which answers its requests."""

    connection: int

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} served by the gateway"


class GatewayUnused(Event):
    """A program dials an API's host by name, and the gateway does not read that connection.

    Recorded of the first connection to each host.
    """

    host: str
    why: str
    by_choice: bool = False
    """Whether the gateway is off because the caller wants it so."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"{self.host} is asked without the gateway: {self.why}"


class UpstreamReady(Event):
    """The gateway's connection is established, TLS included."""

    connection: int
    protocol: str
    """h2 or http/1.1."""
    seconds: float
    """Since it was needed, the dial included."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} speaks {self.protocol} after {self.seconds * 1000:.1f} ms"


class UpstreamClosed(CausedEvent):
    """The gateway's connection has ended; what was lost with it is in the requests' events."""

    connection: int
    cause: str
    sent: int = 0
    received: int = 0
    seconds: float = 0.0

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"#{self.connection} of the gateway ended ({self.cause}) after"
            f" {self.seconds:.1f} s; sent {size(self.sent)}, received {size(self.received)}"
        )


class AnswerLost(LossEvent):
    """What the events of a lost answer share."""

    connection: int
    """The program's."""
    method: str
    path: str
    """Without its query."""
    cause: str
    resends: int
    """How often the request has been sent again; for AskedAgain, this time included."""


class AskedAgain(AnswerLost):
    """The gateway lost an answer before the program had any of its content, and asks once more."""

    may_be_billed: bool = False
    """Whether upstream may have worked on the lost one too, and count both."""

    def text(self) -> str:
        """Return it as a line for people."""
        billed = "; it may be billed twice" if self.may_be_billed else ""
        return (
            f"#{self.connection} {self.method} {self.path} lost ({self.cause}): asked"
            f" again, resend {self.resends}{billed}"
        )


class RequestLost(AnswerLost):
    """The gateway gave a request up."""

    saw: Saw
    """What the program saw of it."""
    why: str = ""
    """Why it was not asked again; empty if the cause says that another try would not help."""

    def text(self) -> str:
        """Return it as a line for people."""
        why = f": {self.why}" if self.why else ""
        return (
            f"#{self.connection} {self.method} {self.path} lost ({self.cause}) and given up"
            f" after {self.resends} resends{why}; the program saw: {self.saw}"
        )


class Distrusted(CausedEvent):
    """A program did not take the session's certificate: it does not know the session's CA."""

    connection: int
    host: str
    how: Distrust
    goes_past: bool = False
    """Whether its next connections go past the gateway."""

    @property
    def is_loss(self) -> bool:
        """A connection that would have worked; to close early may have other reasons."""
        return self.how == "refused the certificate"

    def text(self) -> str:
        """Return it as a line for people."""
        past = "; its next connections go past it" if self.goes_past else ""
        return f"#{self.connection} {self.how} of the gateway for {self.host}{past}"


class WentPast(Event):
    """A connection goes past the gateway, as its program has refused the certificate before."""

    connection: int
    host: str

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"#{self.connection} goes past the gateway for {self.host}, which its program refused"
        )
