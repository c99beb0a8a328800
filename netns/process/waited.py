"""A child that is waited for: how it ended, stopped or went on, waitpid(2)."""

import os
import signal
from dataclasses import dataclass
from typing import Final

from netns.errors import EXIT_OWN_FAILURE

_SIGNAL_STATUS: Final = 128


@dataclass(frozen=True)
class Ended:
    """The command has ended; `status` is what a shell would show: 128+N for a signal."""

    status: int
    signal: int = 0
    """The signal that ended it; 0 for none."""


@dataclass(frozen=True)
class Stopped:
    """The command was stopped by a signal, such as Ctrl-Z's."""


class Waited:
    """What is run, as the child that it is."""

    pid: int
    """While it runs."""

    def poll(self) -> Ended | Stopped | None:
        """Return what became of the command since the last call, without waiting, waitpid(2).

        If somebody else has waited for it, its status is not known, which is our own failure. As
        the first process of a PID namespace, a container's, everything is waited for that has lost
        its parent there, pid_namespaces(7): nobody else would, and each would stay as a zombie.
        """
        asked = -1 if is_first_process() else self.pid
        try:
            pid, status = os.waitpid(asked, os.WNOHANG | os.WUNTRACED)
            while pid not in {0, self.pid}:
                pid, status = os.waitpid(asked, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return Ended(EXIT_OWN_FAILURE)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            return Stopped()
        return ended(status)

    def has_news(self) -> bool:
        """Return whether poll() would have news: it went on, stopped or ended, waitid(2)."""
        kinds = os.WCONTINUED | os.WSTOPPED | os.WEXITED
        return os.waitid(os.P_PID, self.pid, kinds | os.WNOHANG | os.WNOWAIT) is not None


def ended(status: int) -> Ended:
    """Return what a status of wait(2) says of a child that has ended."""
    code = os.waitstatus_to_exitcode(status)
    return Ended(code) if code >= 0 else Ended(_SIGNAL_STATUS - code, -code)


def is_first_process() -> bool:
    """Return whether all that is in our PID namespace ends with us, and its orphans are ours."""
    return os.getpid() == 1


def remember_how_children_end() -> None:
    """Where whoever started us ignores SIGCHLD, the kernel would forget how the command ends."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
