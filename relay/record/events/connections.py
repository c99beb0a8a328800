"""The events of a program's connection, and of the paths that connections take."""

from typing import Final, Literal, TypeAlias

from relay.record.events.base import CausedEvent, CountedEvent, Event, LossEvent, size
from relay.record.events.denials import Told
from relay.record.kinds import UNAWAITED, Kind

Closer: TypeAlias = Literal["program", "upstream", "keepline"]
How: TypeAlias = Literal["fin", "reset", "timeout", "unreachable", "session-end"]


class ConnectionOpened(Event):
    """The program opens a TCP connection: its connect() is pending, or accepted by the kernel."""

    connection: int
    address: str
    port: int
    name: str | None = None

    @property
    def to(self) -> str:
        """HOST:PORT, by the name that the program looked up, if any."""
        return f"{self.name or self.address}:{self.port}"

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} opened to {self.to}"


class Dialled(Event):
    """The upstream connection is established."""

    connection: int
    address: str
    seconds: float
    attempts: int = 1
    proxy: str = ""
    """HOST:PORT of the proxy through which the destination was reached, at whose address the
    connection ends; empty if it was dialled directly."""

    def text(self) -> str:
        """Return it as a line for people."""
        attempts = f", attempt {self.attempts}" if self.attempts > 1 else ""
        took = f"{self.seconds * 1000:.1f} ms"
        reached = f"through the proxy {self.proxy}" if self.proxy else self.address
        return f"#{self.connection} reached {reached} in {took}{attempts}"


class DialFailed(CountedEvent):
    """No upstream connection could be established."""

    connection: int
    cause: str
    seconds: float
    told: Told = "a reset"

    @property
    def is_loss(self) -> bool:
        """An outage that was longer than patience, or a lack of keepline's own."""
        if self.kind in UNAWAITED:
            return False
        return self.told == "no answer" or self.kind in (Kind.TIMEOUT, Kind.RESOURCES)

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"#{self.connection} not reached in {self.seconds:.1f} s: {self.cause};"
            f" the program saw {self.told}{self.times()}"
        )


class DialHeld(LossEvent):
    """The first round of dials failed; more follow, and the program waits unaware."""

    connection: int
    cause: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} held while it is dialled again: {self.cause}"


class Replaying(LossEvent):
    """Upstream was lost before its first byte; the program's ClientHello goes to another one."""

    connection: int
    cause: str
    """How it was lost."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} upstream lost before its first byte: {self.cause}; again"


class Suspected(LossEvent):
    """An upstream connection does not answer; the same destination is dialled to see why."""

    connection: int
    retransmits: int
    probes: int
    """Keepalive probes without an answer."""
    unacked: int
    """Segments."""
    silence: float
    """Seconds since the last ACK."""

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"#{self.connection} upstream silent for {self.silence:.1f} s:"
            f" {self.retransmits} retransmissions, {self.probes} probes unanswered,"
            f" {self.unacked} segments outstanding"
        )


class Cleared(Event):
    """A suspected connection has answered after all."""

    connection: int

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} upstream has answered after all"


class PathDown(Event):
    """A destination with suspected connections does not answer a new one either: all are held."""

    address: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"no answer from {self.address}: its connections are held"


class PathUp(Event):
    """The destination answers again; its held connections are probed at once."""

    address: str
    seconds: float
    """For which it was down."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"{self.address} answers again after {self.seconds:.1f} s"


Excuse: TypeAlias = Literal["", "the program had gone", "the answer had come early"]
"""Why a reset by upstream was no loss: the program missed nothing; empty if it was one."""

ENDS: Final[dict[How, str]] = {
    "fin": "closed by {}",
    "reset": "reset by {}",
    "timeout": "lost: {} fell silent",
    "unreachable": "lost: {} became unreachable",
    "session-end": "cut off as the session ended",
}


class ConnectionClosed(CausedEvent):
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
    """Whether upstream's FIN had come before."""
    cause: str | None = None
    excuse: Excuse = ""

    @property
    def is_loss(self) -> bool:
        """Upstream was lost, and the program has missed something; what else ended, somebody ended.

        A server that has closed answers TLS's close_notify by a reset: that is no loss.
        """
        lost = self.how in ("reset", "timeout", "unreachable")
        return self.by == "upstream" and lost and not (self.after_fin or self.excuse)

    def text(self) -> str:
        """Return it as a line for people."""
        end = ENDS[self.how].format(self.by)
        cause = f" ({self.cause})" if self.cause else ""
        cause += f"; {self.excuse}," if self.excuse else ""
        return (
            f"#{self.connection} {end}{cause} after {self.seconds:.1f} s, idle"
            f" {self.idle:.1f} s; sent {size(self.sent)}, received {size(self.received)}"
        )
