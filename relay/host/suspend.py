"""Suspends of the machine: CLOCK_BOOTTIME runs on in them, CLOCK_MONOTONIC does not.

On systems without the first the clock of the wall is compared. A jump of it is taken for a suspend
then, after which connections are probed: that costs a packet each.
"""

import time
from collections.abc import Callable
from typing import Final

_LEAST: Final = 2.0
"""Seconds by which the one clock must gain on the other to be called a suspend."""


class SuspendDetector:
    """Finds out whether the machine was suspended between two calls."""

    def __init__(self, time_suspended: Callable[[], float]) -> None:
        self._time_suspended = time_suspended
        self._last = time_suspended()

    def suspended(self) -> float:
        """Return the seconds of suspend since the last call, 0 if there was none."""
        now = self._time_suspended()
        gained, self._last = now - self._last, now
        return gained if gained >= _LEAST else 0.0


def time_suspended() -> float:
    """Return the seconds since boot in which the machine was suspended, clock_gettime(2).

    Elsewhere than on Linux they have another beginning: their difference counts.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return time.time() - time.monotonic()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
