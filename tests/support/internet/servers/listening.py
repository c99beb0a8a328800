"""Listening in a host, and serving its connections; a client that goes away ends only its own.

async def greet(stream): await stream.send_all(b"hello")
await nursery.start(serve, greet, listen(server, "203.0.113.10", 80))
"""

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import trio

from tests.support.internet.hosts import Host

Handler = Callable[[Any], Awaitable[None]]

_CLIENT_GONE: Final = {errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE, errno.ETIMEDOUT}


def listen(host: Host, address: str, port: int, *, backlog: int = 1024) -> trio.SocketListener:
    """Listen on one address of `host`; connections queue from now on. Port 0 takes any."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with host:
        listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(backlog)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listener))


async def serve(
    handler: Handler,
    *listeners: trio.SocketListener,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run `handler` for each connection until cancelled; then the listeners are closed."""

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        except (trio.BrokenResourceError, ssl.SSLError):
            pass  # the client went away, or its handshake failed; other clients stay
        except OSError as error:
            if error.errno not in _CLIENT_GONE:
                raise

    async with trio.open_nursery() as nursery:
        start = partial(trio.serve_listeners, handle, list(listeners), handler_nursery=nursery)
        await nursery.start(start)
        task_status.started()


async def connect(
    host: Host, address: str, port: int, *, source: str | None = None
) -> trio.SocketStream:
    """Connect from `host` to a literal address."""
    family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    with host:
        connection = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        if source is not None:
            await connection.bind((source, 0))
        await connection.connect((address, port))
        return trio.SocketStream(connection)
    except BaseException:
        connection.close()
        raise


def over_tls(handler: Handler, context: ssl.SSLContext) -> Handler:
    """Have `handler` serve the inside of TLS."""

    async def handle(stream: trio.SocketStream) -> None:
        inside = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await inside.do_handshake()
            await handler(inside)
            await inside.aclose()
        finally:
            await trio.aclose_forcefully(inside)

    return handle
