"""The events of a session as a whole: its start and end, its log, the machine it runs on."""

from typing import Final, Literal, TypeAlias

import msgspec

from relay.record.events.base import CausedEvent, CountedEvent, Event, LossEvent, size
from relay.record.times import local

Shown: TypeAlias = Literal["", "a reset", "SERVFAIL"]
"""What a program saw of a fault; empty if nothing."""


PASSABLE: Final = "proxy: programs that ignore it go past keepline"


class SessionStarted(Event):
    """The namespace is complete and the command is about to run; the first event of a log."""

    session: str
    version: str
    program: str
    """The command's first word alone: arguments may hold secrets."""
    pid: int
    uid: int
    intercept: Literal["tproxy", "redirect", "ports", "proxy"]
    """How connections are caught; `proxy`: none is, programs ask for them."""
    dns: Literal["synthetic", "real"]
    gateway: str = ""
    """What the gateway reads, for people; empty if it is off."""
    rules: str = ""
    """What policy denies, for people; empty if nothing."""
    peer: str = ""
    """Who runs the command in a sealed container, for people; empty if keepline does itself."""
    proxy: str = ""
    """The way out, for people, without credentials; empty if it is direct."""
    format: int = 0
    """Version of the log's format, see base.FORMAT; 0 for logs from before it was counted."""

    def text(self) -> str:
        """Return it as a line for people, with its local time."""
        begun = local(self.at)
        caught = PASSABLE if self.intercept == "proxy" else f"{self.intercept}, {self.dns} names"
        return (
            f"session {self.session} of {self.program} started {begun:%Y-%m-%d %H:%M:%S}"
            f" (pid {self.pid}, uid {self.uid}, {caught})"
            + (f"; {self.peer}" if self.peer else "")
            + (f"; {self.gateway}" if self.gateway else "")
            + (f"; {self.rules}" if self.rules else "")
            + (f"; {self.proxy}" if self.proxy else "")
        )


class SessionEnded(Event):
    """The command has ended."""

    status: int
    connections: int
    seconds: float
    omitted: dict[str, int] = msgspec.field(default_factory=dict)
    """How many events of each type the log had no room for."""

    def text(self) -> str:
        """Return it as a line for people."""
        omitted = ", ".join(f"{count} {name}" for name, count in self.omitted.items())
        return (
            f"session ended with status {self.status} after {self.seconds:.1f} s and"
            f" {self.connections} connections"
        ) + (f"; the log had no room for: {omitted}" if omitted else "")


class SideDoor(Event):
    """The command has somebody outside do its work, where keepline sees nothing of it."""

    program: str
    asks: str
    """Whom, for people."""

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"{self.program} asks {self.asks}, which is outside: what that does has the host's"
            " network, and keepline sees nothing of it"
        )


class LeftBehind(Event):
    """Processes of the command go on after its end: they have no network any more."""

    processes: list[str]
    """Each by its name and pid."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"left behind, without a network from now on: {', '.join(self.processes)}"


class LogFull(Event):
    """The file's bound is near: of what follows, only losses, failures and the end have room."""

    limit: int
    """Bytes."""

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"the log is close to its limit of {size(self.limit)}: from here on it has only what"
            " was lost, denied or failed"
        )


class Slept(Event):
    """The machine was suspended; idle connections are probed at once."""

    seconds: float

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the machine slept for {self.seconds:.0f} s"


class Fault(LossEvent):
    """An exception that nobody expected was contained: it ended what it hit, and nothing else."""

    where: str
    """What ended with it, or was left out because of it."""
    error: str
    """The type of the exception; its message may quote what was sent, and is not recorded."""
    cause: str
    connection: int | None = None
    saw: Shown = ""
    place: str = ""
    """File, line and function in which it came up."""
    traceback: str = ""
    """Left out where an earlier fault of the same place has it."""

    @property
    def ends_connection(self) -> bool:
        """Whether the program's connection ended with it."""
        return self.connection is not None and self.saw == "a reset"

    def text(self) -> str:
        """Return it as a line for people."""
        number = f"#{self.connection} " if self.connection is not None else ""
        saw = f"; the program saw {self.saw}" if self.saw else ""
        place = f" ({self.place})" if self.place else ""
        return f"{number}fault in {self.where}: {self.cause}{place}{saw}"


class ServiceDown(LossEvent):
    """A part of the relay has failed too often; it rests before it is started again."""

    service: str
    failures: int
    """In the last minute."""
    seconds: float
    """How long it rests."""

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"{self.service} has failed {self.failures} times in a minute: it rests for"
            f" {self.seconds:.0f} s"
        )


class TurnedAway(LossEvent):
    """There was no descriptor or memory left for a connection: the program saw a reset.

    Recorded of the first, the second, the fourth, and so on.
    """

    where: str
    """Which listening socket had accepted them."""
    cause: str
    count: int
    """How many in this session so far."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"{self.where} reset a connection ({self.cause}), {self.count} so far"


class ProxyRefused(Event):
    """Somebody asked the proxy without the session's token, or for what is no place.

    Recorded of the first, the second, the fourth, and so on.
    """

    how: str
    """What was answered: a line of HTTP, or two octets of SOCKS5."""
    count: int
    """How many in this session so far."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the proxy did not serve a request ({self.how}), {self.count} so far"


class ConnectLeft(CountedEvent):
    """A SYN was left to be retransmitted: as many connects are pending as keepline dials for."""

    address: str
    port: int

    @property
    def to(self) -> str:
        """HOST:PORT, as it was dialled."""
        return f"{self.address}:{self.port}"

    def text(self) -> str:
        """Return it as a line for people."""
        return f"connect() to {self.to} is to wait: too many are pending{self.times()}"


class LogChanged(LossEvent):
    """Something other than keepline has changed the log's file."""

    how: Literal["removed", "cut short", "written to"]

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the log was {self.how} by another process: it does not have all that happened"


class LogLost(LossEvent):
    """The log could not be written for a time; these events are missing from it."""

    cause: str
    events: int
    """How many."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"{self.events} events are not in the log: {self.cause}"


class PolicyTightened(Event):
    """The files of settings have changed; what they forbid now is forbidden from now on."""

    files: list[str]
    """Those that were read."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the rules have become tighter: {', '.join(self.files)}"


class PolicyChangeIgnored(CausedEvent):
    """The files of settings have changed, and some or all of that does not hold in this session."""

    cause: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"a change of the settings is ignored: {self.cause}"
