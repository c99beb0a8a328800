"""The session keyring: a new one in the caller's place, session-keyring(7).

The kernel looks for keys there on its own, for file systems and networks, whoever asks. The user
keyrings belong to a user namespace, and so are new already; the calls for keys are refused.
"""

import errno
import os
import sys
from typing import Final

from netns import syscalls
from netns.process.filter.refusals import ARCHITECTURES

_JOIN_SESSION_KEYRING: Final = 1
_ABSENT: Final = frozenset({errno.ENOSYS, errno.EPERM})
"""The kernel knows no keys, or a filter keeps all of them out of reach."""


def join_new() -> None:
    """Leave the caller's session keyring for a new one, keyctl(2); raises OSError."""
    number = _number()
    if number is None:
        return
    try:
        joined = syscalls.syscall(number, _JOIN_SESSION_KEYRING)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return
    if not joined:  # a filter above has said so, and no keyring has this number
        raise OSError(errno.EPERM, "keyctl has joined no keyring")


def _number() -> int | None:
    """Return that of keyctl; None on a machine that the filter does not know, and so refuses."""
    machine = os.uname().machine
    if sys.maxsize < 1 << 32:
        machine = "arm" if machine.startswith(("arm", "aarch64")) else "i386"
    known = {each.name: each.numbers["keyctl"] for each in ARCHITECTURES}
    return known.get(machine)
