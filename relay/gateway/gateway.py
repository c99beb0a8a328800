"""The gateway of a session: which connections it serves, with which certificate, for which origin.

What speaks HTTP is loaded when the first connection comes; see relay/startup.py.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import trio

from relay.addresses import Destination
from relay.descriptors import LIMIT
from relay.gateway import exchange, upgrade
from relay.gateway.bounds.room import Room
from relay.gateway.downstream import connection as downstream
from relay.gateway.downstream.body import BODIES, Body
from relay.gateway.downstream.clients import Clients
from relay.gateway.downstream.ended import ended
from relay.gateway.downstream.guests import MOST, PART, Guest, Guests
from relay.gateway.downstream.handshake import AT_ONCE, DistrustError, first_word, secure
from relay.gateway.downstream.program_stream import ProgramStream
from relay.gateway.http import Request, values
from relay.gateway.inner import Inner
from relay.gateway.setup.choice import Origin
from relay.gateway.setup.prepare import BASE_URL_PORT, UNKNOWN_PATH, Prepared
from relay.gateway.upstream import pool
from relay.inbound.offer import Offer
from relay.outbound.opener import Opener
from relay.outbound.patience import DialError
from relay.policy.current import CurrentPolicy
from relay.record.events import (
    ConnectionServed,
    Distrust,
    Distrusted,
    Event,
    WentPast,
)
from relay.record.kinds import Kind
from relay.sockets import resets_on_close
from relay.tcp.acceptance import accept, refuse, while_wanted
from relay.tcp.connection import Connection, Handler
from relay.tcp.transfer.client_hello import ClientHello, Fingerprint, NoClientHello

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
    room: Room = field(default_factory=Room)
    """For what is held of answers."""
    clients: Clients = field(default_factory=Clients)
    policy: CurrentPolicy | None = None
    """Judges the names that programs ask for; None: nobody does."""
    bodies: Room = field(default_factory=lambda: Room(BODIES))
    """For the bodies of all requests."""

    def __post_init__(self) -> None:
        """Start without any connection."""
        self.inner = Inner(self.policy, self.record) if self.policy is not None else None
        self.guests = Guests(self.record, LIMIT.share(PART, MOST))

    def handler_at(self, destination: Destination, past: Handler) -> "GatewayHandler | None":
        """Return the handler of a connection that the gateway serves; None if it does not.

        `past` is that of the programs that go past the gateway.
        """
        chosen = self.prepared.chosen
        origin = chosen.base if destination == _BASE_URL else chosen.origin_at(*destination)
        return GatewayHandler(self, origin, past) if origin is not None else None

    async def reach(self, origin: Origin) -> None:
        """Return once there is an upstream that lives, dialled if need be; raises DialError."""
        await self._pool(origin).reach()

    def _pool(self, origin: Origin) -> "pool.Pool":
        if origin not in self.pools:
            self.pools[origin] = pool.Pool(origin, self.opener, self.nursery, self.record)
        return self.pools[origin]

    async def serve(
        self, program: socket.socket, number: int, origin: Origin, guest: Guest
    ) -> bool:
        """Serve a connection of a program to its end; return False if it is to go past instead.

        Nothing was read from it then. `guest` is told when a request has come.
        """
        began = trio.current_time()
        with program.dup() as own:  # a stream closes it; `program` is asked for its state meanwhile
            plain = ProgramStream(own, guest)
            word = await first_word(plain) if self._has_tls(origin) else NoClientHello()
            client = word.fingerprint() if isinstance(word, ClientHello) else None
            if self.clients.goes_past(client):
                return False
            if self.inner is not None and self.inner.refuses(word, origin, number):
                resets_on_close(program)
                return True
            side: downstream.Downstream | None = None
            try:
                stream = await self._secured(plain, origin, number, client) if word else None
                if stream is not None:
                    new_body = partial(Body, guest=guest, room=self.bodies)
                    side = downstream.Downstream(stream, own, new_body)
                    secured = trio.current_time()
                    await self._requests(side, origin, number, client, guest)
                    if not side.received and trio.current_time() - secured < AT_ONCE:
                        self._note_closed(plain, origin, number, client)
            except Exception:  # a fault, which is the caller's to tell
                if side is not None:
                    side.abort()
                raise
            finally:
                self.record(ended(plain, side, number, began, guest))
        return True

    def _has_tls(self, origin: Origin) -> bool:
        """Return whether programs meet a certificate of the session there."""
        return self.prepared.chosen.mode == "tls" and origin.tls

    async def _secured(
        self, plain: ProgramStream, origin: Origin, number: int, client: Fingerprint | None
    ) -> trio.abc.Stream | None:
        """Complete a TLS handshake where the program expects one; None if it fails."""
        if not self._has_tls(origin):
            return plain
        assert self.prepared.certificates is not None
        try:
            return await secure(plain, self.prepared.certificates.server_context(origin.host))
        except DistrustError as error:
            if error.is_said:
                self.clients.has_refused(client)
            elif plain.has_closed_by_fin:
                self.clients.has_closed(client)
            self._note_distrust(number, origin, "refused the certificate", client)
            return None

    def _note_closed(
        self, plain: ProgramStream, origin: Origin, number: int, client: Fingerprint | None
    ) -> None:
        """Note that a program has closed right after the handshake, without a word of its own."""
        if self._has_tls(origin) and not self.clients.believes(client):
            if plain.has_sent_close_notify:
                self.clients.has_closed(client)
            self._note_distrust(number, origin, "closed right after the handshake", client)

    def _note_distrust(
        self, number: int, origin: Origin, how: Distrust, client: Fingerprint | None
    ) -> None:
        self.record(
            Distrusted(
                connection=number,
                kind=Kind.UNTRUSTED,
                host=origin.host,
                how=how,
                goes_past=self.clients.goes_past(client),
            )
        )

    async def _requests(
        self,
        side: "downstream.Downstream",
        origin: Origin,
        number: int,
        client: Fingerprint | None,
        guest: Guest,
    ) -> None:
        """Answer one request after the other."""
        upstream = self._pool(origin)
        while (request := await self._next(side, origin)) is not None:
            guest.has_asked()
            self.clients.has_sent_data(client)
            if await self._has_refused(request, side, origin, number):
                break
            if values(request.fields, b"upgrade") and not request.is_framed:
                await upgrade.pass_through(side, request, upstream)
                break
            async with side.exchange() as nursery:
                asked = exchange.Exchange(
                    request,
                    side,
                    upstream,
                    self.prepared,
                    number,
                    nursery,
                    self.record,
                    self.room,
                )
                try:
                    await asked.run()
                finally:
                    upstream.budget.leave(asked)
            if not await side.next_is_possible():
                break
            guest.heard = trio.current_time()
        if side.received:  # also of what is no HTTP
            self.clients.has_sent_data(client)
        await side.close()

    async def _next(self, side: "downstream.Downstream", origin: Origin) -> Request | None:
        """Return the next request, below the base URL's secret if it has one; answer any other."""
        request = await side.request()
        if request is None or self.prepared.chosen.mode != "http":
            return request
        target = self.prepared.place.below(request.target)
        if target is not None:
            return replace(request, target=target)
        async with side.exchange():
            await side.fail(*origin.dialect.error_fields(UNKNOWN_PATH, retry=False))
        return None

    async def _has_refused(
        self, request: Request, side: "downstream.Downstream", origin: Origin, number: int
    ) -> bool:
        """Answer a request whose Host is denied by that; return whether it was."""
        if self.inner is None or not self._has_tls(origin):
            return False
        why = self.inner.refusal(request, origin, number)
        if why:
            async with side.exchange():
                await side.fail(*origin.dialect.error_fields(why, retry=False))
        return bool(why)


class GatewayHandler:
    """The handler of a connection that the gateway serves."""

    def __init__(self, gateway: Gateway, origin: Origin, past: Handler) -> None:
        self.destination = origin.destination
        self._gateway = gateway
        self._origin = origin
        self._past = past

    async def serve(self, connection: Connection) -> None:
        """Accept, and serve to the end, or until the command has ended.

        What the program asked last is not delivered once it is gone: its request is cancelled then,
        and a connection that comes after the command's end is closed. One that it has closed
        without asking is read to its end: so it shows that it distrusts the certificate.
        """
        connection.delivers_last_words = False
        try:
            program = await while_wanted(connection, partial(self._accepted, connection.offer))
        except DialError as error:
            refuse(connection, error)
            return
        connection.shared.record(ConnectionServed(connection=connection.number))
        guest = Guest(trio.current_time())
        if not self._gateway.guests.arrive(guest, trio.current_time()):
            resets_on_close(program)
            return
        before, is_served = connection.abort, True

        def has_asked() -> None:
            connection.delivers_last_words = False
            if connection.shared.is_ending:
                connection.abort()

        def send_away() -> None:
            resets_on_close(program)  # it may be in the middle of an answer
            scope.cancel()

        with self._gateway.guests.present(guest), trio.CancelScope() as scope:
            connection.abort, connection.delivers_last_words = scope.cancel, True
            guest.send_away, guest.asks = send_away, has_asked
            is_served = await self._gateway.serve(program, connection.number, self._origin, guest)
        if not is_served:
            connection.abort, connection.delivers_last_words = before, True
            self._gateway.record(WentPast(connection=connection.number, host=self._origin.host))
            await self._past.serve(connection)

    async def _accepted(self, offer: Offer) -> socket.socket:
        """Accept once upstream is reached, if the program's connect() is still pending.

        It is not where the kernel has accepted first, nor at the base URL: that is on loopback,
        where nothing is held, and where the program finds a server, which then speaks for upstream.
        """
        if offer.is_held:
            await self._gateway.reach(self._origin)
        return await accept(offer)
