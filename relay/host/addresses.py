"""Which addresses count as the host's while they change; pure.

A lease that is renewed, an interface that goes down and up, or a bridge that takes an interface's
address over remove an address and add it again within a moment. A program alone does not notice:
its sockets stay, and what is lost meanwhile is retransmitted. So an address that has gone counts
as the host's for SETTLE seconds more. If another one has come the host is elsewhere, and nothing is
waited for; a path that is really lost is found by liveness.
"""

import math
from typing import Final

SETTLE: Final = 1.0
"""Seconds for which an address that has gone may come back."""


class Addresses:
    """The addresses that count as the host's."""

    def __init__(self) -> None:
        self.deadline = math.inf
        """When to look again although nothing has changed, on the clock of now()."""
        self._known: frozenset[str] | None = None
        """Those of the last look, with those that may come back."""

    def now(self, found: frozenset[str], time: float) -> frozenset[str]:
        """Return those that count, where `found` are the interfaces' at this time.

        The deadline is set by the first address to go, and is not moved by a later change: whatever
        flaps is told in the end.
        """
        known, self._known = self._known, found
        is_elsewhere = known is None or bool(found - known)
        if known is None or is_elsewhere or known <= found or time >= self.deadline:
            self.deadline = math.inf
            return found
        self.deadline = min(self.deadline, time + SETTLE)
        self._known = known
        return known
