"""Terminals: the session's own, and others of the user's."""

from typing import Final

from tests.escape import witnesses
from tests.escape.row import Row, everywhere, until_strict
from tests.escape.stages.terminals import terminal

_LEGACY: Final = "a kernel that allows TIOCSTI, sysctl dev.tty.legacy_tiocsti"
_OWN: Final = terminal(own=True)

ROWS: Final = [
    Row(
        way="typing into the own terminal, TIOCSTI, also with more in the upper half",
        program="calls.type_into",
        witness=witnesses.on_terminal,
        at=everywhere("seccomp: EPERM"),
        stage=_OWN,
        may_lack=_LEGACY,
    ),
    Row(
        way="the same by int 0x80",
        program="calls.type_by_other_door",
        witness=witnesses.on_terminal,
        at=everywhere("seccomp: i386's `ioctl` is looked at too"),
        stage=_OWN,
        may_lack=_LEGACY,
    ),
    Row(
        way="pasting into a console, TIOCLINUX",
        program="calls.paste_into",
        witness=witnesses.answered("ENOTTY"),
        at=everywhere("seccomp: EPERM"),
        stage=_OWN,
    ),
    Row(
        way="another terminal of the user's: writing to it, reading what is typed",
        program="calls.other_terminal",
        witness=witnesses.on_other_terminal,
        at=until_strict("terminals", "other terminals are out of reach"),
        stage=terminal(own=False),
    ),
]
