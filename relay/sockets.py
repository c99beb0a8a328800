"""What is asked of a TCP socket in both directions: its state, its ends, a connect, a reset.

The namespace-less form needs no more than sockets, so it is to run on other kernels than Linux too:
what a kernel lacks is named here, and whoever would use it does without.
"""

import errno
import socket
import struct
from typing import Final

import trio

from relay.addresses import Endpoint

TCP_ESTABLISHED: Final = 1
TCP_SYN_SENT: Final = 2
TCP_FIN_WAIT1: Final = 4
TCP_FIN_WAIT2: Final = 5
TCP_TIME_WAIT: Final = 6
TCP_CLOSE: Final = 7
TCP_CLOSE_WAIT: Final = 8
TCP_LAST_ACK: Final = 9
TCP_LISTEN: Final = 10
TCP_CLOSING: Final = 11
"""Some states of include/net/tcp_states.h; CLOSE_WAIT: the peer's FIN has arrived."""

ENDED_BY_PEER: Final = frozenset({TCP_CLOSE, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING})
"""States of a socket whose peer's FIN, or RST, has arrived."""

CLOSED_BY_ITS_SIDE: Final = frozenset({TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_CLOSING})
"""States of a socket whose own side has closed, with data or a FIN not acknowledged yet."""

PEER_GONE: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT})
"""What a call fails with once the peer is gone; all else is the kernel's refusal."""

TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
"""tcp(7): the state of a connection, and how long it has been silent. None: Linux alone tells."""

HAS_USER_TIMEOUT: Final = hasattr(socket, "TCP_USER_TIMEOUT")
"""Whether the kernel can be told when a connect, or a silent connection, is to end; tcp(7)."""

HAS_ERROR_QUEUE: Final = hasattr(socket, "MSG_ERRQUEUE")
"""Whether ICMP errors can be read with their codes, IP_RECVERR of ip(7)."""

_STREAM: Final = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)

_UNCONNECTED: Final = frozenset({TCP_SYN_SENT, TCP_CLOSE})

_ERROR_SPACE: Final = socket.CMSG_SPACE(32)
"""For sock_extended_err, and the address of whoever sent the ICMP error behind it."""


def stream(family: socket.AddressFamily) -> socket.socket:
    """Make a non-blocking TCP socket; raises OSError."""
    sock = socket.socket(family, _STREAM)
    if _STREAM == socket.SOCK_STREAM:
        sock.setblocking(False)  # noqa: FBT003 - positional only
    return sock


def state(sock: socket.socket) -> int:
    """Return a socket's TCP state: tcpi_state, the first byte of TCP_INFO, tcp(7).

    Where no kernel tells: established, or closed by its peer once that has been seen and read.
    """
    if TCP_INFO is None:
        return TCP_CLOSE_WAIT if _is_at_end(sock) else TCP_ESTABLISHED
    return sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0]


def _is_at_end(sock: socket.socket) -> bool:
    """Return whether nothing is left to be read, and nothing will come."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def has_data(sock: socket.socket) -> bool:
    """Return whether a non-blocking socket has data that nobody has read; they stay."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def has_ended(sock: socket.socket) -> bool:
    """Return whether the peer's FIN, or RST, has arrived."""
    return state(sock) in ENDED_BY_PEER


def pending_error(sock: socket.socket) -> int:
    """Return the errno of a failure not yet reported, and clear it: SO_ERROR, socket(7)."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def queued_error(sock: socket.socket) -> bytes:
    """Return the first entry of the error queue: struct sock_extended_err, ip(7); b"" if none.

    To be read after SO_ERROR, which the kernel sets anew by what is left in the queue.
    """
    if not HAS_ERROR_QUEUE:
        return b""
    try:
        ancillary = sock.recvmsg(0, _ERROR_SPACE, socket.MSG_ERRQUEUE)[1]
    except OSError:  # EAGAIN: there is none
        return b""
    return ancillary[0][2] if ancillary else b""


async def connect(sock: socket.socket, endpoint: Endpoint) -> int:
    """Wait until a non-blocking socket has reached `endpoint`; return 0 or the errno.

    The state says whether it has, and not that there is no errno: with IP_RECVERR an ICMP error
    makes the socket writable when it is queued, which the kernel does just before it sets the errno
    and ends the connect. What has no errno in between has one at the next look; a socket that is
    closed without any is not looked at for ever.
    """
    number = sock.connect_ex(endpoint)
    if number != errno.EINPROGRESS:
        return number
    if TCP_INFO is None:
        await trio.lowlevel.wait_writable(sock)
        return pending_error(sock)
    was_closed = False
    while True:
        await trio.lowlevel.wait_writable(sock)
        now = state(sock)
        if now not in _UNCONNECTED:
            return 0
        number = pending_error(sock)
        if number or was_closed:
            return number or errno.ECONNABORTED
        was_closed = now == TCP_CLOSE


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of it on a non-blocking socket; raises OSError."""
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


def resets_on_close(sock: socket.socket) -> None:
    """Make close() send RST, SO_LINGER of socket(7) with a time of zero."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
