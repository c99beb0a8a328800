"""What the kernel tells of another process: its memory, its descriptors, its sockets' options."""

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PIDFD_GETFD: Final = 438  # asm-generic/unistd.h; Python's os has no name for it
_KIB: Final = 1024

_libc = ctypes.CDLL(None, use_errno=True)


def resident_memory(pid: int) -> int:
    """Count the bytes of memory that the process has in use, Rss of proc_pid_smaps_rollup(5)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Rss:")[1].split()[0]) * _KIB


def descriptors(pid: int) -> dict[int, str]:
    """Return what each descriptor of the process stands for."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            found[int(path.name)] = str(path.readlink())
    return found


@contextmanager
def tcp_sockets_of(pid: int) -> Iterator[list[socket.socket]]:
    """Borrow the process's TCP sockets over IPv4, by pidfd_getfd(2)."""
    pidfd = os.pidfd_open(pid)
    sockets = [borrowed(pidfd, fd) for fd, what in descriptors(pid).items() if is_socket(what)]
    try:
        yield [sock for sock in sockets if is_tcp(sock)]
    finally:
        os.close(pidfd)
        for sock in sockets:
            sock.close()


def borrowed(pidfd: int, fd: int) -> socket.socket:
    """Return a copy of one socket of a process, pidfd_getfd(2)."""
    copy = _libc.syscall(_PIDFD_GETFD, pidfd, fd, 0)
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
    return socket.socket(fileno=copy)


def is_socket(what: str) -> bool:
    """Return whether what a descriptor stands for, as descriptors() has it, is a socket."""
    return what.startswith("socket:")


def is_tcp(sock: socket.socket) -> bool:
    """Return whether a socket is TCP's over IPv4."""
    return (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
