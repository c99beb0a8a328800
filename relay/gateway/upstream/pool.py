"""Which connection carries a request: HTTP/2 is shared, an idle HTTP/1.1 is reused, else a new one.

ALPN decides which of the two upstream speaks; without TLS it is HTTP/1.1.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from relay.gateway.doors import Upstream
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.http2 import Http2
from relay.gateway.upstream.messages import LostError, Stream, UntrustedError
from relay.gateway.upstream.wire import Wire
from relay.record.events import Event, UpstreamClosed, UpstreamOpened, UpstreamReady

HANDSHAKE: Final = 30.0
"""Seconds for TLS with an upstream that has accepted the connection."""

IDLE_KEPT: Final = 8
"""HTTP/1.1 connections kept for reuse."""


class Pool:
    """The connections to one upstream."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        connect: Callable[[Upstream, int], Awaitable[Wire]],
        number: Callable[[], int],
        context: Callable[[bool], ssl.SSLContext],
        nursery: trio.Nursery,
        record: Callable[[Event], None],
    ) -> None:
        """Connect by `connect`, numbered by `number`; what lives on between requests, in `nursery`.

        `context` gives the TLS context, with or without HTTP/2 in its ALPN.
        """
        self.upstream = upstream
        default = 443 if upstream.tls else 80
        port = "" if upstream.port == default else f":{upstream.port}"
        self._authority = f"{upstream.host}{port}".encode()
        self._connect = connect
        self._number = number
        self._context = context
        self._nursery = nursery
        self._record = record
        self._http2: list[Http2] = []
        self._idle: list[Http1] = []
        self._connecting = trio.Lock()
        self._speaks_http1 = not upstream.tls

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        """Give a stream for one request; raises DialError, LostError or UntrustedError."""
        if not self._speaks_http1:
            async with self._connecting:  # one connection serves all who wait for it
                shared = next((each for each in self._http2 if each.has_room), None)
                opened = shared or await self._new(http2=True)
                stream = opened.open() if isinstance(opened, Http2) else None
            if stream is not None:
                try:
                    yield stream
                finally:
                    stream.release()
                return
        else:
            opened = await self._idle_one() or await self._new(http2=False)
        assert isinstance(opened, Http1)
        try:
            yield opened
        finally:
            await self._put_back(opened)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Http1]:
        """Give an HTTP/1.1 connection of its own, for an upgrade; raises like stream()."""
        connection = await self._new(http2=False)
        assert isinstance(connection, Http1)
        try:
            yield connection
        finally:
            await self._close(connection)

    async def _new(self, *, http2: bool) -> Http1 | Http2:
        """Dial, and agree on TLS and HTTP."""
        number = self._number()
        host, port = self.upstream.host, self.upstream.port
        self._record(UpstreamOpened(connection=number, host=host, port=port))
        began = trio.current_time()
        wire = None
        try:
            wire = await self._connect(self.upstream, number)
            stream: trio.abc.Stream = wire
            if self.upstream.tls:
                stream = await self._secured(wire, http2=http2)
        except BaseException as error:
            cause = getattr(error, "cause", None) or type(error).__name__
            self._record(UpstreamClosed(connection=number, cause=cause))
            if wire is not None:
                await trio.aclose_forcefully(wire)
            raise
        protocol = stream.selected_alpn_protocol() if isinstance(stream, trio.SSLStream) else None
        connection: Http1 | Http2
        if protocol == "h2":
            connection = Http2(stream, wire, self._authority)
            self._http2.append(connection)
            self._nursery.start_soon(self._run, connection)
        else:
            connection = Http1(stream, wire, self._authority)
            self._speaks_http1 = True
        seconds = trio.current_time() - began
        self._record(
            UpstreamReady(connection=number, protocol=connection.protocol, seconds=seconds)
        )
        return connection

    async def _secured(self, wire: Wire, *, http2: bool) -> "trio.SSLStream[Wire]":
        stream = trio.SSLStream(wire, self._context(http2), server_hostname=self.upstream.host)
        with trio.move_on_after(HANDSHAKE) as scope:
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                    raise UntrustedError(error.__cause__.verify_message) from None
                cause = _of_tls(error.__cause__) or f"{wire.cause} in the TLS handshake"
                raise LostError(cause, may_be_processed=False) from None
        if scope.cancelled_caught:
            raise LostError("no TLS handshake", may_be_processed=False)
        return stream

    async def _run(self, connection: Http2) -> None:
        try:
            await connection.run()
        finally:
            self._http2.remove(connection)
            self._note_closed(connection)

    async def _idle_one(self) -> Http1 | None:
        """Give the idle connection that was used last and still stands."""
        while self._idle:
            connection = self._idle.pop()
            await connection.wake()
            if not connection.is_dead:
                return connection
            await self._close(connection)
        return None

    async def _put_back(self, connection: Http1) -> None:
        if not connection.rest() or len(self._idle) >= IDLE_KEPT:
            await self._close(connection)
            return
        self._idle.append(connection)
        self._nursery.start_soon(self._watch, connection)

    async def _watch(self, connection: Http1) -> None:
        try:
            await connection.watch()
        except trio.Cancelled:  # the session has ended
            await self._close(connection)
            raise
        if connection.is_dead and connection in self._idle:
            self._idle.remove(connection)
            await self._close(connection)

    async def _close(self, connection: Http1) -> None:
        await connection.close()
        self._note_closed(connection)

    def _note_closed(self, connection: Http1 | Http2) -> None:
        wire = connection.wire
        self._record(
            UpstreamClosed(
                connection=wire.number,
                cause=wire.cause,
                sent=wire.sent,
                received=wire.received,
                seconds=trio.current_time() - wire.opened,
            )
        )


def _of_tls(error: BaseException | None) -> str | None:
    """Say why TLS failed, if it was not the connection's loss."""
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return None
    return f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
