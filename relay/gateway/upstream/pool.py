"""Which connection carries a request: HTTP/2 is shared, idle HTTP/1.1 is reused, else a new one.

ALPN decides which of the two upstream speaks; without TLS it is HTTP/1.1.
"""

import functools
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from relay.barrier import contained
from relay.descriptors import SPARE
from relay.gateway.http import LostError, Stream, UntrustedError
from relay.gateway.setup.choice import Origin
from relay.gateway.setup.trust import ALPN, TrustError, client_context
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.http2 import Http2, Http2Stream
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.outbound.opener import Opener
from relay.record.events import Event, UpstreamClosed, UpstreamOpened, UpstreamReady
from relay.record.kinds import Kind

HANDSHAKE: Final = 30.0
"""Seconds for the TLS handshake with an upstream that has accepted the connection."""

IDLE_KEPT: Final = 8
"""HTTP/1.1 connections kept for reuse."""


@dataclass(eq=False)
class Pool:
    """The connections to one origin."""

    origin: Origin
    opener: Opener
    nursery: trio.Nursery
    """For what lives on between requests."""
    record: Callable[[Event], None]

    def __post_init__(self) -> None:
        """Start without any."""
        self._context = functools.cache(_context)
        self.shared: list[Http2] = []
        self.idle: list[Http1] = []
        """Kept for requests to come."""
        self._connecting = trio.Lock()
        self._dials = 0
        self._failed: tuple[int, Exception] | None = None
        """The number of the last shared dial that failed, and why."""
        self._speaks_http1 = not self.origin.tls

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        """Open a stream for one request; raises DialError, LostError or UntrustedError."""
        opened = None if self._speaks_http1 else self._roomy() or await self._shared()
        if isinstance(opened, Http2Stream):
            try:
                yield opened
            finally:
                opened.release()
                for surplus in [each for each in self.shared if each.is_idle][1:]:
                    surplus.retire()
            return
        connection = opened or await self._idle_one() or await self._new_http1()
        try:
            yield connection
        finally:
            await self._put_back(connection)

    def _roomy(self) -> Http2Stream | None:
        """Open a stream on a shared connection that is known to have room; None if none has."""
        return next((each.open() for each in self.shared if each.engine.has_room), None)

    async def _shared(self) -> Http2Stream | Http1 | None:
        """Open a stream on a shared connection; None if upstream is now known to speak HTTP/1.1.

        One task dials for all that wait: fifty requests at once make one connection, whose protocol
        decides for all. The others wait for the lock meanwhile, and look again when they have it:
        the dial of the task before them has made room, has shown that upstream speaks HTTP/1.1, or
        has failed. A dial that began after a task had started to wait, which is one with a higher
        number than it saw, has failed for that task as well: else each of fifty would wait for the
        patience of all before it. If the task that dials is cancelled, its program being gone, that
        is no failure (Cancelled is no Exception), and the next in line dials.
        """
        seen = self._dials
        async with self._connecting:
            for each in self.shared.copy():
                await each.settled()
            if (shared := self._roomy()) is not None:
                return shared
            if self._speaks_http1:
                return None
            if self._failed is not None and self._failed[0] > seen:
                raise self._failed[1]
            self._dials += 1
            try:
                opened = await self._new(http2=True)
            except Exception as error:
                self._failed = self._dials, error
                raise
            if isinstance(opened, Http2):
                return opened.open()
            self._speaks_http1 = True
            return opened

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Http1]:
        """Open an HTTP/1.1 connection of its own, for an upgrade; raises like stream()."""
        connection = await self._new_http1()
        try:
            yield connection
        finally:
            await self._close(connection)

    async def _new_http1(self) -> Http1:
        connection = await self._new(http2=False)
        assert isinstance(connection, Http1), "HTTP/2 was not offered"
        return connection

    async def _new(self, *, http2: bool) -> Http1 | Http2:
        """Dial, and agree on TLS and HTTP."""
        standing = self.opener.standing
        number = standing.number()
        host, port = destination = self.origin.destination
        self.record(UpstreamOpened(connection=number, host=host, port=port))
        began = trio.current_time()
        tcp = None
        try:
            opened = await self.opener.open(destination, number)
            tcp = WatchedStream(opened, number, standing.connections)
            stream: trio.abc.Stream = tcp
            if self.origin.tls:
                stream = await self._secured(tcp, http2=http2)
        except BaseException as error:
            cancelled = isinstance(error, trio.Cancelled)
            kind = Kind.CANCELLED if cancelled else getattr(error, "kind", Kind.OTHER)
            cause = "no longer wanted" if cancelled else str(error)
            self.record(UpstreamClosed(connection=number, kind=kind, cause=cause))
            if tcp is not None:
                await trio.aclose_forcefully(tcp)
            raise
        protocol = stream.selected_alpn_protocol() if isinstance(stream, trio.SSLStream) else None
        authority = self.origin.authority.encode()
        connection: Http1 | Http2
        if protocol == "h2":
            connection = Http2(stream, tcp, authority)
            self.shared.append(connection)
            self.nursery.start_soon(self._run, connection)
        else:
            connection = Http1(stream, tcp, authority)
        seconds = trio.current_time() - began
        self.record(UpstreamReady(connection=number, protocol=connection.protocol, seconds=seconds))
        return connection

    async def _secured(self, tcp: WatchedStream, *, http2: bool) -> "trio.SSLStream[WatchedStream]":
        """Complete the TLS handshake; raises UntrustedError or LostError."""
        try:
            context = self._context(http2)
        except TrustError as error:
            raise UntrustedError(error.cause) from error
        stream = trio.SSLStream(tcp, context, server_hostname=self.origin.host)
        with trio.move_on_after(HANDSHAKE):
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                    raise UntrustedError(error.__cause__.verify_message) from None
                raise _of_tls(error.__cause__, tcp) from None
            return stream
        raise LostError("no TLS handshake", Kind.TIMEOUT, may_be_processed=False)

    async def _run(self, connection: Http2) -> None:
        """Run a shared connection; a fault ends it, and its requests are asked again."""
        try:
            with contained(self.record, "upstream connection", connection.tcp.number):
                await connection.run()
        finally:
            self.shared.remove(connection)
            self._note_closed(connection)

    async def _idle_one(self) -> Http1 | None:
        """Take the idle connection that was used last and still stands; None if there is none.

        It is watched by a task of its own. From pop() on that task does not find it in the list any
        more, and leaves it alone whatever it reads: wake() waits until that task has let go of the
        connection, and then it is dead or this request's alone.
        """
        while self.idle:
            connection = self.idle.pop()
            await connection.wake()
            if not connection.is_dead:
                return connection
            await self._close(connection)
        return None

    async def _put_back(self, connection: Http1) -> None:
        if not connection.rest() or len(self.idle) >= IDLE_KEPT:
            await self._close(connection)
            return
        self.idle.append(connection)
        self.nursery.start_soon(self._watch, connection)

    async def _watch(self, connection: Http1) -> None:
        """Close an idle connection when upstream closes it.

        Between the read's end and the next line a request may have taken the connection out of the
        list, in _idle_one(): then it is that request that sees `is_dead` and closes it.
        """
        number = connection.tcp.number
        with contained(self.record, "close of an upstream connection", number):
            try:
                with contained(self.record, "idle upstream connection", number) as watch:
                    await connection.watch()
                connection.is_dead |= watch.failed
            except trio.Cancelled:  # the session has ended
                await self._close(connection)
                raise
            if connection.is_dead and connection in self.idle:
                self.idle.remove(connection)
                await self._close(connection)

    async def _close(self, connection: Http1) -> None:
        try:
            await connection.close()
        finally:  # the program may be gone, and what was done for it cancelled
            self._note_closed(connection)

    def _note_closed(self, connection: Http1 | Http2) -> None:
        tcp = connection.tcp
        self.record(
            UpstreamClosed(
                connection=tcp.number,
                cause=tcp.cause,
                kind=tcp.kind,
                sent=tcp.sent,
                received=tcp.received,
                seconds=trio.current_time() - tcp.opened,
            )
        )


def _context(http2: bool) -> ssl.SSLContext:  # noqa: FBT001 - which of two
    """Return the TLS context, with or without HTTP/2 in its ALPN; raises TrustError."""
    with SPARE.lent():  # at the limit, files that cannot be opened are no reason for distrust
        return client_context(os.environ, alpn=ALPN if http2 else ALPN[1:])


def _of_tls(error: BaseException | None, tcp: WatchedStream) -> LostError:
    """Return the loss in a TLS handshake: by TLS, or of the connection."""
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return LostError(f"{tcp.cause} in the TLS handshake", tcp.kind, may_be_processed=False)
    cause = f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
    return LostError(cause, Kind.TLS, may_be_processed=False)
