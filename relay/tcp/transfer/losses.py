"""How a socket was lost, and when another may be reset because of it."""

import errno
import fcntl
import os
import socket
import struct
import termios
from typing import Final

import trio

from relay.record.events import How
from relay.sockets import TCP_CLOSE, TCP_INFO, pending_error, state

_FIRST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.25

_DISCARD: Final = 1 << 20
_DISCARDS: Final = 64


def lost(sock: socket.socket) -> OSError:
    """Return how a socket was lost: its SO_ERROR, or a reset where that was read before."""
    number = pending_error(sock) or errno.ECONNRESET
    return OSError(number, os.strerror(number))


def how(error: OSError) -> How:
    """Return what kind of loss an error is."""
    match error:
        case ConnectionResetError() | BrokenPipeError():
            return "reset"
        case TimeoutError():
            return "timeout"
        case _:
            return "unreachable"


async def drained(sock: socket.socket) -> None:
    """Wait until the peer's kernel has acknowledged all data: a reset would discard the rest.

    There is no event for it, so the queue's length is read (SIOCOUTQ, tcp(7)), ever more rarely.
    """
    wait = _FIRST_WAIT
    while unacknowledged(sock) and state(sock) != TCP_CLOSE:
        await trio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


def discard(sock: socket.socket) -> None:
    """Read and forget what has come, a receive buffer's worth at most; raises OSError."""
    for _ in range(_DISCARDS):
        if not sock.recv(_DISCARD, socket.MSG_TRUNC):
            return


def unread(sock: socket.socket) -> int:
    """Return how many bytes have come that nobody has read: SIOCINQ, tcp(7)."""
    (length,) = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))
    return int(length)


def unacknowledged(sock: socket.socket) -> int:
    """Return how many sent bytes the peer has not acknowledged; a FIN counts as one.

    It is Linux that tells (SIOCOUTQ), and elsewhere nobody is asked: none.
    """
    if TCP_INFO is None:
        return 0
    (length,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
    return int(length)
