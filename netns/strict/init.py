"""The PID namespace: its init, and the process that becomes the command beside it.

    relay ── init       PID 1: adopts what the command leaves behind, reaps it, and holds nothing
          └─ command    PID 2: builds the namespace, then becomes the command

Both are the relay's children. So the relay waits for the command itself, as at the default level:
its stops, its signals and its end need nobody to pass them on, and its parent is process 0, not
process 1, which programs take for a sign that theirs has ended. What enters the namespace first,
unshare(2), is a process's children; so a process that stays outside forks both and ends, and they
become the relay's, which has made itself their subreaper, prctl(2).

No signal from inside ends an init, pid_namespaces(7). It ends with the relay, and all processes of
the namespace end with it.
"""

import contextlib
import os
import select
import signal
from typing import Final, NoReturn

from netns import syscalls
from netns.process import beside, timers

NAME: Final = b"session-init"

ADOPTED: Final = b"a"
"""On the lifeline: both are the relay's children by now."""
ALONE: Final = b"l"
"""The command has ended: init is to end after all others."""


def enter(lifeline: int) -> tuple[int, int] | None:
    """Fork init and the command-to-be into the PID namespace that has just been unshared.

    Return None in the command-to-be, and in the caller both process ids, as seen outside.
    `lifeline` is the end to read of a pipe whose other end is the relay's alone. Raises OSError.
    """
    init = os.fork()
    if init == 0:
        _stand(lifeline)
    taken = timers.take()
    command = os.fork()
    if command == 0:
        timers.put(taken)
        return None
    return init, command


def _stand(lifeline: int) -> NoReturn:
    """Be the init, until the relay ends, or has no use for the namespace any more.

    Before ADOPTED the parent may be the process that forked us, whose end is no news. If the relay
    ends before PR_SET_PDEATHSIG is in force, the next read is at the pipe's end.
    """
    try:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so the kernel itself reaps, wait(2)
        beside.keep_only(lifeline)
        os.chdir("/")
        syscalls.drop_own_capabilities()
        with contextlib.suppress(OSError, ValueError, IndexError):
            beside.rename(NAME)
        if os.read(lifeline, 1) == ADOPTED:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.read(lifeline, 1) == ALONE:
                _wait_for_all()
    finally:
        os._exit(0)


def _wait_for_all() -> None:
    """Wait until init has no child left: whoever has a living parent is a descendant of one."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def relay_lives(lifeline: int) -> bool:
    """Return whether the other end of the lifeline is open; what waits to be read stays there."""
    waiting = select.poll()
    waiting.register(lifeline, 0)
    return not any(events & select.POLLHUP for _fd, events in waiting.poll(0))
