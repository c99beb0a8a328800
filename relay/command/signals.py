"""What is sent to keepline, read in order and with its sender; signalfd(2).

From hold() on every signal that can be caught waits to be read: none interrupts keepline, and none
is lost before the relay runs. SIGKILL and SIGSTOP cannot be caught; a fault of our own still ends
the process, for the kernel does not let its signal wait.
"""

import contextlib
import os
import signal
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import trio

from netns import syscalls

SI_USER: Final = 0
SI_QUEUE: Final = -1
SI_TKILL: Final = -6
"""Sent by kill(2), sigqueue(3) or tgkill(2); sigaction(2). All others are the kernel's own."""

_SIGNALFD_CLOEXEC: Final = os.O_CLOEXEC
_SIGNALFD_NONBLOCK: Final = os.O_NONBLOCK
_SIGINFO: Final = struct.Struct("=IiiIIiIIIIiiQ72x")
"""struct signalfd_siginfo: signo, errno, code, pid, uid, fd, tid, band, overrun, trapno, status,
int, ptr; 128 bytes."""
_MOST: Final = 32


class Sent(NamedTuple):
    """A signal that has come."""

    number: int
    code: int
    """Who has made it, si_code."""
    pid: int
    """Of the sender; 0 if it is in a PID namespace from where it is not seen."""
    value: int
    """What sigqueue(3) has sent with it."""

    @property
    def is_sent(self) -> bool:
        """Return whether a process has sent it, and not the kernel by itself."""
        return self.code in (SI_USER, SI_QUEUE, SI_TKILL)


def catchable() -> set[int]:
    """Return all signals that a process can hold back."""
    return {int(number) for number in signal.valid_signals()} - {signal.SIGKILL, signal.SIGSTOP}


def heeded(numbers: Iterable[signal.Signals]) -> list[signal.Signals]:
    """Return those that whoever started keepline does not have it ignore, as nohup(1) does SIGHUP.

    Such a signal would be read all the same: one that is blocked, or has a handler, is not ignored.
    """
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


class Signals:
    """The signals of this process, from hold() on."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        """Read no more; what comes waits."""
        with contextlib.suppress(OSError):  # it has closed all the same, close(2)
            os.close(self._fd)

    async def receive(self) -> list[Sent]:
        """Wait for signals, and return those that have come, in order."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            if batch := self.waiting():
                return batch

    def waiting(self) -> list[Sent]:
        """Return those that have come, without waiting."""
        try:
            data = os.read(self._fd, _SIGINFO.size * _MOST)
        except BlockingIOError:
            return []
        return [
            Sent(number, code, pid, value)
            for number, _, code, pid, _, _, _, _, _, _, _, _, value in _SIGINFO.iter_unpack(data)
        ]


def hold() -> Signals:
    """Hold all signals back from now on, in this thread and those that it starts.

    What is sent twice before it is read is read once, but for real-time signals, signal(7).
    Raises OSError where the kernel has no signalfd, or a filter forbids it.
    """
    wanted = catchable()
    fd = syscalls.signalfd(wanted, _SIGNALFD_CLOEXEC | _SIGNALFD_NONBLOCK)
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    return Signals(fd)


def send(pid: int, sent: Sent) -> None:
    """Send a process the same signal, with its value; raises OSError as kill(2) does."""
    if sent.code == SI_QUEUE:
        syscalls.sigqueue(pid, sent.number, sent.value)
    else:
        os.kill(pid, sent.number)
