"""The processes of a network namespace, or of a parent, found by what proc(5) shows of each."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import Final, NamedTuple

_SIOCGSKNS: Final = 0x894C  # linux/sockios.h
_PROC: Final = Path("/proc")
_PARENT: Final = 1
"""Place of the parent among the fields after the name, proc_pid_stat(5)."""


class Process(NamedTuple):
    """A process, as people know it."""

    pid: int
    name: str

    def __str__(self) -> str:
        """Return its name, and its pid in brackets."""
        return f"{self.name} ({self.pid})"


def members(sock: socket.socket) -> list[Process]:
    """Return the processes of the network namespace in which a socket was made; raises OSError.

    One that has ended and was not waited for has no namespace any more. What is another user's, as
    after a sudo outside, cannot be seen.
    """
    namespace = fcntl.ioctl(sock, _SIOCGSKNS)
    try:
        inode = os.fstat(namespace).st_ino
    finally:
        os.close(namespace)
    found = []
    for name in os.listdir(_PROC):  # noqa: PTH208 - Path objects would take longer than the rest
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
                if os.stat(f"{_PROC}/{name}/ns/net").st_ino == inode:  # noqa: PTH116 - the same
                    found.append(Process(int(name), (_PROC / name / "comm").read_text().strip()))
    return found


def children(parent: int) -> list[int]:
    """Return the processes whose parent a process is, those that nobody has waited for too."""
    found = []
    for name in os.listdir(_PROC):  # noqa: PTH208 - as above
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, and was waited for
                fields = (_PROC / name / "stat").read_text().rpartition(") ")[2].split()
                if int(fields[_PARENT]) == parent:
                    found.append(int(name))
    return found
