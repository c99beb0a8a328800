"""HTTP/1.1 towards upstream, RFC 9112 by h11: one request at a time on a connection."""

import contextlib
from typing import Final

import h11
import trio

from relay.gateway.bounds.bucket import FLOODED, OF_PIECE, UNIT, Bucket
from relay.gateway.http import Fields, LostError, Pieces, Request, Response, length, values, without
from relay.gateway.streams import GONE, MAX_HEAD, PIECE
from relay.gateway.upstream.heads import may_be_http, mend
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.record.kinds import Kind

_TOGETHER: Final = 16 * 1024
"""Bytes of a request that are written at once, if they are there; they fit into one TLS record."""

_LAST_CHUNK: Final = b"\n0\r\n"
_ANSWERING: Final = frozenset({h11.SEND_RESPONSE, h11.SEND_BODY})

_PIECES: Final = 256
"""Chunks that are read at once."""

_FOR_REQUEST: Final = 100
"""Tokens that a request gives back."""

BROKEN: Final = "what it sent is not HTTP/1.1"


class Http1:
    """A connection, and the request that it carries; it is an http.Stream."""

    protocol = "http/1.1"

    def __init__(self, stream: trio.abc.Stream, tcp: WatchedStream, authority: bytes) -> None:
        """Speak through `stream`, which is TLS or the TCP connection itself."""
        self.trailers: Fields = []
        self.tcp = tcp
        self._stream = stream
        self._authority = authority
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._reader = self._h11
        """Another one once an answer's head had to be mended."""
        self._head: bytearray | None = bytearray()
        """What has come of the head, as it came; None once it is whole."""
        self._bucket = Bucket()
        self._is_for_head = False
        """Whether the request is HEAD."""
        tcp.is_awaited = lambda: self._reader.their_state in _ANSWERING
        self._was_written = False
        """Whether upstream may have received a request that it can act on."""
        self._is_sent = False
        """Whether all of the request was written."""
        self._is_received = False
        """Whether all of the answer has come."""
        self._unsent = bytearray()
        self._is_condemned = False
        self._is_chunked = False
        self._tail = b""
        """The last bytes that came."""
        self._has_answered = False
        """Whether anything has come on the connection."""
        self._is_http = False
        """Whether a head of HTTP/1.1 has."""
        self._watching = trio.CancelScope()
        self._watched = trio.Event()
        self.is_dead = False

    async def send(self, request: Request, body: Pieces) -> None:
        """Send a request; a loss shows in what is received."""
        if self._h11.their_state is not h11.IDLE:
            return  # it answers before it is asked: it is full, or has waited too long
        fields = [(b"Host", self._authority), *request.fields]
        if request.is_framed and length(fields) is None:
            fields.append((b"Transfer-Encoding", b"chunked"))
        self._is_for_head = request.method == b"HEAD"
        head = h11.Request(method=request.method, target=request.target, headers=fields)
        # h11's error: upstream has answered and closed already.
        with contextlib.suppress(*GONE, h11.LocalProtocolError):
            await self._put(head)
            number = 0
            while (piece := await body.piece(number, self._flush)) is not None:
                number += 1
                await self._put(h11.Data(piece))
            await self._put(h11.EndOfMessage(headers=body.trailers))
            await self._flush()
            self._is_sent = True

    async def _put(self, event: h11.Event) -> None:
        """Buffer one event; what was buffered before is written first, unless both are small."""
        data = self._h11.send(event) or b""
        if len(self._unsent) + len(data) > _TOGETHER:
            await self._flush()
        self._unsent += data

    async def _flush(self) -> None:
        """Write the buffer; the first time, that is a head alone or no more than _TOGETHER."""
        data, self._unsent = self._unsent, bytearray()
        if not data:
            return
        before, self._was_written = self._was_written, True
        try:
            await self._stream.send_all(data)
        except GONE:  # then some of it was not written
            self._was_written = before
            raise

    async def response(self) -> Response:
        """Wait for the head of the answer; raises LostError. 1xx are dropped, except for 101."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            self._spend(1)  # and it is forgotten
            self._head = bytearray(self._reader.trailing_data[0])
            event = await self._next()
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise LostError(BROKEN, Kind.MALFORMED)
        self._is_http, self._head = True, None
        fields = event.headers.raw_items()
        self._is_chunked = bool(values(fields, b"transfer-encoding"))
        if self._is_chunked and values(fields, b"content-length"):
            # RFC 9112 section 6.3: others may read the length, and find another answer behind it.
            fields = without(fields, b"content-length")
            self._is_condemned = True
        return Response(event.status_code, fields, bytes(event.reason))

    async def receive(self) -> bytes:
        """Return more of the body, all that is there; nothing at its end; raises LostError."""
        data = bytearray()
        while not data and not self._is_received:
            event = await self._next()
            pieces = 0
            while isinstance(event, h11.Data):
                data += event.data
                self._bucket.refund((2 * len(event.data) - OF_PIECE) / UNIT)
                pieces += 1
                event = self._buffered() if pieces < _PIECES else h11.NEED_DATA
            if pieces == _PIECES:  # others have their turn
                await trio.lowlevel.checkpoint()
            if isinstance(event, h11.EndOfMessage):
                self.trailers = event.headers.raw_items()
                self._is_received = True
            elif event is not h11.NEED_DATA:
                raise LostError(BROKEN, Kind.MALFORMED)
        return bytes(data)

    def _buffered(self) -> object:
        """Return h11's next event if it has come; an error in it is raised by the next _next()."""
        try:
            return self._reader.next_event()
        except h11.RemoteProtocolError:
            return h11.NEED_DATA

    async def _next(self) -> object:
        """Return h11's next event; raises LostError."""
        ended = False
        while True:
            try:
                event = self._reader.next_event()
            except h11.RemoteProtocolError:
                if not ended:
                    self._mend()
                    continue
                event = h11.ConnectionClosed()
            if isinstance(event, h11.ConnectionClosed):
                raise self._lost(self.tcp.cause, self.tcp.kind)
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await self._stream.receive_some(PIECE)
            except GONE as error:
                self.tcp.note_end_of_tls(error, has_answered=self._has_answered)
                raise self._lost(self.tcp.cause, self.tcp.kind) from None
            ended = not data
            self._spend(len(data) / UNIT)
            self._has_answered |= bool(data)
            if self._head is not None:
                self._head += data
                if not may_be_http(self._head):
                    raise self._broken()
            elif ended and self._is_chunked and self._tail == _LAST_CHUNK:
                return self._last_line()
            self._reader.receive_data(bytes(data))
            self._tail = (self._tail + data[-len(_LAST_CHUNK) :])[-len(_LAST_CHUNK) :]

    def _spend(self, tokens: float) -> None:
        """Have upstream pay for what has come; raises LostError if it floods.

        What is content pays for itself, and for as much framing.
        """
        if not self._bucket.spend(tokens, trio.current_time()):
            self.tcp.note_verdict(FLOODED, Kind.FLOOD)
            raise LostError(FLOODED, Kind.FLOOD, may_be_processed=self._was_written)

    def _mend(self) -> None:
        """Read the answer's head once more, as clients would; raises LostError.

        What is sent goes on in h11's own state. The connection ends with this answer: where its
        body ends is what we think, and perhaps not what upstream does.
        """
        mended = mend(bytes(self._head)) if self._head and self._reader is self._h11 else None
        if mended is None:
            raise self._broken()
        self._is_condemned = True
        self._reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        method = b"HEAD" if self._is_for_head else b"GET"
        self._reader.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"x")]))
        self._reader.send(h11.EndOfMessage())
        self._reader.receive_data(mended)

    def _last_line(self) -> h11.EndOfMessage:
        """Return the end of a body that was cut after its last chunk; raises LostError.

        It may be content that looks like one: only where h11 waits for trailers does an empty line
        end the message.
        """
        self._reader.receive_data(b"\r\n")
        event = self._buffered()
        if isinstance(event, h11.EndOfMessage):
            return event
        raise self._lost(self.tcp.cause, self.tcp.kind)

    def _lost(self, cause: str, kind: Kind) -> LostError:
        """Return the loss; who does not agree on TLS has not seen the request."""
        lasts = self.tcp.will_end_so_again
        may_be = self._was_written and not lasts
        return LostError(cause, kind, may_be_processed=may_be, is_lasting=lasts)

    def _broken(self) -> LostError:
        """Return the loss by what is not HTTP/1.1: who begins so speaks something else."""
        lasts = not self._is_http
        may_be = self._was_written
        return LostError(BROKEN, Kind.MALFORMED, may_be_processed=may_be, is_lasting=lasts)

    def condemn(self) -> None:
        """Carry no other request."""
        self._is_condemned = True

    def switch(self) -> tuple[trio.abc.Stream, bytes]:
        """After 101: return the stream, and what has come on it already."""
        return self._stream, self._reader.trailing_data[0]

    def rest(self) -> bool:
        """Get ready for a request, another or the first; return False if it cannot carry one.

        The caller keeps the connection for reuse and starts watch() in a task. Another request may
        take it, and call wake(), before that task has run for the first time: so the scope and the
        event are made here and not in watch(). Cancelled before it is entered, the scope ends the
        watch at its first checkpoint, which is before anything is read.
        """
        is_new = self._h11.states == {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE}
        is_over = self._h11.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
        if self._is_condemned or not (is_new or (is_over and self._is_sent)):
            return False
        if is_over:
            self._h11.start_next_cycle()
        self.trailers = []
        self._bucket.refund(_FOR_REQUEST)
        self._was_written = self._is_sent = self._is_received = False
        self._head = bytearray()
        self._watching, self._watched = trio.CancelScope(), trio.Event()
        return not self._h11.trailing_data[0]

    async def watch(self) -> None:
        """After rest(), notice when upstream closes the idle connection; ended by wake().

        A stream may have one reader. While this waits to read, no request may use the connection:
        wake() cancels the read and waits until it has ended. If upstream closes or sends something
        at the same moment, the read wins, `is_dead` is set, and the caller of wake() sees that.
        """
        try:
            with self._watching:
                with contextlib.suppress(*GONE):
                    await self._stream.receive_some(PIECE)
                self.is_dead = True  # closed, or it sends something that nobody has asked for
        finally:
            self._watched.set()

    async def wake(self) -> None:
        """End the watch; return when nobody reads any more.

        Shielded: left early, a cancelled request would leave two readers to those that follow. The
        watch ends at once, so that nothing waits long.
        """
        self._watching.cancel()
        with trio.CancelScope(shield=True):
            await self._watched.wait()

    async def close(self) -> None:
        """Close at once: what may still come is not wanted."""
        await trio.aclose_forcefully(self._stream)
