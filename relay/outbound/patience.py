"""How long a dial goes on and when it is tried again: back-off with full jitter, one deadline.

Rules, in order:
1. What no waiting can mend (forbidden, invalid) fails at once.
2. A connection that was reset before it could be used had been accepted: it is no refusal, and is
   dialled again at once, RESETS times.
3. A refusal by a destination never seen alive in this session fails at once.
4. Everything else is an outage, and held until the deadline. Pauses double, but a round that
   got no answer has been a pause itself.

No sockets and no clock here: time and randomness are passed in.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay.record.kinds import CausedError, Kind

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 1.5
"""Seconds. Short, so that a destination that is back is noticed within two."""

RESETS: Final = 3

_HOPELESS: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.EAFNOSUPPORT,
        errno.EMFILE,  # while they wait, connections keep the descriptors that all of them lack
        errno.ENFILE,
    }
)
_REFUSALS: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


class DialError(CausedError):
    """Upstream was not reached: in one round of dialling, or in all that patience allowed."""

    def __init__(self, cause: str, kind: Kind, number: int = 0, code: int | None = None) -> None:
        """Keep the errno too, 0 if there is none (no address, no answer in time).

        `code` is that of an ICMP destination-unreachable message that is to be passed on.
        """
        super().__init__(cause, kind)
        self.number = number
        self.code = code


@dataclass(frozen=True, slots=True)
class Retry:
    """Dial again after a pause, or as soon as the network changes."""

    pause: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Give the dial up."""

    cause: str
    kind: Kind


class Patience:
    """One dial's state."""

    def __init__(self, limit: float, *, known: bool, jitter: Callable[[], float]) -> None:
        """Hold for `limit` seconds at most; `jitter` returns numbers from 0 to 1.

        `known`: the destination was seen alive in this session.
        """
        self._limit = limit
        self._known = known
        self._jitter = jitter
        self.rounds = 0
        """Rounds that failed."""

    def failed(self, failure: DialError, elapsed: float) -> Retry | GiveUp:
        """Decide after a failed round, `elapsed` seconds after the dial began."""
        self.rounds += 1
        if failure.number in _HOPELESS:
            return GiveUp(failure.cause, failure.kind)
        if failure.number == errno.ECONNRESET and self.rounds <= RESETS and elapsed < self._limit:
            return Retry(0.0)
        if failure.number in _REFUSALS and not self._known:
            return GiveUp(failure.cause, failure.kind)
        left = self._limit - elapsed
        if left <= 0:
            return GiveUp(f"{failure.cause}, for {self._limit:g} s", failure.kind)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.rounds - 1, 16))
        if failure.number == errno.ETIMEDOUT:
            longest = FIRST_PAUSE
        return Retry(min(longest * self._jitter(), left))
