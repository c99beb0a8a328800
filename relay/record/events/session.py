"""The events of a session as a whole: its start and end, its log, the machine it runs on."""

from datetime import UTC, datetime
from typing import Literal

from relay.record.events.base import Event, size


class SessionStarted(Event):
    """The namespace is complete and the command is about to run; the first event of a log."""

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
    format: int = 0
    """Version of the log's format, see base.FORMAT; 0 for logs from before it was counted."""

    def text(self) -> str:
        """Return it as a line for people, with its local time."""
        begun = datetime.fromtimestamp(self.at, UTC).astimezone()
        return (
            f"session {self.session} of {self.program} started {begun:%Y-%m-%d %H:%M:%S}"
            f" (pid {self.pid}, uid {self.uid}, {self.intercept}, {self.dns} names)"
            + (f"; {self.gateway}" if self.gateway else "")
        )


class SessionEnded(Event):
    """The command has ended."""

    status: int
    connections: int
    seconds: float

    def text(self) -> str:
        """Return it as a line for people."""
        return (
            f"session ended with status {self.status} after {self.seconds:.1f} s and"
            f" {self.connections} connections"
        )


class LogFull(Event):
    """The file's bound is reached: later events of this session are dropped, its end excepted."""

    limit: int
    """Bytes."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the log reached its limit of {size(self.limit)}: what follows is not in it"


class Slept(Event):
    """The machine was suspended; idle connections are probed at once."""

    seconds: float

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the machine slept for {self.seconds:.0f} s"
