"""Sockets of the namespace, asked for of the process that makes them there, one after the other."""

import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from netns.process.socket_maker import ANSWER, DIAG, INET, INET6, SocketMaker

_PATIENCE: Final = 10.0
"""Seconds for an answer, which takes 30 us: the program may have stopped the process."""


class Sockets:
    """Makes sockets of the namespace."""

    def __init__(self, maker: SocketMaker, inside: socket.socket) -> None:
        """Take the process, and a socket of the namespace, by which it finds there."""
        self._maker = maker
        self._inside = inside
        self._has_entered = False
        self._turn = trio.Lock()
        self._owed = 0
        """Answers that have not come."""

    async def connecting(self, *, ipv6: bool) -> socket.socket:
        """Return a TCP socket, non-blocking, that is to connect to a server inside.

        It bears the mark by which the rules of interception leave it alone, so that a port at which
        nobody listens any more refuses it. Raises OSError.
        """
        sock = await self._make(INET6 if ipv6 else INET)
        try:
            self._maker.mark(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    async def diag(self) -> socket.socket:
        """Return a socket of sock_diag(7); raises OSError."""
        return await self._make(DIAG)

    async def _make(self, kind: bytes) -> socket.socket:
        """Ask for a socket; raises OSError."""
        async with self._turn:
            end = self._maker.end
            if end is None:
                raise _gone()
            with trio.move_on_after(_PATIENCE):
                if not self._has_entered:
                    await self._exchange(end, partial(self._maker.enter, self._inside))
                    self._has_entered = True
                if (sock := await self._exchange(end, partial(end.send, kind))) is not None:
                    return self._checked(kind, sock)
            raise TimeoutError(errno.ETIMEDOUT, "the process that makes sockets inside is stopped")

    def _checked(self, kind: bytes, sock: socket.socket) -> socket.socket:
        """Return what was handed over; raises OSError if it is not what was asked for."""
        try:
            self._maker.check(kind, sock)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _exchange(
        self, end: socket.socket, ask: Callable[[], object]
    ) -> socket.socket | None:
        """Ask, and wait for the answer; raises OSError.

        The process may end before it has read the question: then the answer is a reset.
        """
        try:
            ask()
            return await self._answer(end)
        except (BrokenPipeError, ConnectionResetError):
            raise _gone() from None

    async def _answer(self, end: socket.socket) -> socket.socket | None:
        """Wait for the answer to what was just asked; raises OSError.

        Whoever waited for an earlier one may have been cancelled: it comes first, and is nobody's.
        """
        self._owed += 1
        while True:
            try:
                data, fds, _flags, _address = socket.recv_fds(end, ANSWER.size, 1)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(end)
                continue
            if not data:
                raise _gone()
            self._owed -= 1
            sock = socket.socket(fileno=fds[0]) if fds else None
            if self._owed:
                if sock is not None:
                    sock.close()
                continue
            (number,) = ANSWER.unpack(data)
            if number:
                raise OSError(number, os.strerror(number))
            return sock


def _gone() -> OSError:
    return OSError(errno.ESRCH, "the process that makes sockets inside has ended")
