"""What is put right at the first line: closed standard descriptors, and signals that would be lost.

Nothing is opened before, and nothing else is imported: each import before is a moment in which
Ctrl-C prints a traceback of the interpreter's. So signal's built-in part is used, without enum.
"""

import _signal  # type: ignore[import-not-found] # typeshed knows signal alone
import os
import sys

_SERVING = (["proxy"], ["relay"], ["sidecar", "relay"])
"""Words of the command line that have keepline serve until it is told to end."""


def prepare() -> None:
    """Put all of it right."""
    _fill_descriptors()
    if os.getpid() == 1:
        _hold_ending_signals(sys.argv[1:])


def _hold_ending_signals(words: list[str]) -> None:
    """Have the first process of a container that serves hear what asks it to end.

    The kernel drops a signal that such a process has neither a handler for nor blocked,
    pid_namespaces(7): one that came before the relay reads signals would be lost. Blocked it waits.
    What comes while the interpreter starts is lost all the same, and whoever sent it kills in the
    end. (`run` has signals of its own to hold, netns/process/timers.py.)
    """
    if any(words[: len(each)] == each for each in _SERVING):
        held = {_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP}
        _signal.pthread_sigmask(_signal.SIG_BLOCK, held)


def _fill_descriptors() -> None:
    """Fill standard descriptors that the caller has closed; let Ctrl-C end the process as bare.

    A socket or a file of ours that landed on one of them would get what the command, or we
    ourselves, write there. What fills them is closed at exec, so the command finds them closed.
    Without /dev/null they stay as they are.

    The interpreter's own handler raises KeyboardInterrupt wherever the process is. The command is
    to inherit the default action besides; where the caller ignores SIGINT, so does it.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            try:
                os.open(os.devnull, os.O_RDWR)  # it gets the lowest that is free: this one
            except OSError:
                return
