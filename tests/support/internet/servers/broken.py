"""Servers that misbehave on purpose: each function makes a handler, or a listener, that does.

Inside `over_tls` the handlers count bytes after decryption; FIN and RST come without a
close_notify of TLS, as from a connection that was lost.
"""

import fcntl
import socket
import struct
import termios
from typing import Final

import trio

from tests.support.internet.hosts import Host

from .listening import Handler, listen

# l_onoff and l_linger of SO_LINGER: close(2) sends RST at once.
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_POLL: Final = 0.001


def reset(stream: trio.abc.Stream) -> None:
    """Close with RST instead of FIN; what the kernel has not sent yet is lost."""
    below = _socket_stream(stream)
    below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    below.socket.close()


async def sent(stream: trio.abc.Stream) -> None:
    """Wait until the peer's kernel has acknowledged every byte; the kernel tells by no event."""
    below = _socket_stream(stream)
    while _unacknowledged(below):  # noqa: ASYNC110, there is no event to wait for
        await trio.sleep(_POLL)


def reset_after(size: int) -> Handler:
    """Answer RST once `size` bytes have come in; 0 is right after accept."""

    async def handle(stream: trio.abc.Stream) -> None:
        await _receive(stream, size)
        reset(stream)

    return handle


def close_after(size: int) -> Handler:
    """Answer FIN once `size` bytes have come in, with all of them read; 0 is after accept."""

    async def handle(stream: trio.abc.Stream) -> None:
        await _receive(stream, size)
        await _socket_stream(stream).send_eof()
        async for _ in stream:
            pass  # unread bytes would turn the FIN into an RST

    return handle


def answer_then_reset(answer: bytes) -> Handler:
    """Wait for a first byte, deliver `answer`, then RST: a loss in the middle of a body."""

    async def handle(stream: trio.abc.Stream) -> None:
        await _receive(stream, 1)
        await stream.send_all(answer)
        await sent(stream)
        reset(stream)

    return handle


def answer_then_close(answer: bytes) -> Handler:
    """Wait for a first byte, deliver `answer`, then FIN."""

    async def handle(stream: trio.abc.Stream) -> None:
        await _receive(stream, 1)
        await stream.send_all(answer)
        await _socket_stream(stream).send_eof()
        async for _ in stream:
            pass

    return handle


async def never_answer(stream: trio.abc.Stream) -> None:
    """Read everything, say nothing, as long as the client stays."""
    async for _ in stream:
        pass


def in_turn(*handlers: Handler) -> Handler:
    """Handle the first connection by the first handler and so on; the last one stays."""
    waiting = list(handlers)

    async def handle(stream: trio.abc.Stream) -> None:
        handler = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        await handler(stream)

    return handle


class FullBacklog:
    """A listener whose queue is full: the kernel drops every further SYN, silently."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        """Listen with room for one connection, and take that room."""
        self._listener = listen(host, address, port, backlog=0)
        with host:
            self._filler = socket.create_connection((address, port))

    def close(self) -> None:
        """Stop listening."""
        self._filler.close()
        self._listener.socket.close()


async def _receive(stream: trio.abc.Stream, size: int) -> None:
    """Read until `size` bytes have come in, or the client has ended."""
    received = 0
    while received < size:
        data = await stream.receive_some()
        if not data:
            return
        received += len(data)


def _socket_stream(stream: trio.abc.Stream) -> trio.SocketStream:
    """Return the TCP connection, below TLS if there is any."""
    below = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    assert isinstance(below, trio.SocketStream)
    return below


def _unacknowledged(stream: trio.SocketStream) -> int:
    """Count the bytes not yet acknowledged, SIOCOUTQ of tcp(7), the same number as TIOCOUTQ."""
    answer = fcntl.ioctl(stream.socket.fileno(), termios.TIOCOUTQ, bytes(4))
    count: int = struct.unpack("i", answer)[0]
    return count
