"""The gateway of a session: which connections it serves, with which certificate, for which origin.

What speaks HTTP is loaded when the first connection comes; see relay/startup.py.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from relay.addresses import Destination
from relay.gateway import exchange, upgrade
from relay.gateway.downstream import connection as downstream
from relay.gateway.downstream.handshake import AT_ONCE, DistrustError, secure
from relay.gateway.downstream.program_stream import ProgramStream
from relay.gateway.http import values
from relay.gateway.setup.choice import Origin
from relay.gateway.setup.prepare import BASE_URL_PORT, Prepared
from relay.gateway.upstream import pool
from relay.inbound.offer import Offer
from relay.outbound.opener import Opener
from relay.outbound.patience import DialError
from relay.record.events import ConnectionClosed, ConnectionServed, Distrust, Distrusted, Event
from relay.record.kinds import Kind
from relay.tcp.acceptance import accept, refuse, while_wanted
from relay.tcp.connection import Connection

_BASE_URL: Final = Destination("127.0.0.1", BASE_URL_PORT)


@dataclass(eq=False)
class Gateway:
    """Serves the connections of programs to its origins."""

    prepared: Prepared
    opener: Opener
    """Reaches the origins."""
    record: Callable[[Event], None]
    nursery: trio.Nursery
    """For what lives on between connections."""
    pools: dict[Origin, "pool.Pool"] = field(default_factory=dict)
    _is_trusted: bool = False
    """Whether a program has sent a request: it accepts the certificate, or needs none."""

    def handler_at(self, destination: Destination) -> "GatewayHandler | None":
        """Return the handler of a connection that the gateway serves; None if it does not."""
        chosen = self.prepared.chosen
        origin = chosen.base if destination == _BASE_URL else chosen.origin_at(*destination)
        return GatewayHandler(self, origin) if origin is not None else None

    async def reach(self, origin: Origin) -> None:
        """Return once there is an upstream that lives, dialled if need be; raises DialError."""
        await self._pool(origin).reach()

    def _pool(self, origin: Origin) -> "pool.Pool":
        if origin not in self.pools:
            self.pools[origin] = pool.Pool(origin, self.opener, self.nursery, self.record)
        return self.pools[origin]

    async def serve(self, program: socket.socket, number: int, origin: Origin) -> None:
        """Serve a connection of a program to its end."""
        with program.dup() as own:  # a stream closes it; `program` is asked for its state meanwhile
            began = trio.current_time()
            plain = ProgramStream(own)
            stream = await self._secured(plain, origin, number)
            side = downstream.Downstream(stream, own) if stream is not None else None
            try:
                if side is not None:
                    await self._requests(side, origin, number)
            except Exception:  # a fault, which is the caller's to tell
                if side is not None:
                    side.abort()
                raise
            finally:
                ended = trio.current_time()
                is_first = not self._is_trusted and side is not None and not side.requests
                if is_first and ended - began < AT_ONCE:
                    self._note_distrust(number, origin, "closed right after the handshake")
                aborted = side is not None and side.is_aborted
                by, how, kind, cause = plain.end(aborted=aborted)
                self.record(
                    ConnectionClosed(
                        connection=number,
                        by=by,
                        how=how,
                        kind=kind,
                        cause=cause,
                        sent=side.received if side is not None else 0,
                        received=side.sent if side is not None else 0,
                        seconds=ended - began,
                        idle=ended - side.written if side is not None else 0.0,
                    )
                )

    async def _secured(
        self, plain: ProgramStream, origin: Origin, number: int
    ) -> trio.abc.Stream | None:
        """Complete a TLS handshake where the program expects one; None if it fails."""
        if self.prepared.chosen.mode == "http" or not origin.tls:
            return plain
        assert self.prepared.certificates is not None
        try:
            return await secure(plain, self.prepared.certificates.server_context(origin.host))
        except DistrustError:
            self._note_distrust(number, origin, "refused the certificate")
            return None

    def _note_distrust(self, number: int, origin: Origin, how: Distrust) -> None:
        if self.prepared.chosen.mode == "tls" and origin.tls:
            kind = Kind.UNTRUSTED
            self.record(Distrusted(connection=number, kind=kind, host=origin.host, how=how))

    async def _requests(self, side: "downstream.Downstream", origin: Origin, number: int) -> None:
        """Answer one request after the other."""
        upstream = self._pool(origin)
        while (request := await side.request()) is not None:
            self._is_trusted = True
            if values(request.fields, b"upgrade") and not request.is_framed:
                await upgrade.pass_through(side, request, upstream)
                break
            async with side.exchange() as nursery:
                asked = exchange.Exchange(
                    request, side, upstream, self.prepared, number, nursery, self.record
                )
                try:
                    await asked.run()
                finally:
                    upstream.budget.leave(asked)
            if not await side.next_is_possible():
                break
        await side.close()


class GatewayHandler:
    """The handler of a connection that the gateway serves."""

    def __init__(self, gateway: Gateway, origin: Origin) -> None:
        self.destination = origin.destination
        self._gateway = gateway
        self._origin = origin

    async def serve(self, connection: Connection) -> None:
        """Accept, and serve to the end, or until the command has ended.

        What the program said last is not delivered once it is gone: its request is cancelled then,
        and a connection that comes after the command's end is closed.
        """
        connection.delivers_last_words = False
        try:
            program = await while_wanted(connection, partial(self._accepted, connection.offer))
        except DialError as error:
            refuse(connection, error)
            return
        connection.shared.record(ConnectionServed(connection=connection.number))
        with trio.CancelScope() as scope:
            connection.abort = scope.cancel
            await self._gateway.serve(program, connection.number, self._origin)

    async def _accepted(self, offer: Offer) -> socket.socket:
        """Accept once upstream is reached, if the program's connect() is still pending.

        It is not where the kernel has accepted first, nor at the base URL: that is on loopback,
        where nothing is held, and where the program finds a server, which then speaks for upstream.
        """
        if offer.is_held:
            await self._gateway.reach(self._origin)
        return await accept(offer)
