"""Failed lookups as they are recorded: the same verdict once, an outage's failures each time."""

from collections.abc import Callable
from typing import Final

from relay.dns.lookup.errors import ResolverError
from relay.record.events import Event, LookupFailed
from relay.record.kinds import Kind

MAX_TOLD: Final = 10_000
"""Verdicts that are recorded once; each further one is recorded whenever it is given."""

ORDINARY: Final = 1.0
"""Seconds without an answer that are nothing to tell of when the session ends."""


class Account:
    """Records the failures of a resolver's lookups."""

    def __init__(self, record: Callable[[Event], None]) -> None:
        self._record = record
        self._told: set[tuple[str, str, str]] = set()
        """Verdicts that are recorded: name, type and cause."""

    def failed(self, name: str, rdtype: str, error: ResolverError, *, verdict: bool) -> None:
        """Record a failure; the same verdict once, as a program may ask for a name each second."""
        kind, cause = error.kind, error.cause
        if verdict and (name, rdtype, cause) in self._told:
            return
        if verdict and len(self._told) < MAX_TOLD:
            self._told.add((name, rdtype, cause))
        event = LookupFailed(name=name, type=rdtype, kind=kind, cause=cause, verdict=verdict)
        self._record(event)

    def unanswered(self, name: str, error: ResolverError, seconds: float) -> None:
        """Record that the session ended before there was an answer, or a verdict.

        A lookup that has just begun is of a program that did not want to know.
        """
        if seconds >= ORDINARY:
            self._record(
                LookupFailed(
                    name=name, type="A", kind=Kind.SESSION_END, cause=error.cause, seconds=seconds
                )
            )
