"""HTTP/2 towards upstream, RFC 9113 by h2: many requests on one connection.

One task reads, one writes, one sends PINGs while nothing comes. A GOAWAY lets the streams that it
has not refused run to their end and takes no new ones.
"""

import os
from typing import Final

import h2.config
import h2.events
import h2.exceptions
import h2.settings
import trio
from h2.errors import ErrorCodes

from relay.gateway.http import Field, LostError, Pieces, Request
from relay.gateway.streams import GONE
from relay.gateway.upstream.forgiving import ForgivingConnection
from relay.gateway.upstream.hpack_encoder import Encoder
from relay.gateway.upstream.http2_stream import BROKEN, MISMATCHED, Http2Stream
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.record.kinds import Kind

PING_AFTER: Final = 20.0
"""Seconds without a byte from upstream."""

MOST_STREAMS: Final = 64
"""At once; more get another connection."""

STREAM_WINDOW: Final = 256 * 1024
CONNECTION_WINDOW: Final = MOST_STREAMS * STREAM_WINDOW
"""Bytes that may be on their way to us; they bound what slow programs make us keep, and leave room
for the others whatever few or many of them do not read."""

SETTINGS_WAIT: Final = 1.0
"""Seconds for upstream to say how many streams it takes; it should at once, RFC 9113 3.4."""

_FIRST_WINDOW: Final = 65535
_PIECE: Final = 64 * 1024

UNSAYABLE: Final = "the request cannot be said in HTTP/2"


class Http2:
    """One connection."""

    protocol = "h2"

    def __init__(self, stream: trio.abc.Stream, tcp: WatchedStream, authority: bytes) -> None:
        """Speak through `stream`; run() does the work."""
        self.tcp = tcp
        self.authority = authority
        self.is_draining = False
        """Whether it takes no new streams: refused, or lost."""
        self._refuses = False
        """Whether it does not take those either that were opened and not sent yet."""
        self._stream = stream
        self.h2 = ForgivingConnection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                normalize_outbound_headers=False,  # h11, fields.end_to_end and _field have
            )
        )
        self.h2.encoder = Encoder()
        self._streams: dict[int, Http2Stream] = {}
        self._unwritten: list[Http2Stream] = []
        self._unsent = bytearray()
        self._settled = trio.Event()
        """Set when upstream's settings have come, or never will."""
        self._reserved = 0
        self._loss: LostError | None = None
        self._wanted = trio.Event()
        self._written = trio.Event()
        self._window = trio.Event()
        self._emptied = trio.Event()
        tcp.is_awaited = lambda: bool(self._streams)
        self._begin()

    def _begin(self) -> None:
        """Say our preface and settings."""
        codes = h2.settings.SettingCodes
        self.h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                codes.ENABLE_PUSH: 0,
                codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                codes.MAX_HEADER_LIST_SIZE: self.h2.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW - _FIRST_WINDOW)
        self.wake()

    @property
    def has_room(self) -> bool:
        """Whether one more stream may be opened; not before it is settled."""
        limit = min(self.h2.remote_settings.max_concurrent_streams, MOST_STREAMS)
        return self._settled.is_set() and not self.is_draining and self._reserved < limit

    @property
    def is_idle(self) -> bool:
        """Whether it could carry streams, and carries none."""
        return not self.is_draining and not self._reserved

    def retire(self) -> None:
        """Take no new streams, and end with the last."""
        self.is_draining = True
        self._emptied.set()

    async def settled(self) -> None:
        """Wait until it is known how many streams upstream takes."""
        with trio.move_on_after(SETTINGS_WAIT):
            await self._settled.wait()
        self._settled.set()

    def open(self) -> Http2Stream:
        """Reserve a stream; to be closed."""
        self._reserved += 1
        return Http2Stream(self)

    async def run(self) -> None:
        """Read and write until the connection is lost, or is draining and has no streams left."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._ping)
                nursery.start_soon(self._end_when_drained, nursery.cancel_scope)
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            self._lose(self._loss or LostError(self.tcp.cause, self.tcp.kind))
            await trio.aclose_forcefully(self._stream)

    async def _read(self) -> None:
        """Read until there is no more; notes the loss."""
        while True:
            try:
                data = await self._stream.receive_some(_PIECE)
            except GONE:
                return
            if not data:
                return
            try:
                events = self.h2.receive_data(data)
            except h2.exceptions.ProtocolError:
                self.wake()  # it is told why, after the requests that wait to be written
                self._note_written()
                self._lose(LostError(BROKEN, Kind.MALFORMED))
                with trio.move_on_after(1):
                    await self._written.wait()
                return
            for event in events:
                self._handle(event)
            self.wake()

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case (
                h2.events.ResponseReceived(stream_id=int(number))
                | h2.events.DataReceived(stream_id=int(number))
                | h2.events.TrailersReceived(stream_id=int(number))
                | h2.events.StreamEnded(stream_id=int(number))
            ):
                stream = self._streams.get(number)
                if stream is not None:
                    stream.put(event)
            case h2.events.ConnectionTerminated():
                self._go_away(event)
            case h2.events.RemoteSettingsChanged():
                self._settled.set()
                self._move_window()
            case h2.events.WindowUpdated():
                self._move_window()
            case h2.events.StreamReset(stream_id=int(number)):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream.lose(_of_reset(event))
                    self._move_window()
            case _:
                pass  # 1xx among them, which are not passed on

    def _go_away(self, event: h2.events.ConnectionTerminated) -> None:
        """Take no more streams, and give up those that upstream says it has not seen."""
        self.is_draining = self._refuses = True
        last = event.last_stream_id if event.last_stream_id is not None else 0
        for refused in [number for number in self._streams if number > last]:
            self._streams.pop(refused).lose(
                LostError("GOAWAY, not processed", Kind.NOT_PROCESSED, may_be_processed=False)
            )
        self._move_window()
        self._emptied.set()

    async def _end_when_drained(self, scope: trio.CancelScope) -> None:
        while not self.is_draining or self._reserved:
            self._emptied = trio.Event()
            await self._emptied.wait()
        scope.cancel()

    def _lose(self, loss: LostError) -> None:
        """Tell all streams that the connection is gone."""
        self._loss = loss
        self.is_draining = True
        for stream in self._streams.values():
            stream.lose(LostError(loss.cause, loss.kind, may_be_processed=stream.was_written))
        self._streams.clear()
        self._move_window()
        written, self._written = self._written, trio.Event()
        written.set()
        self._settled.set()

    def wake(self) -> None:
        """Have what was said written; what is not woken for goes with what comes next."""
        self._unsent += self.h2.data_to_send()
        if self._unsent:
            self._wanted.set()

    def _note_written(self) -> None:
        for stream in self._unwritten:
            stream.was_written = True
        self._unwritten.clear()

    async def _write(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            self._note_written()
            data, self._unsent = self._unsent + self.h2.data_to_send(), bytearray()
            try:
                await self._stream.send_all(data)
            except GONE:
                return  # what came before is still read, and the loss met there
            written, self._written = self._written, trio.Event()
            written.set()

    async def _ping(self) -> None:
        due = trio.current_time() + PING_AFTER
        while True:
            await trio.sleep_until(due)
            due = max(self.tcp.answered, self.tcp.asked) + PING_AFTER
            if trio.current_time() >= due and self._loss is None:
                self.h2.ping(os.urandom(8))
                self.wake()
                due = trio.current_time() + PING_AFTER

    def _move_window(self) -> None:
        moved, self._window = self._window, trio.Event()
        moved.set()

    async def send(self, stream: Http2Stream, request: Request, body: Pieces) -> None:
        """Send a request on a new stream."""
        if self._loss is not None or self._refuses:
            loss = self._loss or LostError("GOAWAY", Kind.NOT_PROCESSED)
            stream.lose(LostError(loss.cause, loss.kind, may_be_processed=False))
            return
        try:
            await self._say(stream, request, body)
        except h2.exceptions.ProtocolError:
            may_be_processed = stream.number in self._streams
            kind = Kind.UNTRANSLATABLE
            stream.lose(LostError(UNSAYABLE, kind, may_be_processed=may_be_processed))
            # h2 may have opened half of the stream.
            self.is_draining = self._refuses = True

    async def _say(self, stream: Http2Stream, request: Request, body: Pieces) -> None:
        """Send head, body and trailers; raises ProtocolError for what cannot be said."""
        number = self.h2.get_next_available_stream_id()
        stream.number = number
        fields = [
            (b":method", request.method),
            (b":scheme", b"https"),
            (b":authority", self.authority),
            (b":path", request.target),
            *map(_field, request.fields),
        ]
        self.h2.send_headers(number, fields, end_stream=not request.is_framed)
        self._streams[number] = stream
        self._unwritten.append(stream)
        kept = b""  # the last piece, which says that it is the last

        async def flush() -> None:
            nonlocal kept
            if await self._send_data(stream, kept):
                kept = b""
            self.wake()

        index = 0
        while (piece := await body.piece(index, flush)) is not None:
            index += 1
            if not await self._send_data(stream, kept):
                return
            kept = piece
        if request.is_framed:
            is_whole = await self._send_data(stream, kept, is_last=not body.trailers)
            if is_whole and body.trailers:
                self.h2.send_headers(number, map(_field, body.trailers), end_stream=True)
        self.wake()

    async def _send_data(self, stream: Http2Stream, data: bytes, *, is_last: bool = False) -> bool:
        """Send a piece as the windows allow, frame by frame; False if the stream is over."""
        number = stream.number or 0
        left = memoryview(data)
        while left or is_last:
            if left and stream.queued is not None:
                self.wake()
                await stream.queued.wait()
            if number not in self._streams or (left and stream.has_ended):
                return False
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if left and room <= 0:
                self.wake()
                await self._window.wait()
                continue
            frame, left = left[:room], left[room:]
            is_end = is_last and not left
            self.h2.send_data(number, bytes(frame), end_stream=is_end)
            if is_end:
                break
            stream.queued = self._written
        return number in self._streams

    def consumed(self, number: int, count: int) -> None:
        """Let upstream send as much more, for the program has taken what came."""
        if self._loss is None and count:
            self.h2.acknowledge_received_data(count, number)
            self.wake()

    def release(self, stream: Http2Stream) -> None:
        """Forget a stream; if it is not over, upstream is told that it is not wanted any more."""
        self._reserved -= 1
        if stream.number is not None:
            if self._streams.pop(stream.number, None) is not None and self._loss is None:
                if not stream.is_finished(self.h2):
                    self.h2.reset_stream(stream.number, ErrorCodes.CANCEL)
                self.wake()
            self.consumed(stream.number, stream.unacknowledged)
        self._emptied.set()


def _field(field: Field) -> Field:
    """Say a field as HTTP/2 does, RFC 9113 section 8.2.1."""
    return field[0].lower(), field[1]


def _of_reset(event: h2.events.StreamReset) -> LostError:
    """Say why a stream was reset: by us only for a body of another length."""
    if not event.remote_reset:
        return LostError(MISMATCHED, Kind.MALFORMED)
    code = event.error_code
    name = code.name if isinstance(code, ErrorCodes) else str(code)
    is_refused = code == ErrorCodes.REFUSED_STREAM
    kind = Kind.NOT_PROCESSED if is_refused else Kind.RESET
    return LostError(f"RST_STREAM {name}", kind, may_be_processed=not is_refused)
