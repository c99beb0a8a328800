"""The program's side of a gateway connection: HTTP/1.1, RFC 9112 by h11."""

import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final, NoReturn

import h11
import trio

from relay.gateway.body import Body
from relay.gateway.http import (
    BODILESS,
    Fields,
    Flush,
    LostError,
    Request,
    Response,
    end_to_end,
    length,
    values,
    without,
)
from relay.gateway.upstream.http1 import MAX_HEAD, PIECE
from relay.gateway.upstream.watched_stream import GONE
from relay.record.kinds import Kind
from relay.sockets import resets_on_close
from relay.tcp.transfer import losses

_UNREAD: Final = 1024 * 1024
"""Bytes of a body that nobody wanted which are read, so that the connection can go on."""

_DRAIN_LIMIT: Final = 10.0
"""Seconds for a program that does not read what came before a loss."""

_LINGER: Final = 2.0
"""Seconds for a program that still sends to take the answer, RFC 9112 section 9.6."""

_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
"""What a request to a proxy has before its path, RFC 9112 section 3.2.2."""

_UNSAYABLE: Final = "what it sent cannot be said in HTTP/1.1"


class Program:
    """One connection from the program; a request at a time."""

    def __init__(self, stream: trio.abc.Stream, sock: socket.socket) -> None:
        """Speak through `stream`, which is TLS or the socket itself."""
        self.has_said_head = False
        """Whether the head of an answer to the current request was said."""
        self.written = trio.current_time()
        """When the last byte of the current answer was given."""
        self.sent = self.received = self.requests = 0
        self.is_aborted = False
        self._stream = stream
        self._sock = sock
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._writing = trio.Lock()
        self._unsent = bytearray()
        self._scope = trio.CancelScope()
        self._body = Body(self._piece)
        self._is_head = False
        """Whether the current request is HEAD."""
        self._is_bodiless = False
        """Whether the answer to it has no body, whatever upstream sends."""
        self._is_chunked = False
        self._mistake: int | None = None
        """The status for what is not HTTP."""

    async def request(self) -> Request | None:
        """Wait for the next request; None when the program has closed, or speaks no HTTP."""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        self.has_said_head = False
        try:
            event = await self._next()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
            return None
        except GONE:
            return None
        if not isinstance(event, h11.Request):
            return None
        self.requests += 1
        if event.method == b"CONNECT":  # the gateway is no proxy
            await self._refuse(501)
            return None
        self._is_head = event.method == b"HEAD"
        self._body = Body(self._piece)
        fields = event.headers.raw_items()
        is_chunked = bool(values(fields, b"transfer-encoding"))
        if is_chunked:  # which overrides a length, RFC 9112 section 6.3
            fields = without(fields, b"content-length")
        framed = is_chunked or (length(fields) or 0) > 0
        return Request(event.method, _origin_form(event.target), fields, is_framed=framed)

    def body(self) -> Body:
        """Give the current request's body."""
        return self._body

    async def _next(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self._go_on()
            data = await self._stream.receive_some(PIECE)
            self.received += len(data)
            self._h11.receive_data(bytes(data))
        return event

    async def _go_on(self) -> None:
        """Say that the body is wanted, unless the answer has begun meanwhile."""
        async with self._writing:
            if self._h11.they_are_waiting_for_100_continue:
                self._say(h11.InformationalResponse(status_code=100, headers=[]))
                await self._send()

    async def _piece(self, flush: Flush) -> bytes | None:
        """Read a piece of the body; a program that goes away ends the request."""
        try:
            event: object = self._h11.next_event()
            if event is h11.NEED_DATA:
                await flush()
                event = await self._more()
        except h11.RemoteProtocolError as error:
            self._mistake = error.error_status_hint
            await self._end_request()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self._body.trailers = end_to_end(event.headers.raw_items())
        return None

    async def _more(self) -> object:
        try:
            return await self._next()
        except GONE:
            await self._end_request()

    @contextlib.asynccontextmanager
    async def exchange(self, body: Body) -> AsyncIterator[trio.Nursery]:
        """Be in one; left early when the program goes away, or speaks no HTTP any more.

        Gives a nursery for what is done beside; it is cancelled at the end.
        """
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, body)
                yield nursery
                nursery.cancel_scope.cancel()
        if self._mistake is not None and not self.has_said_head:
            await self._refuse(self._mistake)

    async def _watch(self, body: Body) -> None:
        """See when the program closes while it waits; more requests wait their turn."""
        await body.ended.wait()
        data = b""
        with contextlib.suppress(*GONE):
            data = bytes(await self._stream.receive_some(PIECE))
            self.received += len(data)
        self._h11.receive_data(data)
        if not data:
            self._scope.cancel()

    async def _end_request(self) -> NoReturn:
        """End the exchange: nothing that is done for the program matters any more.

        Raises BrokenResourceError where there is none.
        """
        self._scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        raise trio.BrokenResourceError("the program is gone")

    def head(self, response: Response) -> None:
        """Say the head of the answer; it is given with what follows, or by flush().

        Raises LostError for one that cannot be said.
        """
        status = response.status
        kind = h11.InformationalResponse if status < 200 else h11.Response
        reason = response.reason or _reason(status)
        try:
            event = kind(status_code=status, headers=response.fields, reason=reason)
        except h11.LocalProtocolError:
            raise LostError(_UNSAYABLE, Kind.UNTRANSLATABLE) from None
        self.has_said_head = True
        self._is_bodiless = self._is_head or status in BODILESS
        self._is_chunked = not self._is_bodiless and _is_chunked(response, self._h11)
        self._say(event)

    async def data(self, data: bytes) -> None:
        """Give some of its body; raises LostError if that is more than the head has told."""
        if not self._is_bodiless:
            self._say(h11.Data(data))
            await self.flush()

    async def ping(self, data: bytes, *, if_wanted: Callable[[], bool]) -> None:
        """Put `data` in between, unless it is not wanted any more when its turn comes."""
        async with self._writing:
            if self._h11.our_state is h11.SEND_BODY and if_wanted():
                self._say(h11.Data(data))
                await self._write()

    async def end(self, trailers: Fields) -> None:
        """Say that it is complete; raises LostError if that is less than the head has told."""
        try:
            event = h11.EndOfMessage(headers=end_to_end(trailers) if self._is_chunked else [])
        except h11.LocalProtocolError:
            raise LostError(_UNSAYABLE, Kind.UNTRANSLATABLE) from None
        self._say(event)
        await self.flush()

    def _say(self, event: h11.Event) -> None:
        try:
            self._unsent += self._h11.send(event) or b""
        except h11.LocalProtocolError:
            raise LostError(_UNSAYABLE, Kind.UNTRANSLATABLE) from None

    async def flush(self) -> None:
        """Give what was said."""
        try:  # without a pass through the scheduler for each piece
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            await self._write()
        finally:
            self._writing.release()

    async def _write(self) -> None:
        try:
            await self._send()
        except GONE:
            await self._end_request()

    async def _send(self) -> None:
        data, self._unsent = self._unsent, bytearray()
        if data:
            self.written = trio.current_time()
            self.sent += len(data)
            await self._stream.send_all(data)

    async def _refuse(self, status: int) -> None:
        """Answer what is no request; the connection ends with it, and so do its bytes."""
        self._mistake = status
        closing = [(b"Connection", b"close")]
        with contextlib.suppress(*GONE, LostError):
            self._say(h11.Response(status_code=status, headers=closing, reason=_reason(status)))
            self._say(h11.EndOfMessage())
            await self._send()

    async def fail(self, message: str, *, retry: bool) -> None:
        """Answer instead of upstream, in the API's own words; `retry` is what its clients heed."""
        error = {"type": "error", "error": {"type": "api_error", "message": f"keepline: {message}"}}
        text = json.dumps(error).encode()
        fields = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(text)).encode()),
            (b"x-should-retry", b"true" if retry else b"false"),
        ]
        self.head(Response(502, fields))
        await self.data(text)
        await self.end([])

    def abort(self) -> None:
        """Pass a loss on: the connection will be reset once what came before has arrived."""
        self.is_aborted = True

    async def next_is_possible(self, body: Body) -> bool:
        """Tell whether the connection can carry another request; reads what is left of the last."""
        if self.is_aborted or self._scope.cancel_called or self._h11.our_state is not h11.DONE:
            return False
        try:
            return await body.finish(_UNREAD) and self._h11.their_state is h11.DONE
        except GONE:
            return False

    def switch(self) -> tuple[trio.abc.Stream, bytes]:
        """After 101: give the stream, and what has come already."""
        return self._stream, self._h11.trailing_data[0]

    async def close(self) -> None:
        """Close, or reset after a loss."""
        if self.is_aborted:
            with trio.move_on_after(_DRAIN_LIMIT):
                await losses.drained(self._sock)
            resets_on_close(self._sock)
            await trio.aclose_forcefully(self._stream)
            return
        with trio.move_on_after(_LINGER):
            await self._linger()
        await trio.aclose_forcefully(self._stream)

    async def _linger(self) -> None:
        """Read what a program still sends: unread, it would turn our FIN into a reset."""
        if self._mistake is None and self._h11.their_state is not h11.SEND_BODY:
            return
        with contextlib.suppress(*GONE, OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while await self._stream.receive_some(PIECE):
                pass


def _origin_form(target: bytes) -> bytes:
    """Leave the host out of a target that has one, and with it a user and a password."""
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    rest = target[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _is_chunked(response: Response, connection: h11.Connection) -> bool:
    """Tell whether h11 ends the answer by a chunk, the one place for trailers."""
    return length(response.fields) is None and connection.their_http_version != b"1.0"


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
