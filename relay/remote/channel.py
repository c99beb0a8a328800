"""One end of the connection between a sealed container and its relay: messages, and descriptors.

Messages are bounded, and no more descriptors are taken than the kernel passes on at once. What is
cut short, or is no message, ends the connection.
"""

import array
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Final

from relay.remote import messages

_MOST_FDS: Final = 253
"""SCM_MAX_FD of the kernel."""
_ROOM: Final = socket.CMSG_SPACE(_MOST_FDS * array.array("i").itemsize)


class BrokenError(Exception):
    """The peer has sent what is no message, or too much."""


def send(
    sock: socket.socket,
    message: messages.FromInside | messages.FromOutside,
    fds: Sequence[int] = (),
) -> None:
    """Send a message; raises OSError if the peer is gone, TimeoutError if it does not read."""
    data = messages.encoded(message)
    if fds:
        socket.send_fds(sock, [data], fds)
    else:
        sock.send(data)


def receive(sock: socket.socket, *, takes_fds: bool = False) -> tuple[bytes, list[int]]:
    """Receive a message and its descriptors; raises EOFError at the end, BrokenError, TimeoutError.

    Descriptors that nobody has asked for are closed by the kernel, which finds no room for them.
    If the peer has left unread what was sent to it, the kernel tells of that first, and then gives
    out what it had sent, unix(7).
    """
    room = _ROOM if takes_fds else 0
    try:
        data, ancillary, flags, _address = sock.recvmsg(messages.MOST_BYTES, room)
    except ConnectionResetError:
        try:
            data, ancillary, flags, _address = sock.recvmsg(messages.MOST_BYTES, room)
        except ConnectionResetError:
            raise EOFError from None
    fds = array.array("i")
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(fds.tolist())
        raise BrokenError("a message that is too long, or comes with descriptors that nobody wants")
    if not data and not fds:
        raise EOFError
    return data, fds.tolist()


def close(fds: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
