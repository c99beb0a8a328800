"""The gateway of a session: which connections it serves, with which certificate, for which origin.

What speaks HTTP is imported when the first connection comes: h11 and h2 take long to load.
"""

import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

import trio

from relay.addresses import Destination
from relay.gateway.downstream.handshake import AT_ONCE, DistrustError, secure
from relay.gateway.http import values
from relay.gateway.setup.choice import Origin
from relay.gateway.setup.prepare import BASE_URL_PORT, Prepared
from relay.gateway.setup.trust import ALPN, client_context
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.outbound.dialer import Target
from relay.record.events import ConnectionClosed, DialHeld, Dialled, Distrust, Distrusted
from relay.tcp.connection import peer

if TYPE_CHECKING:
    from relay.gateway.downstream.connection import Downstream
    from relay.gateway.exchange import ExchangeSettings
    from relay.gateway.upstream.pool import Pool
    from relay.tcp.connection import Connections

_BASE_URL: Final = Destination("127.0.0.1", BASE_URL_PORT)


class Gateway:
    """Serves the connections of programs to its origins."""

    def __init__(
        self, prepared: Prepared, *, silence: float, patience: float, connections: "Connections"
    ) -> None:
        """Dial as `connections` do; `silence` and `patience` are those of ExchangeSettings."""
        self.pools: dict[Origin, Pool] = {}
        self._chosen = prepared.chosen
        self._certificates = prepared.certificates
        self._hold = prepared.hold
        self._silence = silence
        self._patience = patience
        self._shared = connections
        self._record = connections.record
        self._settings: ExchangeSettings | None = None
        self._is_trusted = False
        """Whether a program has sent a request: it accepts the certificate, or needs none."""

    def origin_at(self, destination: Destination) -> Origin | None:
        """Return the origin of a connection that the gateway serves; None if it does not."""
        if destination == _BASE_URL:
            return self._chosen.base
        return self._chosen.origin_at(*destination)

    async def serve(self, program: socket.socket, number: int, origin: Origin) -> None:
        """Serve a connection of a program to its end."""
        with program.dup() as own:  # a stream closes it; `program` is asked for its state meanwhile
            await self._serve(own, number, origin)

    async def _serve(self, program: socket.socket, number: int, origin: Origin) -> None:
        from relay.gateway.downstream.connection import Downstream  # noqa: PLC0415

        began = trio.current_time()
        stream = await self._secured(program, origin, number)
        downstream = Downstream(stream, program) if stream is not None else None
        try:
            if downstream is not None:
                await self._requests(downstream, self._pool(origin), number)
        finally:
            ended = trio.current_time()
            is_first = not self._is_trusted and downstream is not None and not downstream.requests
            if is_first and ended - began < AT_ONCE:
                self._note_distrust(number, origin, "closed right after the handshake")
            aborted = downstream is not None and downstream.is_aborted
            self._record(
                ConnectionClosed(
                    connection=number,
                    by="keepline" if aborted else "program",
                    how="reset" if aborted else "fin",
                    sent=downstream.received if downstream is not None else 0,
                    received=downstream.sent if downstream is not None else 0,
                    seconds=ended - began,
                    idle=ended - downstream.written if downstream is not None else 0.0,
                )
            )

    async def _secured(
        self, program: socket.socket, origin: Origin, number: int
    ) -> trio.abc.Stream | None:
        """Complete a TLS handshake where the program expects one; None if it fails."""
        plain = trio.SocketStream(trio.socket.from_stdlib_socket(program))
        if self._chosen.mode == "http" or not origin.tls:
            return plain
        assert self._certificates is not None
        try:
            return await secure(plain, self._certificates.server_context(origin.host))
        except DistrustError as error:
            self._note_distrust(number, origin, error.how)
            return None

    def _note_distrust(self, number: int, origin: Origin, how: Distrust) -> None:
        if self._chosen.mode == "tls" and origin.tls:
            self._record(Distrusted(connection=number, host=origin.host, how=how))

    async def _requests(self, downstream: "Downstream", pool: "Pool", number: int) -> None:
        """Answer one request after the other."""
        from relay.gateway.exchange import Exchange, ExchangeSettings  # noqa: PLC0415
        from relay.gateway.upgrade import pass_through  # noqa: PLC0415

        if self._settings is None:
            self._settings = ExchangeSettings(
                self._hold, self._silence, self._patience, self._record
            )
        while (request := await downstream.request()) is not None:
            self._is_trusted = True
            if values(request.fields, b"upgrade") and not request.is_framed:
                await pass_through(downstream, request, pool)
                break
            body = downstream.body()
            async with downstream.exchange(body) as nursery:
                exchange = Exchange(request, downstream, pool, self._settings, number, nursery)
                await exchange.run()
            if not await downstream.next_is_possible(body):
                break
        await downstream.close()

    def _pool(self, origin: Origin) -> "Pool":
        if origin not in self.pools:
            from relay.gateway.upstream.pool import Pool  # noqa: PLC0415

            contexts: dict[bool, ssl.SSLContext] = {}

            def context(http2: bool) -> ssl.SSLContext:  # noqa: FBT001 - which of two
                if http2 not in contexts:
                    alpn = ALPN if http2 else ALPN[1:]
                    contexts[http2] = client_context(os.environ, alpn=alpn)
                return contexts[http2]

            self.pools[origin] = Pool(
                origin,
                connect=self._connect,
                number=self._shared.number,
                context=context,
                nursery=self._shared.nursery,
                record=self._record,
            )
        return self.pools[origin]

    async def _connect(self, origin: Origin, number: int) -> WatchedStream:
        """Dial with patience; raises DialError."""

        def held(cause: str) -> None:
            self._record(DialHeld(connection=number, cause=cause))

        began = trio.current_time()
        sock, attempts = await self._shared.dialer.dial(
            Target(origin.destination.name, origin.host, origin.port),
            held=held,
            wanted=lambda: True,
        )
        address = peer(sock)[0]
        seconds = trio.current_time() - began
        self._record(
            Dialled(connection=number, address=address, seconds=seconds, attempts=attempts)
        )
        return WatchedStream(sock, number, address, origin.port, self._shared.lines)
