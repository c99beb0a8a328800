"""Connected TCP sockets over loopback: real kernels reset and close as memory streams cannot."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import trio

from relay.addresses import Destination
from relay.outbound.opener import Opened
from relay.sockets import resets_on_close
from relay.tcp.transfer.pair import Outcome
from relay.tcp.transfer.pump import Pump, Redial

LOCAL: Final = Destination("127.0.0.1", 0)
"""What the other end of these connections is, for whom it matters."""


def connected() -> tuple[socket.socket, socket.socket]:
    """Make both ends of a connection, non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialled = socket.create_connection(listener.getsockname())
        accepted, _address = listener.accept()
    dialled.setblocking(False)
    accepted.setblocking(False)
    return dialled, accepted


@dataclass
class Pumped:
    """A program's and a server's socket with a pump between them."""

    program: trio.SocketStream
    server: trio.SocketStream
    pump: Pump
    ended: trio.Event
    outcome: Outcome | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.program.socket.close()
        self.server.socket.close()

    def reset(self, stream: trio.SocketStream) -> None:
        """Close one end with a RST."""
        resets_on_close(stream.socket)  # type: ignore[arg-type]
        stream.socket.close()


async def no_redial(_loss: OSError | None, _avoid: str) -> Opened | None:
    raise AssertionError("this flow may not be dialled again")


async def start(
    nursery: trio.Nursery,
    redial: Redial = no_redial,
    make: Callable[[socket.socket, Opened, Redial], Pump] = Pump,
) -> Pumped:
    """Start a pump between two fresh connections."""
    program, relays_program = connected()
    relays_upstream, server = connected()
    pumped = Pumped(
        trio.SocketStream(trio.socket.from_stdlib_socket(program)),
        trio.SocketStream(trio.socket.from_stdlib_socket(server)),
        make(relays_program, Opened(relays_upstream, ("127.0.0.1", 0), LOCAL), redial),
        trio.Event(),
    )

    async def run() -> None:
        pumped.outcome = await pumped.pump.run(nursery)
        pumped.ended.set()

    nursery.start_soon(run)
    return pumped


async def read_all(stream: trio.SocketStream) -> bytes:
    """Read until the FIN; a reset is BrokenResourceError, with what came before as its note."""
    data = bytearray()
    async for chunk in stream:
        data += chunk
    return bytes(data)


async def read_until_reset(stream: trio.SocketStream) -> bytes:
    """Read until the connection is reset; an AssertionError if it ends with a FIN."""
    data = bytearray()
    try:
        async for chunk in stream:
            data += chunk
    except trio.BrokenResourceError:
        return bytes(data)
    raise AssertionError(f"a clean end after {len(data)} bytes")
