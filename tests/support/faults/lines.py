"""What a worker says of its runs, line by line, as JSON."""

from typing import TypeAlias

import msgspec

from tests.support.faults.injector import Site


class Made(msgspec.Struct, tag="made"):
    """The calls that the scenarios make when nothing fails."""

    sites: list[Site]


class Begun(msgspec.Struct, tag="begun"):
    """A run that begins."""

    scenario: str
    site: Site
    errno: str
    times: int

    def ended_by(self, wrong: str) -> "Ran":
        """Return what is said of it if its process has ended in it."""
        return Ran(
            self.scenario, self.site, self.errno, self.times, 0, wrong, "", 0, is_recorded=False
        )


class Ran(msgspec.Struct, tag="ran"):
    """One run, with one fault in it."""

    scenario: str
    site: Site
    errno: str
    times: int
    """How many calls running were to fail."""
    hits: int
    """How many did: some are made once in a session."""
    wrong: str
    """Why the session, or another connection, has not gone on; empty if it has."""
    met: str
    """What a program met of it; empty if nothing."""
    seconds: float
    """Real ones that it took."""
    is_recorded: bool
    """Whether the record says something that it does not say of the scenario without a fault."""

    @property
    def is_unrecorded(self) -> bool:
        """Whether a program met something of which the record says nothing."""
        return bool(self.met) and not self.is_recorded and not self._looks_usual

    @property
    def _looks_usual(self) -> bool:
        """Whether it looks just as what the scenario's own program or server does.

        A program may leave its connection to the name server, and a server resets what is replayed.
        """
        if self.site.file == "relay/dns/nameserver.py":
            return self.errno in {"ECONNRESET", "ETIMEDOUT"}
        return self.scenario.startswith("replay") and self.errno == "ECONNRESET"

    def __str__(self) -> str:
        return f"{self.scenario}: {self.site}: {self.errno} x {self.times}"


Line: TypeAlias = Made | Begun | Ran
