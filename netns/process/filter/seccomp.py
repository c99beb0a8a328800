"""Installs the filter of system calls, which no exec takes off again, seccomp(2).

An ordinary user's command gets no_new_privs with it, as the kernel demands; without that, no file
capability and no setuid program would give it anything either, for its bounding set is empty. Root
may install it by a capability over its own user namespace, and must do so: under no_new_privs
setuid programs and file capabilities would not work for root, sudo and ping among them.
"""

import contextlib
import ctypes
import errno
import os
import sys
from typing import Final

from netns import syscalls
from netns.errors import SandboxError
from netns.hints import host_facts, refused_filter
from netns.process.filter import refusals
from netns.process.filter.bpf import INSTRUCTION

_SET_MODE_FILTER: Final = 1
_SPEC_ALLOW: Final = 4
"""Leave speculation as it is: before Linux 5.16 a filter makes every program slower without it."""

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "loongarch64": 277}
"""The number of seccomp(2), by the machine; elsewhere prctl(2) does, without flags."""


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(*, is_root: bool, strict: bool) -> None:
    """Have this process, and all that come from it, refused what refusals.py lists.

    Where `is_root`, the caller holds CAP_SYS_ADMIN in its user namespace. With `strict`, keys are
    refused too: what joins or makes a keyring comes before. Raises SandboxError if the kernel has
    no such filters or refuses this one, and if a refused call is not refused afterwards.
    """
    machine = os.uname().machine
    if not refusals.knows(machine):
        raise SandboxError(
            f"filter of system calls: none is known for {machine}",
            "run keepline on x86_64 or aarch64: elsewhere a way past the relay could stay open",
        )
    try:
        if not is_root:
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        _load(refusals.program(strict=strict), machine)
    except OSError as error:
        cause = f"filter of system calls: {error.strerror or error}"
        raise SandboxError(cause, refused_filter(error.errno, host_facts())) from error
    _try_it()


def _load(program: bytes, machine: str) -> None:
    """Give the kernel a program; raises OSError."""
    count = len(program) // INSTRUCTION.size
    header = _Program(count, program)
    if sys.maxsize > 2**32 and machine in _SECCOMP:
        # Before Linux 4.17 there is no such flag; and a container may allow prctl(2) alone.
        with contextlib.suppress(OSError):
            syscalls.syscall(
                _SECCOMP[machine], _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.addressof(header)
            )
            return
    syscalls.prctl(syscalls.PR_SET_SECCOMP, syscalls.SECCOMP_MODE_FILTER, ctypes.addressof(header))


def _try_it() -> None:
    """See that the filter is in force: the call says EPERM, and not that there is no such file."""
    try:
        syscalls.ioctl(-1, refusals.TIOCSTI)
    except OSError as error:
        if error.errno == errno.EPERM:
            return
    raise SandboxError(
        "filter of system calls: it was taken, and refuses nothing",
        refused_filter(errno.EPERM, host_facts()),
    )
