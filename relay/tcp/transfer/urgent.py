"""TCP's urgent byte, RFC 6093 (telnet, rlogin and FTP use it), passed on as what it is.

With SO_OOBINLINE it stands in the stream, and no read goes across it: one ends before it, and the
next begins with it, which SIOCATMARK tells. That is asked before each read, but only once any
connection of this process has had urgent data: the kernel says so by SIGURG, to whom F_SETOWN
names, when the first of them arrives, before it can be read.

A race: SIGURG may arrive when a read has been decided on and has not begun. One that arrives during
the call has the kernel return EAGAIN at the mark (tcp_recvmsg looks for a pending signal there).
What is left are the instructions before the call, once in a process: then the byte is passed on as
any other.
"""

import fcntl
import os
import signal
import socket
import struct
from types import FrameType
from typing import Final

_SIOCATMARK: Final = 0x8905  # asm-generic/sockios.h


class Seen:
    """Whether any connection of this process has had urgent data."""

    yet = False


def _note(number: int, _frame: FrameType | None) -> None:
    """Note the first; it, and all others, are held from now on, as all signals are.

    A handler does not know whether the kernel or a process has sent it. So it is sent to this
    thread again, for who reads what is held, and passes it on. A thread that was started meanwhile
    does not hold it, and may bring the others here.
    """
    if not Seen.yet:
        Seen.yet = True
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        signal.raise_signal(number)


def listen() -> None:
    """Hear of urgent data from now on, though other signals are held; in the main thread."""
    signal.signal(signal.SIGURG, _note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGURG})


def watch(sock: socket.socket) -> None:
    """Have the kernel tell of urgent data of a socket, and keep them in the stream.

    It is done for every connection: suppress() would take longer than a call.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        fcntl.fcntl(sock.fileno(), fcntl.F_SETOWN, os.getpid())
    except OSError:
        pass  # then they are lost, as they are to who does not look


def is_next(sock: socket.socket) -> bool:
    """Return whether the next byte of a socket is an urgent one, sockatmark(3); raises OSError."""
    (mark,) = struct.unpack("i", fcntl.ioctl(sock, _SIOCATMARK, b"\0" * 4))
    return bool(mark)
