"""Which programs take an error for silence, and so ask again until their time is up; pure.

musl ignores REFUSED and SERVFAIL, waits, and sends the same datagram again. All others take the
error; if they ask again, it is at once, or by another port or number. To be told over TCP is an end
for musl too: so for a question that is asked again an error over UDP becomes "truncated". musl
before 1.2.4 knows no TCP, and takes that for a name without addresses.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

LEAST: Final = 2.0
"""Seconds between an error and the same question: glibc and c-ares ask again at once, musl only
every three seconds or more (relay/host/resolv_conf.py), save one retry at once after SERVFAIL."""

MOST_WITHOUT_ANSWER: Final = 20.0
"""Seconds between two equal questions without an answer: the others wait for thirty."""

KEPT: Final = 120.0
"""Seconds for which a question is remembered: musl asks for a minute at most."""

MOST: Final = 4096
"""Questions that are remembered."""


@dataclass(slots=True)
class _Question:
    asked: float
    refused: float | None = None
    """When it was last answered by an error."""
    is_insistent: bool = False


class Insistence:
    """Remembers questions, each of which is a program's port, a number, a name and a type."""

    def __init__(self) -> None:
        self._questions: OrderedDict[Hashable, _Question] = OrderedDict()

    def asked(self, question: Hashable, now: float) -> None:
        """Note that a program asks."""
        known = self._questions.get(question)
        if known is None or now - known.asked >= KEPT:
            self._questions.pop(question, None)
            self._questions[question] = _Question(now)
            if len(self._questions) > MOST:
                self._questions.popitem(last=False)
            return
        if known.refused is not None:
            is_again = now - known.refused >= LEAST
        else:
            is_again = LEAST <= now - known.asked <= MOST_WITHOUT_ANSWER
        known.is_insistent |= is_again
        known.asked = now

    def refused(self, question: Hashable, now: float) -> bool:
        """Note that the answer is an error; return whether it is to be told over TCP."""
        known = self._questions.get(question)
        if known is None:
            return False
        known.refused = now
        return known.is_insistent
