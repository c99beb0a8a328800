"""Pipes through which the kernel moves bulk data from socket to socket, splice(2), in turns.

A direction borrows one for a turn. An ordinary user may have 64 MiB of pipe buffers, pipe(7);
whoever gets none copies instead.
"""

import fcntl
import os
import socket
from typing import Final

_CAPACITY: Final = 1 << 20
"""What /proc/sys/fs/pipe-max-size allows everyone by default."""

_IS_POSSIBLE: Final = all(hasattr(os, name) for name in ("splice", "pipe2", "SPLICE_F_MOVE"))
"""Linux alone has it; without, and where Python does not know of it, all is copied."""

_FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE if _IS_POSSIBLE else 0

_free: list["Pipe"] = []


class Pipe:
    """A pipe, whose capacity is raised."""

    def __init__(self, out: int, into: int) -> None:
        """Take both ends over."""
        self._out = out
        self._into = into
        self.inside = 0
        """Bytes that went in and have not come out."""

    def fill(self, source: socket.socket) -> int:
        """Take what the source has, into an empty pipe; 0 at its end. Raises OSError."""
        self.inside = os.splice(source.fileno(), self._into, _CAPACITY, flags=_FLAGS)
        return self.inside

    def empty(self, sink: socket.socket) -> None:
        """Move as much to the sink as it takes; raises OSError."""
        self.inside -= os.splice(self._out, sink.fileno(), self.inside, flags=_FLAGS)

    def release(self) -> None:
        """Return it to the others; one that still holds something is closed, and that is lost."""
        if self.inside == 0:
            _free.append(self)
        else:
            os.close(self._out)
            os.close(self._into)


def borrow() -> Pipe | None:
    """Return an empty pipe, or None if there can be no other."""
    if _free:
        return _free.pop()
    if not _IS_POSSIBLE:
        return None
    try:
        out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # no descriptors left
    pipe = Pipe(out, into)
    try:
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, _CAPACITY)
    except OSError:  # EPERM: the user has all the buffers that one may have
        pipe.inside = -1
        pipe.release()
        return None
    return pipe


def is_plain(sock: socket.socket) -> bool:
    """Return whether what is read from a socket is what the kernel has: a pipe reads that alone."""
    return type(sock) is socket.socket
