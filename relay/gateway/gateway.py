"""The gateway of a session: which connections it serves, with which certificate, for which origin.

What speaks HTTP is loaded when the first connection comes; see relay/startup.py.
"""

import functools
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

import trio

from relay.addresses import Destination
from relay.gateway import exchange, upgrade
from relay.gateway.downstream import connection as downstream
from relay.gateway.downstream.handshake import AT_ONCE, DistrustError, secure
from relay.gateway.http import values
from relay.gateway.setup import trust
from relay.gateway.setup.choice import Origin
from relay.gateway.setup.prepare import BASE_URL_PORT, Prepared
from relay.gateway.upstream import pool
from relay.outbound.opener import Opener
from relay.record.events import ConnectionClosed, Distrust, Distrusted, Event
from relay.record.kinds import Kind
from relay.tcp.connection import Connection

_BASE_URL: Final = Destination("127.0.0.1", BASE_URL_PORT)


class Gateway:
    """Serves the connections of programs to its origins."""

    def __init__(  # noqa: PLR0913 - what it is to do, and what it does it by
        self,
        prepared: Prepared,
        *,
        silence: float,
        patience: float,
        opener: Opener,
        record: Callable[[Event], None],
        nursery: trio.Nursery,
    ) -> None:
        """Reach origins by `opener`; `silence` and `patience` are those of ExchangeSettings."""
        self.pools: dict[Origin, pool.Pool] = {}
        self._chosen = prepared.chosen
        self._certificates = prepared.certificates
        self._hold = prepared.hold
        self._silence = silence
        self._patience = patience
        self._opener = opener
        self._record = record
        self._nursery = nursery
        self._is_trusted = False
        """Whether a program has sent a request: it accepts the certificate, or needs none."""

    def handler_at(self, destination: Destination) -> "GatewayHandler | None":
        """Return the handler of a connection that the gateway serves; None if it does not."""
        if destination == _BASE_URL:
            return GatewayHandler(self, self._chosen.base)
        origin = self._chosen.origin_at(*destination)
        return GatewayHandler(self, origin) if origin is not None else None

    async def serve(self, program: socket.socket, number: int, origin: Origin) -> None:
        """Serve a connection of a program to its end."""
        with program.dup() as own:  # a stream closes it; `program` is asked for its state meanwhile
            await self._serve(own, number, origin)

    async def _serve(self, program: socket.socket, number: int, origin: Origin) -> None:
        began = trio.current_time()
        stream = await self._secured(program, origin, number)
        side = downstream.Downstream(stream, program) if stream is not None else None
        try:
            if side is not None:
                await self._requests(side, self._pool(origin), number)
        finally:
            ended = trio.current_time()
            is_first = not self._is_trusted and side is not None and not side.requests
            if is_first and ended - began < AT_ONCE:
                self._note_distrust(number, origin, "closed right after the handshake")
            aborted = side is not None and side.is_aborted
            self._record(
                ConnectionClosed(
                    connection=number,
                    by="keepline" if aborted else "program",
                    how="reset" if aborted else "fin",
                    kind=Kind.RESET if aborted else Kind.CLOSED,
                    sent=side.received if side is not None else 0,
                    received=side.sent if side is not None else 0,
                    seconds=ended - began,
                    idle=ended - side.written if side is not None else 0.0,
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
            kind = Kind.UNTRUSTED
            self._record(Distrusted(connection=number, kind=kind, host=origin.host, how=how))

    async def _requests(
        self, side: "downstream.Downstream", upstream: "pool.Pool", number: int
    ) -> None:
        """Answer one request after the other."""
        settings = exchange.ExchangeSettings(
            self._hold, self._silence, self._patience, self._record
        )
        while (request := await side.request()) is not None:
            self._is_trusted = True
            if values(request.fields, b"upgrade") and not request.is_framed:
                await upgrade.pass_through(side, request, upstream)
                break
            body = side.body()
            async with side.exchange(body) as nursery:
                await exchange.Exchange(request, side, upstream, settings, number, nursery).run()
            if not await side.next_is_possible(body):
                break
        await side.close()

    def _pool(self, origin: Origin) -> "pool.Pool":
        if origin not in self.pools:
            self.pools[origin] = pool.Pool(
                origin,
                opener=self._opener,
                context=functools.cache(_client_context),
                nursery=self._nursery,
                record=self._record,
            )
        return self.pools[origin]


def _client_context(http2: bool) -> "ssl.SSLContext":  # noqa: FBT001 - which of two
    return trust.client_context(os.environ, alpn=trust.ALPN if http2 else trust.ALPN[1:])


class GatewayHandler:
    """The handler of a connection that the gateway serves."""

    def __init__(self, gateway: Gateway, origin: Origin) -> None:
        self.destination = origin.destination
        self.address = origin.host
        self._gateway = gateway
        self._origin = origin

    async def serve(self, connection: Connection) -> None:
        """Accept, and serve to the end, or until the command has ended."""
        program = await connection.offer.accept()
        with trio.CancelScope() as scope:
            connection.abort = scope.cancel
            await self._gateway.serve(program, connection.number, self._origin)
