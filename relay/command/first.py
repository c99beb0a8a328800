"""What is put right at the first line: closed standard descriptors, and what Ctrl-C does.

Nothing is opened before, and nothing else is imported: each import before is a moment in which
Ctrl-C prints a traceback of the interpreter's. So signal's built-in part is used, without enum.
"""

import _signal  # type: ignore[import-not-found] # typeshed knows signal alone
import os


def prepare() -> None:
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
