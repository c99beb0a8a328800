"""A program's socket of which one request is read, as the server is to see it, and no more.

It takes the place of a plain one in a pump. What comes behind the request ends it, for it may be
another request, to another host: the program makes that again on a connection of its own.
"""

import socket
from typing import TYPE_CHECKING, Self

from relay.inbound.proxy.requests import Forward, Rest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ForwardedSocket(socket.socket):
    """Reads the head of a request in its new form, and then its body."""

    _head = memoryview(b"")
    _rest: Rest | None = None
    """None of a copy, which has no part in it: it reads what the kernel has."""

    @classmethod
    def of(cls, sock: socket.socket, request: Forward) -> Self:
        """Take a socket over, from which the head of a request has been read."""
        made = cls(fileno=sock.detach())
        made.setblocking(False)  # noqa: FBT003 - positional only
        made._head = memoryview(request.head)
        made._rest = request.rest
        return made

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Return how much of the request came, 0 at its end; raises OSError as recv(2) does.

        The end is not told before the program sends more, or ends: a server that hears of it while
        it answers may think that nobody waits.
        """
        room = memoryview(buffer)[: nbytes or None]
        if self._head:
            count = min(len(room), len(self._head))
            room[:count], self._head = self._head[:count], self._head[count:]
            return count
        count = super().recv_into(room, 0, flags)
        return count if self._rest is None else self._rest.part(room[:count])

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Return what came of the request; what is only looked at is the socket's own."""
        if flags:
            return super().recv(bufsize, flags)
        data = bytearray(bufsize)
        return bytes(data[: self.recv_into(data)])
