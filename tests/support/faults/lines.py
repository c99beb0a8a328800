"""What a worker says of its runs, line by line, as JSON."""

from typing import TypeAlias

import msgspec

from tests.support.faults.injector import Site


class Made(msgspec.Struct, tag="made"):
    """The calls that the scenarios make when nothing fails."""

    sites: list[Site]


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
        return bool(self.met) and not self.is_recorded and not self._looks_like_leaving

    @property
    def _looks_like_leaving(self) -> bool:
        """Whether a program that has left its connection to the name server looks just so."""
        is_programs = self.site.file == "relay/dns/nameserver.py"
        return is_programs and self.errno in {"ECONNRESET", "ETIMEDOUT"}

    def __str__(self) -> str:
        return f"{self.scenario}: {self.site}: {self.errno} x {self.times}"


Line: TypeAlias = Made | Ran
