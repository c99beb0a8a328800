"""Which resolvers are asked without EDNS, RFC 6891, because what has it gets no good answer; pure.

Middleboxes drop such questions, answer them by an error, or spoil what is answered. The same
question without EDNS is then asked at once, and what has shown itself is kept for a while.
"""

from collections import Counter
from typing import Final

from relay.addresses import Destination

KEPT: Final = 900.0
"""Seconds after which EDNS is tried again; on another network it is at once."""

SILENCES: Final = 2
"""In a row: a single datagram may have been lost."""


class EdnsMemory:
    """What is known of the resolvers of this network."""

    def __init__(self) -> None:
        self._without_until: dict[Destination, float] = {}
        self._silences: Counter[Destination] = Counter()

    def is_borne(self, server: Destination, now: float) -> bool:
        """Return whether the server may be asked with EDNS."""
        return self._without_until.get(server, now) <= now

    def worked(self, server: Destination) -> None:
        """Note an answer that has EDNS."""
        self._silences.pop(server, None)

    def failed(self, server: Destination, now: float) -> None:
        """Note an error, or what could not be read, where the plain question was answered."""
        self._without_until[server] = now + KEPT

    def was_silent(self, server: Destination, now: float) -> None:
        """Note that there was no answer before the plain question was sent, and one after it."""
        self._silences[server] += 1
        if self._silences[server] >= SILENCES:
            self.failed(server, now)

    def forget(self) -> None:
        """Forget it all: this is another network."""
        self._without_until.clear()
        self._silences.clear()
