"""The socket file of a relay for sealed containers: whose it is, who may connect, who replaces it.

It is made for its owner alone, in a folder that is the owner's own. What stands at its path already
is replaced only if it is a socket of the owner's at which nobody listens any more. A container that
is given the folder, and not the file alone, can put another file there; what is at the path
afterwards serves, or refuses, that container alone.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from netns.errors import KeeplineError

_BACKLOG: Final = 128
_CREDENTIALS: Final = struct.Struct("=iII")
"""struct ucred: pid, uid, gid."""
_ROOT: Final = 0
_OTHERS_WRITE: Final = 0o022


class Peer(NamedTuple):
    """Who has connected, SO_PEERCRED of unix(7)."""

    pid: int
    """As it is seen here; 0 if it is not."""
    uid: int

    @classmethod
    def of(cls, sock: socket.socket) -> "Peer":
        """Return the peer of a connection; raises OSError."""
        answer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _gid = _CREDENTIALS.unpack(answer)
        return cls(pid, uid)

    def require(self) -> None:
        """Raise KeeplineError if it is not of our own user, or root, who could become that."""
        if self.uid not in (_ROOT, os.geteuid()):
            raise KeeplineError(
                f"the relay is of user {os.geteuid()}, and this is user {self.uid}",
                "run as that user, as podman's --userns=keep-id has it, or as root",
            )


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen at a path until the block ends, and remove the file then; raises KeeplineError."""
    _require_folder(path)
    _require_nobody(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    with sock:
        _bind(sock, path)
        own = path.lstat()
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(path.lstat(), own):  # else it is another relay's
                    path.unlink()


def _bind(sock: socket.socket, path: Path) -> None:
    """Listen, and then take the path: whoever finds the file is heard. Raises KeeplineError."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    before = os.umask(0o177)
    try:
        sock.bind(str(new))
        sock.listen(_BACKLOG)
        new.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        cause = "the path is too long" if error.errno is None else str(error.strerror)
        raise _cannot(path, cause, "name a shorter path, or another folder") from error
    finally:
        os.umask(before)


def _require_folder(path: Path) -> None:
    """Raise KeeplineError if others can put another socket in the place of this one."""
    try:
        status = path.parent.stat()
    except OSError as error:
        raise _cannot(path, f"{path.parent}: {error.strerror}", _make(path)) from error
    if not stat.S_ISDIR(status.st_mode):
        raise _cannot(path, f"{path.parent} is no folder", _make(path))
    if status.st_uid not in (_ROOT, os.geteuid()):
        raise _cannot(path, f"{path.parent} belongs to user {status.st_uid}", _make(path))
    if status.st_mode & _OTHERS_WRITE:
        raise _cannot(path, f"others can write to {path.parent}", _make(path))


def _make(path: Path) -> str:
    return f"name a socket in a folder of your own: mkdir -m 700 DIR; --socket DIR/{path.name}"


def _require_nobody(path: Path) -> None:
    """Raise KeeplineError if anything is there but a socket at which nobody listens."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot(path, str(error.strerror), _make(path)) from error
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        raise _cannot(path, "something else is there", "name another path, or remove what is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as asking:
        number = asking.connect_ex(str(path))
    if number not in (errno.ECONNREFUSED, errno.ENOENT):
        raise _cannot(path, "another relay listens there", "name another path, or end that one")


def _cannot(path: Path, cause: str, next_step: str) -> KeeplineError:
    return KeeplineError(f"--socket {path}: {cause}", next_step)
