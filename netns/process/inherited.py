"""Descriptors that the caller passes on: the command gets them, but for those that lead outside.

What can be inherited at the start is the caller's: Python opens nothing so (PEP 446). A make
passes its jobserver on like this, a shell `<(...)` and `9>lock`, Node its IPC, systemd a listening
socket. A descriptor of the host's network is a way past the relay, and is closed, connected or not:
connect(2) to AF_UNSPEC takes a socket's peer away, and the next connect() chooses another. As a
standard stream it is refused: the command could not do its work with another file in its place.
Whatever else the caller passes is meant for the command, as is a UNIX socket, whoever is at its
other end.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from netns import syscalls
from netns.errors import SandboxError
from netns.process.command import changed, value_of

_FOLDER: Final = "/proc/self/fd"
_STREAMS: Final = ("stdin", "stdout", "stderr")
_STANDARD: Final = len(_STREAMS) - 1
"""The standard streams are up to here: the command has these, open or closed."""

_PIPES_BETWEEN: Final = "put pipes between: sh -c 'cat | keepline run -- COMMAND 2>&1 | cat'"

_TUN: Final = (10, 200)
"""Major and minor number of /dev/net/tun, whose packets come out where it was opened."""

_OUTSIDE: Final = {
    "anon_inode:[io_uring]": "an io_uring",
    "anon_inode:bpf": "a BPF object",
    "/dev/tap": "a tap device",
    "/dev/vhost-": "a vhost device",
}
"""Beginnings of what /proc/self/fd shows. An io_uring holds files, and its kernel thread opens
sockets where it was made."""


_NS_GET_NSTYPE: Final = 0xB703  # ioctl_nsfs(2)
_NAMESPACES: Final = {
    syscalls.CLONE_NEWNET: "a network namespace",
    syscalls.CLONE_NEWUSER: "a user namespace",
}


class Inherited(NamedTuple):
    """What this process was started with."""

    passed_on: Sequence[int] = ()
    withheld: Sequence[str] = ()
    """What was closed, for people."""
    has_folders: bool = False
    """Whether the command gets a folder, or a descriptor of open(2)'s O_PATH."""

    def close(self) -> None:
        """Close our copies: a pipe ends, and a lock is free, once nobody has a copy any more."""
        for fd in self.passed_on:
            os.close(fd)

    @staticmethod
    def release_streams() -> None:
        """Put /dev/null in the place of our stdin and stdout, which the command has.

        Whoever writes to the command is to be told when it reads no more, and who reads from it
        when it has closed its stdout. What the caller had closed is left alone: another file may be
        there.
        """
        null = os.open(os.devnull, os.O_RDWR)
        for fd, stream in enumerate((sys.stdin, sys.stdout)):
            if stream is not None:
                os.dup2(null, fd)
        os.close(null)


def take() -> Inherited:
    """Look at what was inherited, and close what leads outside; to be called before any fork.

    Raises SandboxError if that is a standard stream.
    """
    for fd, name in enumerate(_STREAMS):
        with contextlib.suppress(OSError):  # the caller has closed it
            if (outside := _outside(fd)) is not None:
                cause = f"{name} is {outside}, a way past the relay"
                raise SandboxError(cause, _PIPES_BETWEEN)
    passed_on, withheld = [], []
    for name in os.listdir(_FOLDER):  # noqa: PTH208 - iterdir would hold one more open
        fd = int(name)
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            if fd <= _STANDARD or not os.get_inheritable(fd):
                continue
            outside = _outside(fd)
            if outside is None:
                passed_on.append(fd)
            else:
                os.close(fd)
                withheld.append(f"{fd}, {outside}")
    return Inherited(passed_on, withheld, any(map(_is_folder, (*range(len(_STREAMS)), *passed_on))))


def _is_folder(fd: int) -> bool:
    with contextlib.suppress(OSError):  # a stream that the caller has closed
        is_path = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH
        return bool(is_path) or stat.S_ISDIR(os.fstat(fd).st_mode)
    return False


def _outside(fd: int) -> str | None:
    """Return what a descriptor is, if it leads to the host's network."""
    status = os.fstat(fd)
    if stat.S_ISSOCK(status.st_mode):
        return _socket(fd)
    if (os.major(status.st_rdev), os.minor(status.st_rdev)) == _TUN:
        return "/dev/net/tun"
    if status.st_dev == Path("/proc/self/ns/net").stat().st_dev:
        return _NAMESPACES.get(fcntl.ioctl(fd, _NS_GET_NSTYPE))
    shown = str(Path(_FOLDER, str(fd)).readlink())
    return next((what for begins, what in _OUTSIDE.items() if shown.startswith(begins)), None)


def _socket(fd: int) -> str | None:
    """Return what a socket is, None if it is a UNIX socket."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.family == socket.AF_UNIX:
            return None
        family = getattr(sock.family, "name", f"family {int(sock.family)}")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            for ask, where in ((sock.getpeername, "to"), (sock.getsockname, "at")):
                with contextlib.suppress(OSError):  # it is not connected
                    address, port, *_ = ask()
                    return f"a socket of {family} {where} {address} port {port}"
        return f"a socket of {family}"


def pass_on(passed_on: Collection[int]) -> None:
    """Have exec keep these and the standard streams open, and nothing else; raises OSError."""
    for name in os.listdir(_FOLDER):  # noqa: PTH208 - iterdir would hold one more open
        if int(name) > _STANDARD and int(name) not in passed_on:
            try:
                os.set_inheritable(int(name), False)  # noqa: FBT003 - positional only
                stays = os.get_inheritable(int(name))
            except OSError as error:
                if error.errno != errno.EBADF:  # the listing's own descriptor is closed by now
                    raise
            else:
                if stays:
                    raise OSError(errno.EPERM, f"descriptor {name} stays open")


def readdressed(environment: Sequence[bytes], pid: int) -> list[bytes]:
    """Have what systemd passed on to process `pid` be for this one, sd_listen_fds(3)."""
    if value_of(environment, "LISTEN_PID") != str(pid):
        return list(environment)
    return changed(environment, {"LISTEN_PID": str(os.getpid()), "LISTEN_PIDFDID": None})
