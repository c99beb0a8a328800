"""The fake API over HTTP/2: the streams of one connection, answered side by side."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from .answers import Course
from .core import Core
from .endings import end
from .faults import Fault
from .log import Asked, Fields, Request

_PIECE: Final = 1 << 16
_RESETS: Final = {
    Fault.RST_INTERNAL: ErrorCodes.INTERNAL_ERROR,
    Fault.RST_CANCEL: ErrorCodes.CANCEL,
    Fault.REFUSED: ErrorCodes.REFUSED_STREAM,
}


@dataclass
class _Stream:
    """One request and its answer."""

    number: int
    pseudo: dict[bytes, bytes]
    fields: Fields
    body: bytearray = field(default_factory=bytearray)
    answering: trio.CancelScope = field(default_factory=trio.CancelScope)
    asked: Asked | None = None


class Http2:
    """One connection."""

    def __init__(self, core: Core, stream: trio.abc.Stream, number: int) -> None:
        self._core = core
        self._stream = stream
        self._number = number
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._streams: dict[int, _Stream] = {}
        self._wanted = trio.Event()
        self._batch = trio.Event()
        """Set once all that waits to be written now is written."""
        self._frames = b""
        """What the h2 library knows nothing of, to be written before what it has."""
        self._room = trio.Event()
        self._all = trio.CancelScope()
        self._closing: Fault | None = None
        """How the connection ends once no stream is left."""
        self._is_over = False
        """Whether it ends once all is written."""
        self._is_given_up = False
        """Whether a GOAWAY of the client's or for it has passed: h2 sends nothing more then."""
        self._last = 2**31 - 1
        """The last stream that is answered."""

    async def serve(self) -> None:
        """Answer requests until the client or a fault ends it."""
        self._h2.initiate_connection()
        try:
            with self._all:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read(nursery)
                    nursery.cancel_scope.cancel()
        finally:
            for each in self._streams.values():
                _note_end(each, "by the client" if self._closing is None else "connection lost")
        if self._closing is not None:
            await end(self._stream, self._closing)

    async def _write(self) -> None:
        """Write for all streams: one that is cancelled may not leave half a TLS record behind."""
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            batch, self._batch = self._batch, trio.Event()
            data = self._frames + self._h2.data_to_send()
            self._frames = b""
            try:
                if data:
                    await self._stream.send_all(data)
            except trio.BrokenResourceError:
                self._all.cancel()  # the client went away
            batch.set()
            if self._is_over:
                self._all.cancel()

    async def _flush(self) -> None:
        batch = self._batch
        self._wanted.set()
        await batch.wait()

    async def _read(self, nursery: trio.Nursery) -> None:
        while True:
            data = await self._receive()
            if not data:
                return
            try:
                events = self._h2.receive_data(data)
            except h2.exceptions.ProtocolError:
                self._is_given_up = True
                await self._flush()  # h2 tells the client why
                return
            for event in events:
                self._handle(event, nursery)
            self._wanted.set()

    async def _receive(self) -> bytes:
        """Read on; nothing at the end, which an idle connection comes to by itself."""
        while True:
            with trio.move_on_after(self._core.idle_limit):
                try:
                    return bytes(await self._stream.receive_some(_PIECE))
                except trio.BrokenResourceError:
                    return b""
            if not self._streams:
                await self._go_away(max(0, self._h2.highest_inbound_stream_id))
                self._closing = Fault.FIN
                return b""

    def _handle(self, event: h2.events.Event, nursery: trio.Nursery) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event)
            case h2.events.DataReceived(stream_id=int(number), data=bytes(data)):
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                if number in self._streams:
                    self._streams[number].body += data
            case h2.events.StreamEnded(stream_id=int(number)):
                if number in self._streams:
                    nursery.start_soon(self._answer, self._streams[number])
            case h2.events.StreamReset(stream_id=int(number)):
                if number in self._streams:
                    self._take_back(self._streams[number])
            case h2.events.ConnectionTerminated():
                self._is_given_up = True
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._room.set()
                self._room = trio.Event()

    def _take_back(self, it: _Stream) -> None:
        if it.asked is not None:
            it.asked.is_taken_back = True
        it.answering.cancel()
        self._forget(it, "by the client")

    def _begin(self, event: h2.events.RequestReceived) -> None:
        number = event.stream_id
        assert number is not None
        assert event.headers is not None
        pairs = [(bytes(name), bytes(value)) for name, value in event.headers]
        pseudo = {name: value for name, value in pairs if name.startswith(b":")}
        fields = tuple(pair for pair in pairs if not pair[0].startswith(b":"))
        if number <= self._last:
            self._streams[number] = _Stream(number, pseudo, fields)

    async def _answer(self, it: _Stream) -> None:
        method, path = it.pseudo[b":method"].decode(), it.pseudo[b":path"].decode("latin-1")
        body = bytes(it.body)
        it.asked, course = self._core.take(
            Request(method, path, it.fields, body, "h2", self._number)
        )
        try:
            with it.answering, contextlib.suppress(h2.exceptions.StreamClosedError):
                await self._play(it, it.asked, course)
        except h2.exceptions.ProtocolError:
            if not self._is_given_up:
                raise

    async def _play(self, it: _Stream, asked: Asked, course: Course) -> None:
        if course.ending is Fault.GOAWAY_DRAIN:
            await self._go_away(it.number)
        if course.has_head:
            await self._send_head(it, course)
            await self._send_body(it, asked, course.pieces)
        await trio.sleep(course.pause)
        fault = course.ending
        match fault:
            case Fault.FIN | Fault.TLS_CLOSE | Fault.RST:
                await self._lose_connection(it, fault)
            case Fault.SILENCE:
                asked.ended = fault.value
                await trio.sleep_forever()
            case Fault.GOAWAY:
                await self._go_away(self._h2.highest_inbound_stream_id)
                await self._lose_connection(it, fault)
            case Fault.GOAWAY_ABOVE:
                await self._disown(it)
            case Fault.RST_INTERNAL | Fault.RST_CANCEL | Fault.REFUSED:
                self._h2.reset_stream(it.number, _RESETS[fault])
                self._forget(it, fault.value)
                await self._flush()
            case _:
                await self._end_stream(it, course)
                self._forget(it, "well" if fault is None else fault.value)
        if self._closing is not None and not self._streams:
            self._is_over = True
            self._wanted.set()

    async def _send_head(self, it: _Stream, course: Course) -> None:
        whole = course.answer
        status = (b":status", b"%d" % whole.status)
        length = [] if whole.length is None else [(b"content-length", b"%d" % whole.length)]
        self._h2.send_headers(it.number, [status, *whole.fields, *length])
        await self._flush()

    async def _send_body(self, it: _Stream, asked: Asked, pieces: Iterable[bytes]) -> None:
        if asked.request.method == "HEAD":
            return
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                window = self._h2.local_flow_control_window(it.number)
                size = min(window, self._h2.max_outbound_frame_size, len(rest))
                if size <= 0:
                    await self._room.wait()
                    continue
                self._h2.send_data(it.number, bytes(rest[:size]))
                await self._flush()
                asked.sent += size
                rest = rest[size:]

    async def _end_stream(self, it: _Stream, course: Course) -> None:
        if course.answer.trailers:
            self._h2.send_headers(it.number, list(course.answer.trailers), end_stream=True)
        else:
            self._h2.end_stream(it.number)
        await self._flush()

    async def _lose_connection(self, it: _Stream, fault: Fault) -> None:
        """End the connection under all of its streams."""
        self._forget(it, fault.value)
        self._closing = Fault.FIN if fault is Fault.GOAWAY else fault
        self._is_over = True
        await self._flush()

    async def _disown(self, it: _Stream) -> None:
        """Say that this stream and those above it were not processed; finish those below."""
        for other in list(self._streams.values()):
            if other.number > it.number:
                other.answering.cancel()
                if other.asked is not None:
                    other.asked.processed = False
                self._forget(other, Fault.GOAWAY_ABOVE.value)
        self._forget(it, Fault.GOAWAY_ABOVE.value)
        await self._go_away(max(0, it.number - 2))

    async def _go_away(self, last: int) -> None:
        """Write GOAWAY past the h2 library, for which all would be over with it."""
        self._last = min(self._last, last)
        self._closing = Fault.FIN
        frame = GoAwayFrame(0, last_stream_id=last, error_code=ErrorCodes.NO_ERROR)
        self._frames += self._h2.data_to_send() + frame.serialize()
        await self._flush()

    def _forget(self, it: _Stream, how: str) -> None:
        _note_end(it, how)
        self._streams.pop(it.number, None)


def _note_end(it: _Stream, how: str) -> None:
    if it.asked is not None and not it.asked.ended:
        it.asked.ended = how
