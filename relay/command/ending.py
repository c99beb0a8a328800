"""How keepline ends: as its command has ended, by the same signal if it was one.

Whoever started us asks wait(2), not only a shell: bash ends a loop after Ctrl-C if the command died
of SIGINT, and goes on if it exited with 130; a service manager counts a death by SIGTERM as clean.
"""

import contextlib
import os
import signal

from netns import syscalls
from netns.sandbox import Ended


def as_ended(ended: Ended) -> int:
    """Return the exit status for a command that has ended; by a signal, die of it.

    No core is dumped: it would be ours. The first process of a PID namespace is not killed by its
    own signals, pid_namespaces(7); so it exits with the status that a shell shows.
    """
    if ended.signal:
        with contextlib.suppress(OSError):
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        with contextlib.suppress(OSError, ValueError):  # SIGKILL has no action that could be set
            signal.signal(ended.signal, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ended.signal})
        os.kill(os.getpid(), ended.signal)
    return ended.status
