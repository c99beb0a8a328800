"""Connections of the relay to itself, for what leads to a proxy by more than TCP.

A pump, liveness and the gateway want a socket of TCP. Where requests are changed on their way, or
TLS is spoken with the proxy, that is one end of a connection over the host's loopback; at its other
end a task passes on what comes. Losses are passed on as what they were.
"""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

import trio

from relay import sockets
from relay.barrier import Record, contained
from relay.outbound.proxied.forwarding import Forwarding, NotHttpError

LAST_WORDS: Final = 1.0
"""Seconds for what a command that has ended sent last."""

_LOSSES: Final = (trio.BrokenResourceError, trio.ClosedResourceError, NotHttpError)

Join: TypeAlias = Callable[[trio.SocketStream], Awaitable[None]]
"""Serves the far end of a bridge until all has passed; raises what trio's streams do."""


class Bridges:
    """The bridges of a session."""

    def __init__(self, nursery: trio.Nursery, record: Record) -> None:
        """Run their tasks in `nursery`, which is cancelled when the session ends."""
        self._nursery = nursery
        self._record = record
        self._open = 0
        self._changed = trio.Event()

    async def to(self, join: Join) -> socket.socket:
        """Return the near end of a new bridge, non-blocking; raises OSError."""
        near, far = await _pair()
        self._open += 1
        self._nursery.start_soon(self._serve, far, join)
        return near

    async def _serve(self, far: socket.socket, join: Join) -> None:
        """Join the far end to what leads on; a fault resets it."""
        try:
            with contained(self._record, "bridge to a proxy", saw="a reset"):
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(far))
                try:
                    await join(stream)
                except* _LOSSES:
                    _reset(far)
                except* Exception:  # never a clean end of half an answer
                    _reset(far)
                    raise
        finally:
            with contained(self._record, "bridge to a proxy"):
                far.close()
            self._open -= 1
            self._changed.set()

    async def finish(self) -> None:
        """Wait until what was sent last has passed, LAST_WORDS at most."""
        with trio.move_on_after(LAST_WORDS):
            while self._open:
                self._changed = trio.Event()
                await self._changed.wait()


def _reset(far: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sockets.resets_on_close(far)


async def forward(proxy: trio.abc.Stream, request: Forwarding, program: trio.SocketStream) -> None:
    """Pass one request on to a proxy, and the answer back until its end; then `proxy` is closed."""
    async with proxy, trio.open_nursery() as nursery:
        nursery.start_soon(_pass_request, program, proxy, request, nursery.cancel_scope)
        await _pass_answer(proxy, program, request)
        nursery.cancel_scope.cancel()
    await program.send_eof()


async def _pass_request(
    program: trio.SocketStream,
    proxy: trio.abc.Stream,
    request: Forwarding,
    both: trio.CancelScope,
) -> None:
    """Pass it on, and notice that the program is gone while the proxy takes its time.

    A program that ends without a request waits for no answer. What comes behind one is dropped, and
    not left unread: that would make the end of the answer a reset.
    """
    while not request.is_done:
        data = bytes(await program.receive_some())
        await proxy.send_all(request.receive(data))
        if not data:
            both.cancel()
            return
    while await program.receive_some():
        pass


async def _pass_answer(
    proxy: trio.abc.Stream, program: trio.SocketStream, request: Forwarding
) -> None:
    """Pass it on until its end, or the proxy's."""
    while data := bytes(await proxy.receive_some()):
        await program.send_all(data)
        if request.has_answered(data):
            return


async def _pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection over loopback, the near one non-blocking; raises OSError.

    Whoever else on this host connects in between is not the other end, and turned away.
    """
    with contextlib.ExitStack() as undo:
        new = partial(sockets.stream, socket.AF_INET)
        listener = undo.enter_context(new())
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        near = undo.enter_context(new())
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if await sockets.connect(near, listener.getsockname()):
            raise OSError("the host's loopback is closed to the relay itself")
        while True:
            await trio.lowlevel.wait_readable(listener)
            far, address = listener.accept()
            if address == near.getsockname():
                break
            far.close()
        undo.pop_all()
        listener.close()
        return near, far
