"""Which programs take an error for silence, and so ask again until their time is up; pure.

musl ignores REFUSED and SERVFAIL, waits, and sends the same datagram again. All others take the
error, and whoever asks again asks from another port, by another number, or within milliseconds. To
be told over TCP is an end for musl too: so for a question that is asked again an error over UDP
becomes "truncated". musl before 1.2.4 knows no TCP, and takes that for a name without addresses.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

LEAST: Final = 0.5
"""Seconds after which a question that is asked again is one: the C-ares library, and musl at
SERVFAIL, try at once once more."""

KEPT: Final = 120.0
"""Seconds for which a question is remembered: musl asks for a minute at most."""

MOST: Final = 4096
"""Questions that are remembered."""


class Insistence:
    """Remembers questions, and when they were first asked."""

    def __init__(self) -> None:
        self._first: OrderedDict[Hashable, float] = OrderedDict()
        self._insistent: set[Hashable] = set()

    def asked(self, question: Hashable, now: float) -> None:
        """Note that a program asks: the question is its port, the number, the name and the type."""
        first = self._first.get(question)
        if first is not None and now - first < KEPT:
            if now - first >= LEAST:
                self._insistent.add(question)
            return
        self._forget(question)
        self._first[question] = now
        if len(self._first) > MOST:
            self._forget(next(iter(self._first)))

    def is_insistent(self, question: Hashable) -> bool:
        """Return whether a program has asked again."""
        return question in self._insistent

    def _forget(self, question: Hashable) -> None:
        self._first.pop(question, None)
        self._insistent.discard(question)
