"""Two-way copy between two sockets: FIN stays FIN, a loss is a reset, delivered data comes first.

Backpressure is not reading. System calls are tried first and waited for only on EAGAIN. Until
upstream's first byte, a lost upstream is replaced as far as first_flight.py allows.
"""

import errno
import math
import socket
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, TypeAlias

import trio

from relay.outbound.opener import Opened
from relay.record.kinds import ClosedError, Kind
from relay.sockets import resets_on_close
from relay.tcp.transfer import losses, pipes, urgent
from relay.tcp.transfer.first_flight import FirstFlight
from relay.tcp.transfer.pair import Outcome, Pair, Side
from relay.tcp.transfer.pipes import Pipe

_BUFFER_SIZE: Final = 256 * 1024
_TURN: Final = 1024 * 1024
"""Bytes that one direction may move before the others have their turn."""

_BULK: Final = 512 * 1024
"""Bytes after which a direction is worth a pipe."""

# One buffer serves every connection: what it holds is sent or copied before the next await.
buffer: Final = memoryview(bytearray(_BUFFER_SIZE))

Redial: TypeAlias = Callable[[OSError | None, str], Awaitable[Opened | None]]
"""Connects once more after a loss (None: a FIN), to the address to avoid last; returns None if that
cannot be had."""


class After(Enum):
    """What comes after a direction's turn."""

    WAIT = "the source has nothing more now"
    YIELD = "others have their turn"
    END = "the direction has ended"


class Pump(Pair):
    """Copies between a program's socket and its upstream socket; owns both."""

    def __init__(
        self,
        program: socket.socket,
        upstream: Opened,
        redial: Redial | None = None,
        *,
        number: int = 0,
        retire_after: float = math.inf,
    ) -> None:
        """Take both sockets over, as Pair does; replace a lost upstream by `redial`, if given."""
        super().__init__(program, upstream, number=number, retire_after=retire_after)
        urgent.watch(program)
        urgent.watch(upstream.sock)
        self._redial = redial
        self._is_proxied = upstream.is_proxied
        self.flight = FirstFlight()
        if redial is None:
            self.flight.close()
        self._redialled: trio.Event | None = None
        """While another upstream is being dialled."""
        self._said = b""  # by the program meanwhile
        self._second_done = trio.Event()
        self._fault: BaseException | None = None
        """What the second direction ended with, if that was not its own business."""

    async def run(self, nursery: trio.Nursery) -> Outcome:
        """Copy both ways until both directions have ended; then both sockets are closed.

        The second direction's task lives in `nursery`: one of its own would cost as much as a
        short connection's whole work. A fault in either ends both, by a reset, and is raised here:
        never a clean end of what is not complete.

        The second direction may be dialling when the first one ends by a fault: it then closes by
        itself what it gets.
        """
        try:
            nursery.start_soon(self._copy_back)
            await self._copy(self.program, self.upstream)
            await self._second_done.wait()
            if self._fault is not None:
                raise self._fault  # noqa: TRY301 - of the other task
            if self.upstream.loss is not None:
                self.excuse_loss()
            await self.pass_loss_on()
        except Exception:
            self.abort()
            raise
        except BaseException:
            self.stop()
            raise
        finally:
            self._fault = None  # which holds the frame of the other task
            if self.is_left:
                self.part()
            self.program.sock.close()
            self.upstream.sock.close()
            self.flight.close()
        return self.outcome

    async def _copy_back(self) -> None:
        """Copy the second direction; a fault in it is run()'s to raise, which waits for it."""
        try:
            await self._copy(self.upstream, self.program)
        except Exception as error:  # noqa: BLE001 - the nursery is the session's
            self._fault = error
            self.stop()
        finally:
            if not self.program.is_open:  # run() has ended before
                self.upstream.sock.close()
            self._second_done.set()

    async def _copy(self, source: Side, sink: Side) -> None:
        """Copy one direction, turn by turn, until its end or until either socket is lost."""
        try:
            while not self.is_over:
                is_bulk = source.received >= _BULK and not (self.flight.is_open or self.is_left)
                pipe = pipes.borrow() if is_bulk and pipes.is_plain(source.sock) else None
                try:
                    after = await self._turn(source, sink, pipe)
                finally:
                    if pipe is not None:
                        pipe.release()
                if after is After.WAIT:
                    await self.readable(source)
                elif after is After.YIELD:
                    await trio.lowlevel.checkpoint()
                else:
                    return
        except trio.ClosedResourceError:
            pass  # a loss of the other direction

    async def _turn(self, source: Side, sink: Side, pipe: Pipe | None) -> "After":
        """Move what the source has, up to a turn's share, through the pipe or the buffer."""
        moved = 0
        while moved < _TURN:
            loss = None
            try:
                count = self.read(source, pipe)
            except BlockingIOError:
                return After.WAIT
            except OSError as error:
                loss, count = error, 0
            if count == 0:
                if await self._redial_and_replay(source, loss):
                    continue
                self._end(source, sink, loss)
                return After.END
            self.note_received(source, count)
            moved += count
            if self.is_left and source is self.upstream:
                continue  # nobody reads it
            if pipe is not None and not source.is_urgent:
                went = await self._empty(pipe, sink)
            else:
                data = buffer[:count]
                if self.flight.is_open:
                    data = await self._keep_first_flight(source, data)
                went = await self._send(sink, data, socket.MSG_OOB if source.is_urgent else 0)
            if not went:
                return After.END
        return After.YIELD

    def readable(self, source: Side) -> Awaitable[None]:
        """Return what waits until a side has something to read."""
        return trio.lowlevel.wait_readable(source.sock)  # noqa: ASYNC105 - it is by the caller

    def read(self, source: Side, pipe: Pipe | None) -> int:
        """Take what the source has; return how many bytes, 0 at its end. Raises OSError.

        They are in the pipe, or in the buffer, where an urgent byte always is, and alone.
        """
        if urgent.Seen.yet:
            source.is_urgent = urgent.is_next(source.sock)
            if source.is_urgent:
                return source.sock.recv_into(buffer, 1)
        return source.sock.recv_into(buffer) if pipe is None else pipe.fill(source.sock)

    async def _empty(self, pipe: Pipe, sink: Side) -> bool:
        """Send all that is in the pipe; False if the sink is lost."""
        while pipe.inside:
            if self.is_over:
                return False
            try:
                pipe.empty(sink.sock)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sink.sock)
            except OSError as error:
                self.lose_sink(sink, error)
                return False
        return True

    async def _send(self, sink: Side, data: memoryview, flags: int = 0) -> bool:
        """Send all of `data`, which may be the shared buffer's; False if the sink is lost."""
        kept = False
        while data:
            if self.is_over:
                return False
            try:
                data = data[sink.sock.send(data, flags) :]
            except BlockingIOError:
                if not kept:
                    data, kept = memoryview(bytes(data)), True
                if sink is self.upstream:
                    self.flight.close()  # a replay would cross what is still to be sent
                await trio.lowlevel.wait_writable(sink.sock)
            except OSError as error:
                if sink is self.upstream and self.flight.may_replay:
                    sink.loss = error  # the direction that reads from it replaces it
                    self.shut(sink, socket.SHUT_RD)
                    return True
                self.lose_sink(sink, error)
                return False
        return True

    async def _keep_first_flight(self, source: Side, data: memoryview) -> memoryview:
        """Keep what the program has sent until upstream's first byte; return what is to be sent.

        Nothing if another upstream is dialled: whoever dials sends it. By the time that this task
        runs, the new one may be lost and its words replayed on a third: they would come twice.
        """
        if source is self.upstream:
            self.flight.close()
            return data
        self.flight.program_sent(data)
        if self._redialled is None:
            return data
        self._said = bytes(data)
        await self._redialled.wait()
        if self.is_over:
            raise trio.ClosedResourceError
        return data[:0]

    async def _redial_and_replay(self, side: Side, loss: OSError | None) -> bool:
        """After a loss of upstream, put another in its place if the replay rule allows it.

        The program's direction runs on while another upstream is dialled. What the program says
        then makes its first flight more than a ClientHello, and its FIN may end it; either way the
        new connection, on which nothing was sent, is not used, and the loss is passed on.
        """
        loss = side.loss or loss
        is_reset = loss is not None or self._is_proxied
        if side is not self.upstream or not self.flight.claim_replay(reset=is_reset):
            return False
        self._redialled = trio.Event()
        side.sock.close()
        sent = self.flight.sent
        assert self._redial is not None  # else there would be no first flight
        try:
            opened = await self._redial(loss, self.reached[0])
        finally:
            self._redialled.set()
            self._redialled = None
            said, self._said = self._said, b""
        if opened is not None and ((sent and said) or self.program.ended):
            resets_on_close(opened.sock)
            opened.sock.close()
            opened = None
        if opened is None:
            side.loss = loss or ClosedError(errno.ECONNRESET, "Connection closed")
            return False
        side.sock, side.loss = opened.sock, None
        urgent.watch(side.sock)
        self.reached, self.carrier = opened.reached, opened.carrier
        if self.is_over:
            return False
        return await self._send(side, memoryview(sent + said))

    def _end(self, source: Side, sink: Side, loss: OSError | None) -> None:
        """After a FIN or a loss of `source`: pass a FIN on, end everything after a loss.

        If a send has already met the loss, an empty recv is not a FIN.
        """
        loss = source.loss or loss
        if loss is not None:
            self.note_loss(source, loss)
            self.stop()
            return
        source.ended = True
        self.flight.close()
        if self.outcome.by == "keepline" and not self.is_over:
            outcome = self.outcome
            outcome.by, outcome.how, outcome.kind = source.closer, "fin", Kind.CLOSED
        if not sink.is_open:
            return  # another upstream is being dialled, in vain now
        try:
            sink.sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: lost in the meantime
            is_lost = error.errno == errno.ENOTCONN
            self.lose_sink(sink, losses.lost(sink.sock) if is_lost else error)
        if self.is_left and source is self.program:
            self.stop()
