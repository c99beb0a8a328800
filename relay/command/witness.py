"""A small process in our process group, which shows what was sent to the whole group.

A signal to the group reaches the command without us, one to keepline alone does not, and siginfo
is the same for both: kill(2) says who has sent it, not to whom. The witness gets the first and not
the second. So it does with service managers that signal each process of a control group.

It holds all signals back and does nothing; it ends with keepline. Its name is not keepline's, so
that `pkill -f keepline` finds keepline alone.
"""

import contextlib
import os
import select
import signal
import struct
from typing import Final, NoReturn

from netns import syscalls
from netns.process import beside
from relay.command.signals import catchable

NAME: Final = b"signal-witness"

_SEEN: Final = struct.Struct("ii")
_END: Final = _SEEN.pack(0, 0)
_ROOM: Final = 4096
_PATIENCE: Final = 0.5
"""Seconds for an answer: it comes later only on an overloaded machine."""


class Witness:
    """The process; without one, nothing is known."""

    def __init__(self) -> None:
        """Fork it, or go without one. The caller has one thread."""
        self.pid = 0
        self._asks = self._answers = -1
        with contextlib.suppress(OSError):
            asked, self._asks = os.pipe()
            self._answers, answers = os.pipe()
            self.pid = os.fork()
            if self.pid == 0:
                _stand(asked, answers)
            os.close(asked)
            os.close(answers)

    def seen(self) -> set[tuple[int, int]] | None:
        """Return number and sender of the signals that it got since the last call.

        None if there is no witness, or no longer.
        """
        if not self.pid or self._asks == -1:
            return None
        try:
            data = self._answer()
        except (OSError, EOFError):
            self.end()
            return None
        return set(_SEEN.iter_unpack(data))

    def _answer(self) -> bytes:
        """Ask; raises OSError, or EOFError if it is gone.

        It may have been stopped with the group (SIGSTOP) and not continued with it. It is continued
        then, and not before: SIGCONT takes away the stop signals that it holds, signal(7).
        """
        os.write(self._asks, b"?")
        data = b""
        while not data.endswith(_END):
            if not select.select([self._answers], [], [], _PATIENCE)[0]:
                os.kill(self.pid, signal.SIGCONT)
                if not select.select([self._answers], [], [], _PATIENCE)[0]:
                    raise TimeoutError
            piece = os.read(self._answers, _ROOM)
            if not piece:
                raise EOFError
            data += piece
        return data

    def dismiss(self) -> None:
        """Let it end, without waiting for that."""
        if self.pid and self._asks != -1:
            ours, self._asks, self._answers = (self._asks, self._answers), -1, -1
            for fd in ours:
                with contextlib.suppress(OSError):  # it has closed all the same, close(2)
                    os.close(fd)
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let it end; what waits for our children finds it no more."""
        if self.pid:
            self.dismiss()
            with contextlib.suppress(OSError):  # whoever waits for orphans has waited for it too
                os.waitpid(self.pid, 0)
            self.pid = 0


def _stand(asked: int, answers: int) -> NoReturn:
    """Be the witness, until keepline ends or needs none any more."""
    try:
        wanted = catchable()
        signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        beside.keep_only(asked, answers)
        with contextlib.suppress(OSError, ValueError, IndexError):
            beside.rename(NAME)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # as keepline itself, session.py
        while os.read(asked, 1):
            told = b""
            while (info := signal.sigtimedwait(wanted, 0)) is not None:
                told += _SEEN.pack(info.si_signo, info.si_pid)
            os.write(answers, told + _END)
    finally:
        os._exit(0)
