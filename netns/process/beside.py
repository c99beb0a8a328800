"""What a process that stands beside the command keeps: few descriptors, and a name of its own."""

import ctypes
import os
from pathlib import Path
from typing import Final

from netns import syscalls

_ARG_START: Final = 45
"""Place of arg_start and arg_end among the fields after the name, proc_pid_stat(5)."""


def rename(name: bytes) -> None:
    """Take another name in ps(1): comm, and the arguments, where they stand in memory.

    Raises OSError, ValueError or IndexError where /proc does not show them.
    """
    text = ctypes.create_string_buffer(name)
    syscalls.prctl(syscalls.PR_SET_NAME, ctypes.addressof(text))
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    start, end = map(int, fields[_ARG_START : _ARG_START + 2])
    if start:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, name, min(len(name), end - start - 1))


def keep_only(*kept: int) -> None:
    """Close all other descriptors: whoever waits for the end of a pipe must not wait for us."""
    low = 0
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, max(low, os.sysconf("SC_OPEN_MAX")))
