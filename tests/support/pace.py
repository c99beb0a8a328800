"""Bounds of time are those of a quiet machine; on a slower or busier one they grow by its slowness.

    assert within(program.seconds, AT_ONCE)     # AT_ONCE is a quiet machine's
    with trio.fail_after(patience(10)): ...     # for what never takes as long

A bound that holds as it stands has shown what it says, whatever the machine does: nothing is
measured. One that does not is taken for broken on a quiet machine, and on any other one only if
the machine is not slower by as much.
"""

import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

_SPAWN: Final = 0.025
"""Seconds in which Python starts and ends on the quiet machine for which the bounds are written."""

_TIMES: Final = 7


def within(seconds: float, bound: float, slowness: Callable[[], float] | None = None) -> bool:
    """Return whether this was fast enough: `bound` seconds at most, on a quiet machine."""
    return seconds <= bound or seconds <= bound * (slowness or measured_slowness)()


def patience(seconds: float) -> float:
    """Return how long to wait, at most, for what comes at once on a quiet machine."""
    return seconds * max(_crowd(), _known_slowness())


def measured_slowness() -> float:
    """Return by what factor the machine is slower than a quiet one, at least 1; takes 0.2 s.

    It is the largest of three: how long programs take to start now, how many processes have shared
    a processor in the last minute, and how long programs took to start when it was first asked.
    What measures the tests' coverage slows down each start, as it does all that is measured.
    """
    return max(1.0, _start() / _SPAWN, _crowd(), _known_slowness())


@functools.cache
def _known_slowness() -> float:
    """Return by what factor the machine was slower when it was first asked: it may be so itself."""
    return max(1.0, _start() / _SPAWN)


def _start() -> float:
    """Return the seconds in which a Python starts and ends, the median of some."""
    return statistics.median(_seconds_of_start() for _ in range(_TIMES))


def _seconds_of_start() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", ""], check=True)
    return time.perf_counter() - began


def _crowd() -> float:
    """Return how many processes wanted each processor in the last minute, getloadavg(3)."""
    return os.getloadavg()[0] / len(os.sched_getaffinity(0))
