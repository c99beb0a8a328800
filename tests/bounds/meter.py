"""What the kernel tells of a relay: its processor seconds, its memory, its descriptors."""

import os
import socket
import struct
from pathlib import Path
from typing import Final

from tests.support.machine.procfs import borrowed, descriptors, is_socket, is_tcp

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MIB: Final = 1024 * 1024
_SO_MEMINFO: Final = 55  # asm-generic/socket.h
_KINDS: Final = struct.Struct("=9I")
"""SK_MEMINFO_VARS of linux/sock_diag.h: the first, the third and the sixth are in use."""


class Meter:
    """Measures one process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def processor(self) -> float:
        """Return the seconds it has computed, utime and stime of proc_pid_stat(5)."""
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> float:
        """Return the MiB that are resident."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """Return the most MiB that were ever resident."""
        return self._status("VmHWM")

    def descriptors(self) -> int:
        """Return how many are open."""
        return len(list(Path(f"/proc/{self._pid}/fd").iterdir()))

    def buffers(self) -> float:
        """Return the MiB that the kernel keeps for its TCP sockets: SO_MEMINFO, sock_diag(7)."""
        pidfd = os.pidfd_open(self._pid)
        try:
            each = descriptors(self._pid).items()
            return sum(_kept_for(pidfd, fd) for fd, what in each if is_socket(what)) / _MIB
        finally:
            os.close(pidfd)

    def _status(self, key: str) -> float:
        return int(self._read("status").split(f"{key}:")[1].split()[0]) / 1024

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self._pid}/{name}").read_text()


def _kept_for(pidfd: int, fd: int) -> int:
    """Return the bytes for a socket, 0 if it is none of TCP, or is closed meanwhile."""
    try:
        sock = borrowed(pidfd, fd)
    except OSError:
        return 0
    with sock:
        if not is_tcp(sock):
            return 0
        told = _KINDS.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _KINDS.size))
        return int(told[0] + told[2] + told[5])
