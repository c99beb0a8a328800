"""HTTP/2 towards upstream: a connection's tasks and its streams; the protocol is in http2_engine.

One task reads, one writes, one sends PINGs while nothing comes. Whoever changes the engine wakes
those who wait for it: Http2.wake() the writer, Http2._note() the others. A task looks at the
engine and parks without a checkpoint in between, so that no change can come unseen between its
look and its sleep; once awake it looks again.
"""

import os
from typing import Final

import trio

from relay.gateway.http import Fields, Pieces, Request, Response
from relay.gateway.streams import GONE, PIECE, quiet
from relay.gateway.upstream.http2_engine import Engine
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.record.kinds import Kind

PING_AFTER: Final = 20.0
"""Seconds without a byte from upstream."""

SETTINGS_WAIT: Final = 1.0
"""Seconds for upstream to say how many streams it takes; it should at once, RFC 9113 3.4."""

_FAREWELL_WAIT: Final = 1.0
"""Seconds for our last frames to be written, after upstream has broken the protocol."""


class Http2:
    """One connection; the pool opens streams on it and runs it."""

    protocol = "h2"

    def __init__(self, stream: trio.abc.Stream, tcp: WatchedStream, authority: bytes) -> None:
        self.tcp = tcp
        self.engine = Engine(authority)
        self.streams: dict[int, Http2Stream] = {}
        """Those whose requests were sent, until they are released."""
        self.written = trio.lowlevel.ParkingLot()
        """Streams that wait until their last frame of data is written."""
        self.windows = trio.lowlevel.ParkingLot()
        """Streams that wait until upstream takes more data."""
        self._unsent = trio.lowlevel.ParkingLot()
        """The writer, while there is nothing to write."""
        self._settled = trio.Event()
        self._running = trio.CancelScope()
        self._stream = stream
        self._has_answered = False
        tcp.is_awaited = lambda: bool(self.streams)

    @property
    def is_idle(self) -> bool:
        """Whether it could carry streams, and carries none."""
        return self.engine.is_free and not self.engine.is_draining

    async def settled(self) -> None:
        """Wait until upstream's settings have come, it has had its time, or the connection is lost.

        Several tasks may wait here, each with a time of its own: the first whose time is over
        settles it for all. Settings that come later still count from then on.
        """
        with trio.move_on_after(SETTINGS_WAIT):
            await self._settled.wait()
        self.engine.is_settled = True
        self._settled.set()

    @property
    def is_unfit(self) -> bool:
        """Whether upstream is better asked over HTTP/1.1."""
        return self.engine.is_unfit

    def open(self) -> "Http2Stream":
        """Reserve a stream; to be released.

        It counts from here on, so that whoever asks for room before its head is sent does not get
        its place. Upstream may send a GOAWAY before that too: the engine then refuses the head.
        """
        return Http2Stream(self)

    def retire(self) -> None:
        """Take no new streams, and end with the last."""
        self.engine.is_draining = True
        self._end_if_drained()

    def release(self, stream: "Http2Stream") -> None:
        """Forget a stream; what has not come yet is not wanted any more."""
        self.streams.pop(stream.state.number, None)
        self.engine.release(stream.state)
        self.wake()
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        """End run() once there are no streams and will be none.

        Nobody can open one meanwhile: a connection that is draining has no room. The tasks are
        cancelled at their next checkpoint; what they would still write is for no stream. One that
        is lost ends by itself, when upstream knows why.
        """
        engine = self.engine
        if engine.is_draining and engine.is_free and not engine.is_lost:
            self._running.cancel()

    async def run(self) -> None:
        """Read and write until the connection is lost, or is draining and has no streams left."""
        try:
            with self._running:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._ping)
                    await self._read()
                    self._running.cancel()
        except Exception:
            self._note(self.engine.lose("a defect of keepline", Kind.DEFECT))
            raise
        finally:
            # The writer has ended: what it has not taken by now will never reach upstream, and
            # what it has taken may have, even if its write was cancelled.
            try:
                tcp, lasts = self.tcp, self.tcp.will_end_so_again
                self._note(self.engine.lose(tcp.cause, tcp.kind, is_lasting=lasts))
            finally:
                await trio.aclose_forcefully(self._stream)

    async def _read(self) -> None:
        """Read until there is no more, or upstream has broken the protocol.

        In that case the writer goes on until upstream has our GOAWAY: a write that began before
        may end first, so what counts is whether all is written.
        """
        while not self.engine.is_lost:
            try:
                data = await self._stream.receive_some(PIECE)
            except GONE as error:
                self.tcp.note_end_of_tls(error, has_answered=self._has_answered)
                return
            if not data:
                return
            self._has_answered = True
            changed = self.engine.receive_data(data, trio.current_time())
            self.wake()
            self._note(changed)
        if self.engine.verdict is not None:
            self.tcp.note_verdict(*self.engine.verdict)
        with trio.move_on_after(_FAREWELL_WAIT):
            while not self.engine.is_flushed():
                await self.written.park()

    def _note(self, changed: set[int]) -> None:
        """Wake who waits for what has changed.

        A number may stand for a stream that was lost just now, but for none that was released:
        that leaves the engine and `streams` in the same step, release().
        """
        for number in changed:
            if number:
                self.streams[number].arrived.unpark_all()
                continue
            self.windows.unpark_all()
            if self.engine.is_settled:
                self._settled.set()
            if self.engine.is_lost:
                self.written.unpark_all()
            self._end_if_drained()

    def wake(self) -> None:
        """Have what there is to send written."""
        if self._unsent and self.engine.has_data_to_send():
            self._unsent.unpark_all()

    async def _write(self) -> None:
        """Write batch after batch.

        A batch counts as processed once it is taken, before send_all() begins: a reader that meets
        the loss during the write, or a cancellation in the middle of it, must not have its
        requests sent again as if upstream had not seen them. What others send during the write
        makes the next batch.
        """
        while True:
            while not (batch := self.engine.data_to_send()):
                await self._unsent.park()
            try:
                await self._stream.send_all(batch)
            except GONE:
                return  # what came before is still read, and the loss met there
            self.engine.sent()
            self.written.unpark_all()

    async def _ping(self) -> None:
        """Send a PING after each PING_AFTER seconds in which nothing has come or gone."""
        while True:
            await quiet(lambda: max(self.tcp.answered, self.tcp.asked), PING_AFTER)
            self.engine.ping(os.urandom(8))
            self.wake()


class Http2Stream:
    """One request and its answer; `http.Stream`."""

    def __init__(self, connection: Http2) -> None:
        self.state = connection.engine.open()
        self.trailers: Fields = self.state.trailers
        """Of the answer; whole once it has ended."""
        self.arrived = trio.lowlevel.ParkingLot()
        """Who waits for the answer."""
        self._connection = connection
        self._engine = connection.engine

    @property
    def is_unfit(self) -> bool:
        """Whether upstream is better asked over HTTP/1.1."""
        return self._connection.is_unfit

    def condemn(self) -> None:
        """Have the connection end with the streams that it carries now."""
        self._connection.retire()

    def release(self) -> None:
        """Forget it; what has not come yet is not wanted any more."""
        self._connection.release(self)

    async def send(self, request: Request, body: Pieces) -> None:
        """Send a request; a loss shows in what comes back.

        Nothing is written by itself: what is sent waits in the engine until wake(), so that the
        head and the body of a small request make one batch. wake() comes before each wait.
        """
        if self._engine.send_head(self.state, request):
            self._connection.streams[self.state.number] = self
            await self._send_body(request, body)
        self._connection.wake()
        if self.state.loss is not None:  # the engine's refusal: response() may wait already
            self.arrived.unpark_all()

    async def _send_body(self, request: Request, body: Pieces) -> None:
        """Send the body and trailers, as long as they are wanted."""
        kept = b""  # the last piece, which says that it is the last

        async def flush() -> None:
            nonlocal kept
            if await self._send_data(kept):
                kept = b""
            self._connection.wake()

        index = 0
        while (piece := await body.piece(index, flush)) is not None:
            index += 1
            if not await self._send_data(kept):
                return
            kept = piece
        if request.is_framed:
            is_whole = await self._send_data(kept, is_last=not body.trailers)
            if is_whole and body.trailers:
                self._engine.send_trailers(self.state, body.trailers)

    async def _send_data(self, data: bytes, *, is_last: bool = False) -> bool:
        """Send a piece as the windows allow, frame by frame; False if the stream is over.

        Between two frames the stream may be lost or answered: send_data() looks before each.
        """
        left = memoryview(data)
        while (size := self._engine.send_data(self.state, left, is_last=is_last)) is not None:
            left = left[size:]
            if not left:
                return True
            is_queued = self._engine.is_queued(self.state)
            self._connection.wake()
            await (self._connection.written if is_queued else self._connection.windows).park()
        return False

    async def response(self) -> Response:
        """Wait for the head of the answer; raises LostError. 1xx are not passed on."""
        while (response := self.state.response()) is None:
            await self.arrived.park()
        return response

    async def receive(self) -> bytes:
        """Return more of the body, all that is there; nothing at its end; raises LostError.

        Upstream may send as much more as was returned when more is wanted.
        """
        while (data := self._engine.receive(self.state)) is None:
            self._connection.wake()
            await self.arrived.park()
        self._connection.wake()
        return data
