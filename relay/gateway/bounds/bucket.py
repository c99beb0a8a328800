"""How much an upstream may send that carries nothing of an answer: a token bucket; pure.

One token pays for one frame, head or event that says nothing (a PING, SETTINGS, 103 Early Hints,
an empty line between events), or for UNIT bytes that frame others. There are BURST at first, and
RATE a second come back: a server that sends a PING each second, or a comment each 10 ms, never
comes near the end. What a program asks for may cost upstream frames of its own, so it gives tokens
back.

Whoever has spent all is judged: its connection, or its answer, is lost as FLOODED.

Others bound the same at 1,000 frames (nghttp2, Envoy), 10,000 (Go, nginx), or 1 MiB of framing more
than eight times the payload (nginx); CVE-2019-9512 to 9518 and CVE-2024-27316 are the floods.
"""

import math
from typing import Final

BURST: Final = 8192
RATE: Final = 100.0
"""Tokens a second."""
UNIT: Final = 256
"""Bytes."""
OF_PIECE: Final = 8
"""Bytes for which each piece of content counts beside its framing: many small ones take time."""

FLOODED: Final = "it floods the connection with what carries no answer"


class Bucket:
    """The tokens of one connection, or of one answer."""

    def __init__(self) -> None:
        self._left: float = BURST
        self._at = math.inf

    def spend(self, tokens: float, now: float) -> bool:
        """Take tokens at a moment, in seconds of any clock; return whether there were as many."""
        self.refund(max(0.0, now - self._at) * RATE)
        self._at = now
        self._left -= tokens
        return self._left >= 0

    def refund(self, tokens: float) -> None:
        """Give tokens back; there are never more than BURST."""
        self._left = min(BURST, self._left + tokens)
