"""Is a silent connection dead, or is the network down? Pure: no sockets, no clock.

Rules:
1. A connection is suspect after 3 retransmissions, or 2 keepalive probes, without an answer.
2. For a suspect, the same destination is dialled once more. As long as that is not answered
   either, the network is down: nothing is given up.
3. If it is answered, the suspect is dead once it has had no ACK for GRACE seconds, the network
   has been up meanwhile (for SETTLED seconds at least, for GRACE after an outage), and a dial
   has been answered just now: something on the way, or the peer, has forgotten it.
4. The time that a late answer took does not count as time in which the network was up. What was
   counted before is kept: a single SYN may be lost.
5. An ACK clears a suspect.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

RETRANSMISSIONS: Final = 3
PROBES: Final = 2

GRACE: Final = 5.0
GRACE_AFTER_SLEEP: Final = 1.5
"""Seconds. A suspend is evidence by itself: most NATs have forgotten everything."""

SETTLED: Final = 3.0
"""Seconds in which a living peer has had two chances to answer: both kinds come every second."""

PROMPT: Final = 0.9
"""Seconds. An answer that took longer is one to a repeated SYN: the network was down before it,
or the first one was lost."""

FRESH: Final = 3.0
"""Seconds for which an answer proves that the network is up."""

_INFO = struct.Struct("=8B4x4x4x4xI28xI")


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """What is used of struct tcp_info, linux/tcp.h."""

    retransmits: int
    """Consecutive retransmissions without an ACK."""
    probes: int
    """Keepalive probes without an answer."""
    unacked: int
    """Segments sent and not acknowledged."""
    silence: float
    """Seconds since the last ACK."""

    SIZE = _INFO.size

    @classmethod
    def parse(cls, raw: bytes) -> "TcpInfo":
        """Read the first SIZE bytes of the option's value."""
        _state, _ca, retransmits, probes, _b, _o, _w, _r, unacked, last_ack = _INFO.unpack(raw)
        return cls(retransmits, probes, unacked, last_ack / 1000)

    @property
    def is_suspicious(self) -> bool:
        """Rule 1."""
        return self.retransmits >= RETRANSMISSIONS or self.probes >= PROBES


class Verdict(Enum):
    """What to do about a suspect."""

    CLEAR = "it got an ACK"
    WAIT = "not known yet"
    HOLD = "the network is down"
    DEAD = "forgotten on the way"


class Path:
    """What dialling one destination again has shown; made when its first suspect appears."""

    def __init__(self, now: float) -> None:
        """Nothing is known yet."""
        self._up_since: float | None = None
        self._down_since: float | None = None
        self._answered = now
        self._suspected = now
        self._was_down = False
        self._was_late = False

    @property
    def is_down(self) -> bool:
        """Whether the last dial was not answered."""
        return self._down_since is not None

    def answered(self, began: float, now: float) -> float | None:
        """Note an answer to a dial; return how long the network was down, None if it was not."""
        down_since, self._down_since = self._down_since, None
        self._answered = now
        if down_since is not None:
            self._up_since, self._was_down = now, True
            return now - down_since
        took = now - began
        if took > PROMPT:
            self._up_since = now if self._up_since is None else self._up_since + took
            self._was_late = True
            return took
        if self._up_since is None:
            self._up_since = self._suspected
        return None

    def unanswered(self, began: float) -> bool:
        """Note a dial without an answer; True if that is news."""
        news = self._down_since is None
        if news:
            self._down_since = began
        self._up_since = None
        return news

    def judge(self, info: TcpInfo, now: float, grace: float = GRACE) -> Verdict:
        """Apply rules 2 to 5 to a suspect."""
        if info.retransmits == 0 and info.probes == 0:
            return Verdict.CLEAR
        if self.is_down:
            return Verdict.HOLD
        if self._up_since is None or now - self._answered > FRESH:
            return Verdict.WAIT
        # Probes come every second; an older kernel's retransmissions are further apart.
        is_slow = self._was_down or (self._was_late and info.retransmits > 0)
        settled = now - self._up_since >= min(GRACE if is_slow else SETTLED, grace)
        return Verdict.DEAD if settled and info.silence >= grace else Verdict.WAIT
