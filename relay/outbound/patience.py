"""How long a dial goes on and when it is tried again: back-off with full jitter, one deadline.

Rules, in order:
1. What no waiting can mend (forbidden, invalid, no such name) fails at once.
2. A connection that was reset before it could be used had been accepted: it is no refusal, and is
   dialled again at once, RESETS times. Then the program is told so: accepted, and reset. What a
   proxy has met and does not say may have been such a reset, and is dialled again as often.
3. A refusal by a destination never seen alive in this session fails at once.
4. A network or host that cannot be reached is an outage, unless the network is seen to work: if
   another dial of the session got through after this one had failed, and this one, made again
   after that, fails the same way, it is not the network. Success before the failure shows
   nothing, for the outage may have begun in between; nor does a failure of a round that began
   before the success, whose answer may be from before the network was back.
5. Everything else is an outage, and held until the deadline. Pauses double, but a round that
   got no answer has been a pause itself.

What the program is told is an ICMP code, see icmp.py.

No sockets and no clock here: time and randomness are passed in.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.outbound import icmp
from relay.record.kinds import CausedError, Kind

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 1.5
"""Seconds. Short, so that a destination that is back is noticed within two."""

RESETS: Final = 3

NO_ANSWER: Final = -1
"""In the place of an ICMP code: nothing is sent to the program, whose own time-outs end it."""

RESET: Final = -2
"""In the place of an ICMP code: the program's connection is accepted, and reset."""

_HOPELESS: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.EAFNOSUPPORT,
        errno.EPROTO,  # an ICMP parameter problem
        errno.EMFILE,  # while they wait, connections keep the descriptors that all of them lack
        errno.ENFILE,
        errno.EADDRNOTAVAIL,  # no local port is left, and each further try searches them all
    }
)
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
_REFUSALS: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


class DialError(CausedError):
    """Upstream was not reached: in one round of dialling, or in all that patience allowed."""

    def __init__(
        self,
        cause: str,
        kind: Kind,
        number: int = 0,
        code: int | None = None,
        *,
        is_final: bool = False,
    ) -> None:
        """Keep the errno too, 0 if there is none (no address, no answer in time).

        `code` is the ICMP destination-unreachable code that the program is to be told, NO_ANSWER
        or RESET; None if there is none. `is_final`: no other round can do better.
        """
        super().__init__(cause, kind)
        self.number = number
        self.code = code
        self.is_final = is_final

    @property
    def is_hopeless(self) -> bool:
        """Whether no waiting can mend it."""
        return self.is_final or self.number in _HOPELESS or self.code in icmp.VERDICTS

    @property
    def is_refusal(self) -> bool:
        """Whether the destination, or a firewall in its place, does not want the connection."""
        return self.number in _REFUSALS


def verdict_of(failures: Sequence[DialError]) -> DialError:
    """Return the failure of a race, of at least one address: the latest that may be an outage.

    An address that refuses says nothing of one that cannot be reached now: bare, a program goes
    through all of them before it fails. If no address can be hoped for, it is the latest failure.
    """
    hopeful = (each for each in reversed(failures) if not (each.is_hopeless or each.is_refusal))
    return next(hopeful, failures[-1])


@dataclass(frozen=True, slots=True)
class Retry:
    """Dial again after a pause, or as soon as the network changes."""

    pause: float
    """Seconds."""
    is_doubtful: bool = False
    """Whether another dial that gets through ends the pause: rule 4 is to be decided."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Give the dial up."""

    cause: str
    kind: Kind
    code: int | None = None
    """As in DialError."""


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
        self._reached: int | None = None
        """Dials that were through when this one could first not reach its network or host."""

    def failed(
        self, failure: DialError, elapsed: float, *, before: int = 0, now: int = 0
    ) -> Retry | GiveUp:
        """Decide after a failed round, `elapsed` seconds after the dial began.

        `before` and `now` count the dials of the session that were through when the round began,
        and those that are by now.
        """
        self.rounds += 1
        if failure.is_hopeless:
            return GiveUp(failure.cause, failure.kind, _code(failure))
        is_reset = failure.number == errno.ECONNRESET
        may_be_one = is_reset or failure.kind is Kind.PROXY_FAILED
        if may_be_one and self.rounds <= RESETS and elapsed < self._limit:
            return Retry(0.0)
        if is_reset or (failure.is_refusal and not self._known):
            code = RESET if is_reset else icmp.REFUSED
            return GiveUp(failure.cause, failure.kind, code)
        is_doubtful = failure.code in icmp.OUTAGES
        if is_doubtful and self._reached is not None and before > self._reached:
            cause = f"{failure.cause}, though others are reached"
            return GiveUp(cause, failure.kind, failure.code)
        if not is_doubtful:
            self._reached = None
        elif self._reached is None:
            self._reached = now
        left = self._limit - elapsed
        if left <= 0:
            code = icmp.REFUSED if failure.is_refusal else NO_ANSWER
            return GiveUp(f"{failure.cause}, for {self._limit:g} s", failure.kind, code)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.rounds - 1, 16))
        if failure.number == errno.ETIMEDOUT:
            longest = FIRST_PAUSE
        return Retry(min(longest * self._jitter(), left), is_doubtful)


def _code(failure: DialError) -> int | None:
    """Return what the program is told of what no waiting can mend."""
    if failure.code is None and failure.number in _FORBIDDEN:
        return icmp.PROHIBITED
    return failure.code
