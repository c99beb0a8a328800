"""The program's side of a gateway connection: HTTP/1.1, RFC 9112 by h11."""

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final

import h11
import trio

from relay.gateway.body import Body
from relay.gateway.fields import Fields, values
from relay.gateway.upstream.http1 import MAX_HEAD, PIECE
from relay.gateway.upstream.messages import Request, Response
from relay.tcp import losses
from relay.tcp.options import resets_on_close

_UNREAD: Final = 1024 * 1024
"""Bytes of a body that nobody wanted which are read, so that the connection can go on."""

_DRAIN_LIMIT: Final = 10.0
"""Seconds for a program that does not read what came before a loss."""

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Program:
    """One connection from the program; a request at a time."""

    def __init__(self, stream: trio.abc.Stream, sock: socket.socket) -> None:
        """Speak through `stream`, which is TLS or the socket itself."""
        self.has_said_head = False
        """Whether the head of an answer to the current request was given."""
        self.written = trio.current_time()
        """When the last byte of the current answer was given."""
        self.sent = self.received = self.requests = 0
        self.is_aborted = False
        self._stream = stream
        self._sock = sock
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._writing = trio.Lock()
        self._scope = trio.CancelScope()

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
        except _GONE:
            return None
        if not isinstance(event, h11.Request):
            return None
        self.requests += 1
        fields = event.headers.raw_items()
        framed = bool(values(fields, b"transfer-encoding")) or any(
            length != b"0" for length in values(fields, b"content-length")
        )
        return Request(event.method, event.target, fields, is_framed=framed)

    def body(self) -> Body:
        """Give the current request's body."""
        return Body(self._piece)

    async def _next(self) -> object:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            data = await self._stream.receive_some(PIECE)
            self.received += len(data)
            self._h11.receive_data(bytes(data))

    async def _piece(self) -> bytes | None:
        """Read a piece of the body; a program that goes away ends the request."""
        try:
            event = await self._next()
        except (h11.RemoteProtocolError, *_GONE):
            await self._end_request()
            raise AssertionError from None
        if isinstance(event, h11.Data):
            return bytes(event.data)
        return None

    @contextlib.asynccontextmanager
    async def exchange(self, body: Body) -> AsyncIterator[None]:
        """Be in one; left early when the program goes away."""
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, body)
                yield
                nursery.cancel_scope.cancel()

    async def _watch(self, body: Body) -> None:
        """See when the program closes while it waits; more requests wait their turn."""
        await body.ended.wait()
        data = b"more"
        with contextlib.suppress(*_GONE):
            data = bytes(await self._stream.receive_some(PIECE))
            self.received += len(data)
        self._h11.receive_data(data)
        if not data or data == b"more":
            self._scope.cancel()

    async def _end_request(self) -> None:
        """The program is gone: nothing that is done for it matters any more."""
        self._scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        await trio.sleep_forever()

    async def head(self, response: Response) -> None:
        """Give the head of the answer."""
        self.has_said_head = True
        reason = response.reason or _reason(response.status)
        kind = h11.InformationalResponse if response.status < 200 else h11.Response
        await self._give(kind(status_code=response.status, headers=response.fields, reason=reason))

    async def data(self, data: bytes) -> None:
        """Give some of its body."""
        await self._give(h11.Data(data))

    async def ping(self, data: bytes, *, if_wanted: Callable[[], bool]) -> None:
        """Put `data` in between, unless it is not wanted any more when its turn comes."""
        async with self._writing:
            if self._h11.our_state is h11.SEND_BODY and if_wanted():
                await self._write(h11.Data(data))

    async def end(self, trailers: Fields) -> None:
        """Say that it is complete."""
        chunked = self._h11.their_http_version != b"1.0"
        await self._give(h11.EndOfMessage(headers=trailers if chunked else []))

    async def _give(self, event: h11.Event) -> None:
        async with self._writing:
            await self._write(event)

    async def _write(self, event: h11.Event) -> None:
        self.written = trio.current_time()
        try:
            await self._send(event)
        except _GONE:
            await self._end_request()

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            self.sent += len(data)
            await self._stream.send_all(data)

    async def _refuse(self, status: int) -> None:
        """Answer what is no request; the connection ends with it."""
        with contextlib.suppress(*_GONE, h11.LocalProtocolError):
            await self._send(
                h11.Response(
                    status_code=status, headers=[(b"Connection", b"close")], reason=_reason(status)
                )
            )
            await self._send(h11.EndOfMessage())

    async def fail(self, message: str, *, retry: bool) -> None:
        """Answer instead of upstream, in the API's own words; `retry` is what its clients heed."""
        error = {"type": "error", "error": {"type": "api_error", "message": f"keepline: {message}"}}
        text = json.dumps(error).encode()
        fields = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(text)).encode()),
            (b"x-should-retry", b"true" if retry else b"false"),
        ]
        await self.head(Response(502, fields))
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
        except (h11.RemoteProtocolError, *_GONE):
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
        with trio.move_on_after(1):
            await self._stream.aclose()


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
