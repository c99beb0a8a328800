"""What an upstream has shown of its manners in this session, and what follows for an answer; pure.

An API's own hosts behave as its documentation says. Any other host, a router or a proxy that speaks
the API, is taken as it shows itself:

1. Silence is a loss only at an upstream that fills it: the API's own host, or one that has ended a
   silence by filler before. It is one after LEAST seconds, or after PINGS of the longest silences
   that filler has ended, if that is more. A request that was lost to silence is given twice as long
   the next time, and so on. A setting of the user's holds instead, each time.
2. Filler alone shows that upstream is there, not that it works: FILLED_FOR seconds of nothing else,
   in a stream whose head has come, are a loss as well, and twice as long the next time. What thinks
   for less than that is waited for. A setting of the user's does not change it.
3. A clean end of a stream that has told neither its STOP nor its END, with no part unfinished, is
   a loss. But if UNTOLD streams have ended so, and none has told a STOP or an END in this session,
   that is the upstream's manner: then it is the end, as for a client without the gateway. It is
   not at the API's own hosts.
"""

import math
from typing import Final

LEAST: Final = 60.0
PINGS: Final = 4
FILLED_FOR: Final = 3600.0
UNTOLD: Final = 6
"""As many as one request's tries: its last one is given then, instead of none."""

FILLED: Final = 1.0
"""Seconds of silence that filler has to end to count: APIs send some at the beginning too."""


class Manners:
    """Those of one origin."""

    def __init__(self, *, is_own: bool) -> None:
        """Expect what is known; `is_own` is whether the host is one of the API's own."""
        self._is_own = is_own
        self._longest_filled = 0.0
        self._has_told_ends = is_own
        self._untold_ends = 0

    def silence(self, times: int) -> float:
        """Return after how many seconds silence is a loss, for a request lost to it so often."""
        if not self._is_own and not self._longest_filled:
            return math.inf
        limit: float = max(LEAST, PINGS * self._longest_filled) * 2**times
        return limit

    def filled(self, times: int) -> float:
        """Return after how many seconds of filler alone a request lost so often is lost again."""
        limit: float = FILLED_FOR * 2**times
        return limit

    def note_filler(self, silence: float) -> None:
        """Note that filler, and nothing else, came after so many seconds, FILLED at least."""
        self._longest_filled = max(self._longest_filled, silence)

    def note_end(self) -> None:
        """Note an answer that has told its stop or its end."""
        self._has_told_ends = True

    def takes_untold_end(self) -> bool:
        """Note a clean end that was not told; return whether it is the upstream's manner."""
        self._untold_ends += 1
        return self._untold_ends >= UNTOLD and not self._has_told_ends
