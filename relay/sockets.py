"""What is asked of a TCP socket in both directions: its state, its ends, a connect, a reset."""

import errno
import socket
from typing import Final

import trio

from relay.addresses import Endpoint

TCP_ESTABLISHED: Final = 1
TCP_FIN_WAIT1: Final = 4
TCP_FIN_WAIT2: Final = 5
TCP_CLOSE: Final = 7
TCP_CLOSE_WAIT: Final = 8
TCP_LAST_ACK: Final = 9
TCP_LISTEN: Final = 10
TCP_CLOSING: Final = 11
"""Some states of include/net/tcp_states.h; CLOSE_WAIT: the peer's FIN has arrived."""

CLOSED_BY_ITS_SIDE: Final = frozenset({TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_CLOSING})
"""States of a socket whose own side has closed, with data or a FIN not acknowledged yet."""


def state(sock: socket.socket) -> int:
    """Return a socket's TCP state: tcpi_state, the first byte of TCP_INFO, tcp(7)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def pending_error(sock: socket.socket) -> int:
    """Return the errno of a failure not yet reported, and clear it: SO_ERROR, socket(7)."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def peer(sock: socket.socket) -> Endpoint:
    """Return the other end's address and port; ("", 0) if it has reset the connection by now."""
    try:
        address, port = sock.getpeername()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        return "", 0
    return address, port


async def connect(sock: socket.socket, endpoint: Endpoint) -> int:
    """Wait until a non-blocking socket has reached `endpoint`; return 0 or the errno."""
    number = sock.connect_ex(endpoint)
    if number == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(sock)
        number = pending_error(sock)
    return number


def resets_on_close(sock: socket.socket) -> None:
    """Make close() send RST, SO_LINGER of socket(7) with a time of zero."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
