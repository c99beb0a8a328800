"""A connection from a program: HTTP/1.1, RFC 9112 by h11."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NoReturn

import h11
import trio

from relay.gateway import http
from relay.gateway.downstream.body import NewBody
from relay.gateway.downstream.messages import reason_of, request_of
from relay.gateway.http import Fields, Flush, LostError, Request, Response, Stream
from relay.gateway.streams import GONE, MAX_HEAD, PIECE
from relay.record.kinds import Kind
from relay.sockets import resets_on_close
from relay.tcp.transfer import losses

_UNREAD: Final = 1024 * 1024
"""Bytes of a body that nobody wanted which are read, so that the connection can go on."""

_DRAIN_LIMIT: Final = 10.0
"""Seconds for a program that does not read what came before a loss."""

_LINGER: Final = 2.0
"""Seconds for a program that still sends to take the answer, RFC 9112 section 9.6."""


class Downstream:
    """One connection from a program; one request at a time."""

    def __init__(self, stream: trio.abc.Stream, sock: socket.socket, new_body: NewBody) -> None:
        """Speak through `stream`, which is TLS or the socket itself."""
        self._new_body = new_body
        self.has_head = False
        """Whether the head of the current answer was written, or will be by flush()."""
        self.written = trio.current_time()
        """When bytes were last written."""
        self.sent = self.received = self.requests = 0
        self.is_aborted = False
        self.body = new_body(self._piece)
        """Of the current request."""
        self._stream = stream
        self._sock = sock
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._writing = trio.Lock()
        self._unsent = bytearray()
        self._scope = trio.CancelScope()
        self._is_head = False
        """Whether the current request is HEAD."""
        self._is_bodiless = False
        """Whether the answer to it has no body, whatever upstream sends."""
        self._is_chunked = False
        """Whether h11 ends the answer by a chunk, the only place for trailers."""
        self._mistake: int | None = None
        """The status for what is not HTTP."""

    async def request(self) -> Request | None:
        """Wait for the next request; None when the program has closed, or does not speak HTTP."""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        self.has_head = False
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
        self.body.release()
        self.body = self._new_body(self._piece)
        return request_of(event)

    async def _next(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self._continue()
            data = await self._stream.receive_some(PIECE)
            self.received += len(data)
            self._h11.receive_data(bytes(data))
        return event

    async def _continue(self) -> None:
        """Ask for the body by 100 (Continue).

        The answer may have begun while this waited for the lock: it stands in for 100 then, which
        may not follow it. So the question is asked again behind the lock.
        """
        async with self._writing:
            if self._h11.they_are_waiting_for_100_continue:
                self._put(h11.InformationalResponse, status_code=100, headers=[])
                await self._send()

    async def _piece(self, flush: Flush) -> bytes | None:
        """Read a piece of the body; a program that goes away ends the exchange."""
        try:
            event: object = self._h11.next_event()
            if event is h11.NEED_DATA:
                await flush()
                try:
                    event = await self._next()
                except GONE:
                    await self._end_exchange()
        except h11.RemoteProtocolError as error:
            self._mistake = error.error_status_hint
            await self._end_exchange()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self.body.trailers = http.end_to_end(event.headers.raw_items())
        return None

    @contextlib.asynccontextmanager
    async def exchange(self) -> AsyncIterator[trio.Nursery]:
        """Answer a request within; left early if the program goes away, or sends what is not HTTP.

        Yields a nursery for tasks of the exchange, which are cancelled at its end. A stream may
        have one reader: while the body is being read, that task notices when the program closes;
        then the watch does. Whichever it is cancels `_scope`, and with it all that is done for the
        program: upstream learns of it by the end of its stream. That may happen at any checkpoint
        of the exchange; what is buffered by then is never written.
        """
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                yield nursery
                nursery.cancel_scope.cancel()
        if self._mistake is not None and not self.has_head:
            await self._refuse(self._mistake)

    async def _watch(self) -> None:
        """Notice when the program closes while it waits; further requests wait for their turn.

        The data of a pipelined request is left to h11. The watch ends with it, so that a program
        that sends without end is not read further before its turn.
        """
        await self.body.ended.wait()
        data = b""
        with contextlib.suppress(*GONE):
            data = bytes(await self._stream.receive_some(PIECE))
            self.received += len(data)
        self._h11.receive_data(data)
        if not data:
            self._scope.cancel()

    async def _end_exchange(self) -> NoReturn:
        """End the exchange: what is done for the program does not matter any more.

        Raises Cancelled; outside of an exchange BrokenResourceError.
        """
        self._scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        raise trio.BrokenResourceError("the program is gone")

    def head(self, response: Response) -> None:
        """Begin the answer; its head is written with what follows, or by flush().

        Raises LostError if it is not valid in HTTP/1.1.
        """
        status = response.status
        kind = h11.InformationalResponse if status < 200 else h11.Response
        reason = response.reason or reason_of(status)
        self._put(kind, status_code=status, headers=response.fields, reason=reason)
        self.has_head = True
        self._is_bodiless = self._is_head or status in http.BODILESS
        is_unbounded = not self._is_bodiless and http.length(response.fields) is None
        self._is_chunked = is_unbounded and self._h11.their_http_version != b"1.0"

    async def data(self, data: bytes | bytearray) -> None:
        """Write some of its body; raises LostError if that is more than the head has promised."""
        if not self._is_bodiless:
            self._put(h11.Data, data=data)
            await self.flush()

    async def pass_on(self, stream: Stream) -> None:
        """Write what is left of the body as it comes, and end it; raises LostError.

        Where there is none, what upstream sends all the same may have no end.
        """
        while (data := await stream.receive()) and not self._is_bodiless:
            await self.data(data)
        await self.end(stream.trailers)

    async def insert(self, data: bytes, *, if_wanted: Callable[[], bool]) -> None:
        """Write `data` in between, unless it is no longer wanted when its turn comes.

        The lock may be held by a write that waits for the program to read, of the very content
        that makes `data` superfluous: so the question is asked behind it. From there to the end of
        _put() no other task runs.
        """
        async with self._writing:
            if self._h11.our_state is h11.SEND_BODY and if_wanted():
                self._put(h11.Data, data=data)
                await self._write()

    async def end(self, trailers: Fields) -> None:
        """End the body; raises LostError if it is shorter than the head has promised."""
        headers = http.end_to_end(trailers) if self._is_chunked else []
        self._put(h11.EndOfMessage, headers=headers)
        await self.flush()

    async def fail(self, fields: Fields, body: bytes) -> None:
        """Answer instead of upstream: 502 (Bad Gateway) with these fields and this body."""
        self.head(Response(502, fields))
        await self.data(body)
        await self.end([])

    def _put(self, kind: Callable[..., h11.Event], **parts: Any) -> None:
        """Buffer an event; raises LostError if HTTP/1.1 cannot express it.

        Bytes stand in the order in which h11 has taken the events, for nothing is awaited between
        both; whoever holds the lock next writes all that is there.
        """
        try:
            self._unsent += self._h11.send(kind(**parts)) or b""
        except h11.LocalProtocolError:
            cause = "what it sent is not valid in HTTP/1.1"
            raise LostError(cause, Kind.UNTRANSLATABLE, is_lasting=True) from None

    async def flush(self) -> None:
        """Write what is buffered."""
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
            await self._end_exchange()

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
            self._put(h11.Response, status_code=status, headers=closing, reason=reason_of(status))
            self._put(h11.EndOfMessage)
            await self._send()

    def abort(self) -> None:
        """Pass a loss on: the connection is reset once what came before has arrived."""
        self.is_aborted = True

    async def next_is_possible(self) -> bool:
        """Return whether the connection can carry another request; read what is left of the last.

        An answer may be complete before its request is, RFC 9112 section 9.3: the rest of the body
        is read here, for the next request stands behind it.
        """
        if self.is_aborted or self._scope.cancel_called or self._h11.our_state is not h11.DONE:
            return False
        try:
            return await self.body.finish(_UNREAD) and self._h11.their_state is h11.DONE
        except GONE:
            return False

    def switch(self) -> tuple[trio.abc.Stream, bytes]:
        """After 101: return the stream, and what has come on it already."""
        return self._stream, self._h11.trailing_data[0]

    async def close(self) -> None:
        """Close, or reset after a loss."""
        if self.is_aborted:
            with trio.move_on_after(_DRAIN_LIMIT):
                await losses.drained(self._sock)
            resets_on_close(self._sock)
        else:
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
