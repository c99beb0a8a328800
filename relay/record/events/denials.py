"""The events of what policy forbids: a destination, one of its addresses, a name within."""

from typing import Literal, TypeAlias

from relay.record.events.base import CountedEvent, Event

Told: TypeAlias = Literal["a reset", "a refusal", "unreachable", "no answer"]
"""What ended a program's connect(): with no answer, its own time-out. A reset is all that it can be
sent where the kernel has accepted before the dial."""


def detail(about: str, reason: str) -> str:
    """Return what a denial is about and why its rule is there, as the end of a phrase."""
    told = "; ".join(filter(None, (about, reason)))
    return f" ({told})" if told else ""


class ConnectionDenied(CountedEvent):
    """Policy forbids the destination, or what was seen on the way to it."""

    connection: int
    rule: str
    told: Told = "a reset"
    address: str = ""
    """The address that is forbidden, where the program has asked for a name that may be reached;
    of several the first."""
    inner: str = ""
    """The name in the TLS ClientHello or in the HTTP request that is forbidden."""
    reason: str = ""
    """Why the rule is there, as whoever wrote it says."""

    @property
    def detail(self) -> str:
        """The address or the name that is forbidden, and the rule's reason, for people."""
        return detail(self.address or self.inner, self.reason)

    def text(self) -> str:
        """Return it as a line for people."""
        what = f"denied: {self.rule}{self.detail}"
        return f"#{self.connection} {what}; the program saw {self.told}{self.times()}"


class AddressDenied(CountedEvent):
    """Policy forbids one of the addresses of a name; its others are dialled."""

    connection: int
    address: str
    rule: str
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the program did not get what it asked for: that shows in other events."""
        return False

    def text(self) -> str:
        """Return it as a line for people."""
        what = f"{self.rule}{detail(self.address, self.reason)}"
        return f"#{self.connection} one of its addresses is denied: {what}{self.times()}"


class InnerDiffers(CountedEvent):
    """A deny rule names what TLS or HTTP asks for on a connection to another name.

    With allow rules that is denied; without, it is recorded alone.
    """

    connection: int
    inner: str
    rule: str
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the program did not get what it asked for: it did."""
        return False

    def text(self) -> str:
        """Return it as a line for people."""
        what = f"{self.inner}, which is denied: {self.rule}{detail('', self.reason)}"
        return f"#{self.connection} passed on, though it asks for {what}{self.times()}"


class InnerSeen(Event):
    """TLS or HTTP asks on a connection for another name than its destination's; it goes on."""

    connection: int
    inner: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"#{self.connection} asks for {self.inner}"
