"""What a process takes off itself before it forks the command, which is to have it.

Interval timers that a caller sets before exec, `perl -e 'alarm 60; exec @ARGV' COMMAND`, are the
command's. An exec keeps them and a fork does not, getitimer(2).

The first process of a PID namespace, a container's, holds back what asks it to end. The kernel
ignores such a signal where that process has neither a handler nor has blocked it: it would be lost
if it came before the relay reads signals. The command has the caller's mask again.
"""

import contextlib
import signal
from collections.abc import Sequence
from typing import Final, NamedTuple

from netns.process.waited import is_first_process

_KINDS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_ASK_TO_END: Final = (
    *(signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
)
"""But SIGINT, of which the interpreter has a handler."""


class Taken(NamedTuple):
    """What the command is to have."""

    timers: Sequence[tuple[int, tuple[float, float]]]
    """Kinds, each with the seconds that are left, and those between two signals."""
    mask: set[int] | None
    """The signals that the caller has blocked; None if no others are."""


def take() -> Taken:
    """Take the timers off this process, and hold signals back if it is the first one."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ASK_TO_END) if is_first_process() else None
    timers: Sequence[tuple[int, tuple[float, float]]] = ()
    with contextlib.suppress(OSError):  # a filter forbids it; then they are left alone
        timers = [(kind, signal.setitimer(kind, 0)) for kind in _KINDS]
    return Taken(timers, mask)


def put(taken: Taken) -> None:
    """Set them in this process."""
    for kind, left in taken.timers:
        signal.setitimer(kind, *left)
    if taken.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, taken.mask)
