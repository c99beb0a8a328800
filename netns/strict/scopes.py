"""Landlock's scopes: no signal leaves the sandbox, landlock(7).

A PID namespace hides the host's processes, but not the process group: kill(0, ...) reaches all its
members, and the relay and whoever shares a pipeline with it are among them. The group has to be the
same, for it is what the terminal's keys are for. Abstract UNIX sockets belong to a network
namespace already.

A ruleset without any right to files leaves all mounts and files alone, so that nested sandboxes
work.
"""

import ctypes
import errno
import os
import socket
import struct
from typing import Final

from netns import syscalls

# The numbers of these calls are the same on all machines but Alpha and MIPS.
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1

_ABSTRACT_UNIX_SOCKET: Final = 1
_SIGNAL: Final = 2
_ABI: Final = 6
"""The first with scopes, Linux 6.12."""

_ATTRIBUTES: Final = struct.Struct("=QQQ")
"""struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped."""

LACKING: Final = (
    "signals to its own process group (kill 0) reach keepline and what shares a pipeline with it:"
    " Linux 6.12 with Landlock keeps them in"
)


def are_there() -> bool:
    """Return whether this kernel has them."""
    try:
        return syscalls.syscall(_CREATE_RULESET, 0, 0, _VERSION) >= _ABI
    except OSError:
        return False


def restrict() -> None:
    """Keep signals of this process, and of all that come from it, among them; raises OSError.

    The caller has no_new_privs or CAP_SYS_ADMIN. What shows that the scopes hold is a socket of
    before, to which nothing in them may connect.
    """
    attributes = ctypes.create_string_buffer(
        _ATTRIBUTES.pack(0, 0, _ABSTRACT_UNIX_SOCKET | _SIGNAL), _ATTRIBUTES.size
    )
    ruleset = syscalls.syscall(_CREATE_RULESET, ctypes.addressof(attributes), _ATTRIBUTES.size)
    with socket.socket(socket.AF_UNIX) as before, socket.socket(socket.AF_UNIX) as after:
        before.bind("")  # unix(7), autobind: an abstract name that is free
        before.listen()
        try:
            syscalls.syscall(_RESTRICT_SELF, ruleset)
        finally:
            os.close(ruleset)
        try:
            after.connect(before.getsockname())
        except PermissionError:
            return
    raise OSError(errno.EPERM, "landlock_restrict_self has changed nothing")
