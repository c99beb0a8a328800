"""Makes a connection to an origin: dials, agrees on TLS, and by ALPN on the version of HTTP."""

import functools
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from relay.descriptors import SPARE
from relay.gateway.http import LostError, UntrustedError
from relay.gateway.setup.choice import Origin
from relay.gateway.setup.trust import ALPN, TrustError, client_context
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.http2 import Http2
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.outbound.opener import Opener
from relay.record.events import Event, UpstreamClosed, UpstreamOpened, UpstreamReady
from relay.record.kinds import Kind

HANDSHAKE: Final = 30.0
"""Seconds for the TLS handshake with an upstream that has accepted the connection; twice as long
after each that took too long, until one succeeds."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection that stands, on which nothing has been said yet."""

    tcp: WatchedStream
    began: float
    """When it was dialled, on trio's clock."""


@dataclass(eq=False)
class Connector:
    """Connects to one origin; a connection that comes to nothing is closed and recorded."""

    origin: Origin
    opener: Opener
    record: Callable[[Event], None]

    def __post_init__(self) -> None:
        """Make each TLS context once."""
        self._context = functools.cache(self._new_context)
        self._handshake = HANDSHAKE

    async def dial(self) -> Reached:
        """Reach upstream; raises DialError."""
        standing = self.opener.standing
        number = standing.number()
        host, port = destination = self.origin.destination
        self.record(UpstreamOpened(connection=number, host=host, port=port))
        began = trio.current_time()
        try:
            opened = await self.opener.open(destination, number)
            return Reached(WatchedStream(opened, number, standing.connections), began)
        except BaseException as error:
            self._note_failure(number, error)
            raise

    async def agree(self, reached: Reached, *, http2: bool) -> Http1 | Http2:
        """Agree on TLS and HTTP, `http2` if upstream likes; raises UntrustedError or LostError."""
        tcp = reached.tcp
        stream: trio.abc.Stream = tcp
        try:
            if self.origin.tls:
                stream = await self._secured(tcp, http2=http2)
        except BaseException as error:
            self._note_failure(tcp.number, error)
            await trio.aclose_forcefully(tcp)
            raise
        protocol = stream.selected_alpn_protocol() if isinstance(stream, trio.SSLStream) else None
        kind = Http2 if protocol == "h2" else Http1
        connection = kind(stream, tcp, self.origin.authority.encode())
        seconds = trio.current_time() - reached.began
        self.record(
            UpstreamReady(connection=tcp.number, protocol=connection.protocol, seconds=seconds)
        )
        return connection

    async def _secured(self, tcp: WatchedStream, *, http2: bool) -> "trio.SSLStream[WatchedStream]":
        """Complete the TLS handshake; raises UntrustedError or LostError."""
        try:
            context = self._context(http2)
        except TrustError as error:
            raise UntrustedError(error.cause) from error
        stream = trio.SSLStream(tcp, context, server_hostname=self.origin.host)
        with trio.move_on_after(self._handshake):
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                    raise UntrustedError(error.__cause__.verify_message) from None
                raise _of_tls(error, tcp) from None
            self._handshake = HANDSHAKE
            return stream
        self._handshake *= 2
        raise LostError("no TLS handshake", Kind.TIMEOUT, may_be_processed=False)

    def _new_context(self, http2: bool) -> ssl.SSLContext:  # noqa: FBT001 - which of two
        """Make a TLS context, with or without HTTP/2 in its ALPN; raises TrustError."""
        alpn, identity = ALPN if http2 else ALPN[1:], self.origin.dialect.identity
        with SPARE.lent():  # at the limit, files that cannot be opened are no reason for distrust
            return client_context(os.environ, alpn=alpn, identity=identity)

    def _note_failure(self, number: int, error: BaseException) -> None:
        cancelled = isinstance(error, trio.Cancelled)
        kind = Kind.CANCELLED if cancelled else getattr(error, "kind", Kind.OTHER)
        cause = "no longer wanted" if cancelled else str(error)
        self.record(UpstreamClosed(connection=number, kind=kind, cause=cause))


def _of_tls(error: trio.BrokenResourceError, tcp: WatchedStream) -> LostError:
    """Return the loss in a TLS handshake: by TLS, or of the connection."""
    tcp.note_end_of_tls(error)
    where = "" if tcp.kind is Kind.TLS else " in the TLS handshake"
    lasts = tcp.will_end_so_again
    return LostError(f"{tcp.cause}{where}", tcp.kind, may_be_processed=False, is_lasting=lasts)
