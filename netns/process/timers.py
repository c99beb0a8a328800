"""Interval timers that a caller sets before exec: `perl -e 'alarm 60; exec @ARGV' COMMAND`.

They are the command's. An exec keeps them and a fork does not, getitimer(2).
"""

import contextlib
import signal
from collections.abc import Sequence
from typing import Final, TypeAlias

Timers: TypeAlias = Sequence[tuple[int, tuple[float, float]]]
"""Kinds, each with the seconds that are left, and those between two signals."""

_KINDS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def take() -> Timers:
    """Take the timers off this process."""
    with contextlib.suppress(OSError):  # a filter forbids it; then they are left alone
        return [(kind, signal.setitimer(kind, 0)) for kind in _KINDS]
    return []


def put(timers: Timers) -> None:
    """Set them in this process."""
    for kind, left in timers:
        signal.setitimer(kind, *left)
