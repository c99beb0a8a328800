"""Two-way copy between two sockets: FIN stays FIN, a loss is a reset, delivered data comes first.

Backpressure is not reading. System calls are tried first and waited for only on EAGAIN.
"""

import fcntl
import socket
import struct
import termios
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.record.events import Closer, How
from relay.tcp.options import resets_on_close

_BUFFER_SIZE: Final = 256 * 1024
_TURN: Final = 1024 * 1024
"""Bytes that one direction may move before the others have their turn."""

# One buffer serves every connection: what it holds is sent or copied before the next await.
_buffer = memoryview(bytearray(_BUFFER_SIZE))

_TCP_CLOSE: Final = 7
"""include/net/tcp_states.h: nothing is acknowledged any more."""

_DRAIN_FIRST_WAIT = 0.001
_DRAIN_LONGEST_WAIT = 0.25


@dataclass(slots=True)
class Side:
    """One of the two sockets, and what became of it."""

    sock: socket.socket
    closer: Closer
    received: int = 0
    loss: OSError | None = None
    """Set by whichever call saw it first: the kernel tells a socket's error only once."""
    ended: bool = False
    """Its FIN has arrived."""


@dataclass(slots=True)
class Outcome:
    """How a pair ended."""

    by: Closer = "keepline"
    how: How = "session-end"
    cause: str | None = None
    last_byte: float = 0.0
    """On trio's clock."""
    ends: int = field(default=0)


class Pump:
    """A program's socket and its upstream socket; owns both."""

    def __init__(self, program: socket.socket, upstream: socket.socket) -> None:
        """Take both sockets over; they are non-blocking."""
        self.program = Side(program, "program")
        self.upstream = Side(upstream, "upstream")
        self.outcome = Outcome(last_byte=trio.current_time())
        self._second_done = trio.Event()
        self._over = False

    async def run(self, nursery: trio.Nursery) -> Outcome:
        """Copy both ways until both directions have ended; then both sockets are closed.

        The second direction's task lives in `nursery`: one of its own would cost as much as a
        short connection's whole work.
        """
        try:
            nursery.start_soon(self._copy_back)
            await self._copy(self.program, self.upstream)
            await self._second_done.wait()
            await self._pass_loss_on()
        except BaseException:
            self._stop()
            raise
        finally:
            self.program.sock.close()
            self.upstream.sock.close()
        return self.outcome

    async def _copy_back(self) -> None:
        try:
            await self._copy(self.upstream, self.program)
        finally:
            self._second_done.set()

    async def _copy(self, source: Side, sink: Side) -> None:
        """Copy one direction until its end or until either socket is lost."""
        turn = 0
        try:
            while True:
                try:
                    count = source.sock.recv_into(_buffer)
                except BlockingIOError:
                    turn = 0
                    if self._over:
                        return
                    await trio.lowlevel.wait_readable(source.sock)
                    continue
                except OSError as error:
                    self._lose(source, error)
                    return
                if count == 0:
                    self._end(source, sink)
                    return
                source.received += count
                self.outcome.last_byte = trio.current_time()
                if not await self._send(sink, count):
                    return
                turn += count
                if turn >= _TURN:
                    turn = 0
                    await trio.lowlevel.checkpoint()
        except trio.ClosedResourceError:
            return  # the other direction met a loss, or the session is over

    async def _send(self, sink: Side, count: int) -> bool:
        """Send what the buffer holds; False if the sink is lost."""
        try:
            sent = sink.sock.send(_buffer[:count])
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(sink, error, reading_goes_on=True)
            return False
        if sent == count:
            return True
        rest = memoryview(bytes(_buffer[sent:count]))
        while rest:
            if self._over:
                return False
            await trio.lowlevel.wait_writable(sink.sock)
            try:
                rest = rest[sink.sock.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self._lose(sink, error, reading_goes_on=True)
                return False
        return True

    def _end(self, source: Side, sink: Side) -> None:
        """Pass a FIN on, unless a send has already met the loss that makes recv look like one."""
        if source.loss is not None:
            self._stop()
            return
        source.ended = True
        self._first_end(source.closer, "fin")
        try:
            sink.sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: reset in the meantime
            self._lose(sink, error, reading_goes_on=True)

    def _lose(self, side: Side, error: OSError, *, reading_goes_on: bool = False) -> None:
        """Note a lost socket; what it received before may still be read and delivered."""
        if side.loss is None:
            side.loss = error
            self._first_end(side.closer, _how(error), error)
        if not reading_goes_on or side.ended:
            self._stop()

    def _first_end(self, by: Closer, how: How, error: OSError | None = None) -> None:
        """Keep who ended first, and a loss rather than the FIN before it."""
        if self.outcome.by == "keepline" or error is not None:
            self.outcome.by, self.outcome.how = by, how
            self.outcome.cause = error.strerror if error is not None else None

    def _stop(self) -> None:
        """End both directions, a waiting one with ClosedResourceError."""
        self._over = True
        trio.lowlevel.notify_closing(self.program.sock)
        trio.lowlevel.notify_closing(self.upstream.sock)

    async def _pass_loss_on(self) -> None:
        """After a loss, reset the other side once it has all that was received before."""
        if self.program.loss is None and self.upstream.loss is None:
            return
        for side in (self.program, self.upstream):
            if side.loss is None:
                await _drained(side.sock)
                resets_on_close(side.sock)

    def abort(self) -> None:
        """End both directions at once; the program sees a reset."""
        resets_on_close(self.program.sock)
        resets_on_close(self.upstream.sock)
        self._stop()


def _how(error: OSError) -> How:
    match error:
        case ConnectionResetError() | BrokenPipeError():
            return "reset"
        case TimeoutError():
            return "timeout"
        case _:
            return "unreachable"


async def _drained(sock: socket.socket) -> None:
    """Wait until the peer's kernel has acknowledged all data: a reset would discard the rest.

    There is no event for it, so the queue's length is read (SIOCOUTQ, tcp(7)), ever more rarely.
    """
    wait = _DRAIN_FIRST_WAIT
    while _unacknowledged(sock) and _state(sock) != _TCP_CLOSE:
        await trio.sleep(wait)
        wait = min(2 * wait, _DRAIN_LONGEST_WAIT)


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes in the send queue that the peer has not acknowledged; a FIN counts as one."""
    (length,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
    return int(length)


def _state(sock: socket.socket) -> int:
    """Read tcpi_state, the first byte of TCP_INFO, tcp(7)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
