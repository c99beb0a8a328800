"""The command where there is no namespace for it: a child of keepline's, with other variables."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from netns import syscalls
from netns.errors import EXIT_OWN_FAILURE
from netns.process import command, timers
from netns.process.inherited import Inherited
from netns.process.waited import Waited, remember_how_children_end

_GO: Final = b"g"
_FOLDER: Final = Path("/dev/fd")


class Process(Waited):
    """The command, from the fork to its end."""

    init = 0

    def __init__(self, argv: Sequence[str]) -> None:
        """Fork; the child waits for release(), and ends without it.

        The caller has one thread, and holds no signals back yet.
        """
        asked, self._pipe = os.pipe()
        inherited = Inherited(_inherited())
        parent, callers_timers = os.getpid(), timers.take()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._pipe)
            timers.put(callers_timers)
            _become(argv, asked, parent)
        os.close(asked)
        remember_how_children_end()
        inherited.close()
        inherited.release_streams()

    def release(self, changes: command.Changes) -> None:
        """Let the command start, with these changes of its environment."""
        entries = command.changed(command.callers_environment(), changes)
        with contextlib.suppress(BrokenPipeError), open(self._pipe, "wb") as pipe:  # noqa: PTH123
            pipe.write(_GO + b"\0".join(entries))

    def leave_orphans(self) -> None:
        """Do nothing: what it has left behind goes on by itself."""


def _inherited() -> list[int]:
    """Return the descriptors that the caller has passed on; Python opens none so, PEP 446."""
    found = []
    for number in [int(path.name) for path in _FOLDER.iterdir()]:
        with contextlib.suppress(OSError):  # of this very list
            if number > 2 and os.get_inheritable(number):
                found.append(number)
    return found


def _become(argv: Sequence[str], pipe: int, parent: int) -> NoReturn:
    """Wait until the command may start, and become it; never returns."""
    try:
        with open(pipe, "rb") as file:
            said = file.read()
        if not said.startswith(_GO):
            os._exit(EXIT_OWN_FAILURE)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores both
        with contextlib.suppress(OSError, AttributeError):  # Linux's alone
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != parent:
            os._exit(EXIT_OWN_FAILURE)
        command.become(argv, said[len(_GO) :].split(b"\0"))
    finally:
        os._exit(EXIT_OWN_FAILURE)
