"""The gateway of a session: which connections it serves, by which certificate, to which upstream.

What it needs beyond its doors (TLS, HTTP) is loaded when the first connection comes.
"""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from relay.addresses import Destination
from relay.gateway.setup.choice import Upstream
from relay.gateway.setup.prepare import DOOR_PORT, Entry
from relay.outbound.opener import Opener
from relay.record.events import ConnectionClosed, Distrust, Distrusted, Event
from relay.record.kinds import Kind
from relay.tcp.connection import Connection

if TYPE_CHECKING:
    import ssl

    from relay.gateway.downstream.connection import Program
    from relay.gateway.exchange import Terms
    from relay.gateway.http import Request
    from relay.gateway.upstream.pool import Pool

_LOOPBACK: Final = "127.0.0.1"
_HANDSHAKE: Final = 10.0
"""Seconds for a program to agree on TLS."""

_DISTRUST: Final = frozenset(
    {
        *("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "UNEXPECTED_EOF_WHILE_READING",  # Node, which closes without a word
    }
)
_AT_ONCE: Final = 1.0
"""Seconds within which a client that checks certificates after the handshake has closed."""


class Gateway:
    """Serves the connections that come through its doors."""

    def __init__(  # noqa: PLR0913 - what it is to do, and what it does it by
        self,
        entry: Entry,
        *,
        silence: float,
        patience: float,
        opener: Opener,
        record: Callable[[Event], None],
        nursery: trio.Nursery,
    ) -> None:
        """Reach upstreams by `opener`; `silence` and `patience` are those of exchange.Terms."""
        self._doors = entry.doors
        self._certificates = entry.certificates
        self._hold = entry.hold
        self._silence = silence
        self._patience = patience
        self._opener = opener
        self._record = record
        self._nursery = nursery
        self._terms: Terms | None = None
        self._is_trusted = False
        """Whether a program has sent a request: it takes the certificate, or needs none."""
        self._pools: dict[Upstream, Pool] = {}

    def handler_at(self, destination: Destination) -> "Served | None":
        """Return the handler of a connection that the gateway serves, None if it is another's."""
        if destination == (_LOOPBACK, DOOR_PORT):
            upstream: Upstream | None = self._doors.base
        else:
            upstream = self._doors.upstream_at(destination.host, destination.port)
        return Served(self, upstream) if upstream is not None else None

    async def serve(self, program: socket.socket, number: int, upstream: Upstream) -> None:
        """Serve a connection of the program's to its end."""
        with program.dup() as own:  # a stream closes it; `program` is asked for its state meanwhile
            await self._serve(own, number, upstream)

    async def _serve(self, program: socket.socket, number: int, upstream: Upstream) -> None:
        from relay.gateway.downstream.connection import Program  # noqa: PLC0415

        began = trio.current_time()
        stream = await self._opened(program, upstream, number)
        side = Program(stream, program) if stream is not None else None
        try:
            if side is not None:
                await self._requests(side, self._pool(upstream), number)
        finally:
            ended = trio.current_time()
            is_first = not self._is_trusted and side is not None and not side.requests
            if is_first and ended - began < _AT_ONCE:
                self._note_distrust(number, upstream, "closed right after the handshake")
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

    async def _opened(
        self, program: socket.socket, upstream: Upstream, number: int
    ) -> "trio.abc.Stream | None":
        """Agree on TLS where the door wants it; None if the program does not."""
        plain = trio.SocketStream(trio.socket.from_stdlib_socket(program))
        if self._doors.door == "http" or not upstream.tls:
            return plain
        assert self._certificates is not None
        context = self._certificates.server_context(upstream.host)
        stream = trio.SSLStream(plain, context, server_side=True, https_compatible=True)
        # Shielded: why a program that is gone by now did not agree is still to be read.
        with trio.move_on_after(_HANDSHAKE, shield=True):
            if not await _says_hello(plain):
                return None
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                reason = getattr(error.__cause__, "reason", None)
                if reason in _DISTRUST:
                    self._note_distrust(number, upstream, "refused the certificate")
                return None
            return stream
        return None

    def _note_distrust(self, number: int, upstream: Upstream, how: Distrust) -> None:
        if self._doors.door == "tls" and upstream.tls:
            kind = Kind.UNTRUSTED
            self._record(Distrusted(connection=number, kind=kind, host=upstream.host, how=how))

    async def _requests(self, program: "Program", pool: "Pool", number: int) -> None:
        """Answer one request after the other."""
        from relay.gateway.exchange import Exchange, Terms  # noqa: PLC0415
        from relay.gateway.http import values  # noqa: PLC0415

        if self._terms is None:
            self._terms = Terms(self._hold, self._silence, self._patience, self._record)
        while (request := await program.request()) is not None:
            self._is_trusted = True
            if values(request.fields, b"upgrade") and not request.is_framed:
                await _upgrade(program, request, pool)
                break
            body = program.body()
            async with program.exchange(body) as nursery:
                await Exchange(request, body, program, pool, self._terms, number, nursery).run()
            if not await program.next_is_possible(body):
                break
        await program.close()

    def _pool(self, upstream: Upstream) -> "Pool":
        if upstream not in self._pools:
            from relay.gateway.setup.trust import ALPN, client_context  # noqa: PLC0415
            from relay.gateway.upstream.pool import Pool  # noqa: PLC0415

            contexts: dict[bool, ssl.SSLContext] = {}

            def context(http2: bool) -> "ssl.SSLContext":  # noqa: FBT001 - which of two
                if http2 not in contexts:
                    alpn = ALPN if http2 else ALPN[1:]
                    contexts[http2] = client_context(os.environ, alpn=alpn)
                return contexts[http2]

            self._pools[upstream] = Pool(
                upstream,
                opener=self._opener,
                context=context,
                nursery=self._nursery,
                record=self._record,
            )
        return self._pools[upstream]


class Served:
    """The handler of a connection that the gateway serves."""

    def __init__(self, gateway: Gateway, upstream: Upstream) -> None:
        """Serve it for one upstream."""
        self.destination = Destination(upstream.host, upstream.port)
        self.address = upstream.host
        self._gateway = gateway
        self._upstream = upstream

    async def serve(self, connection: Connection) -> None:
        """Accept, and serve to the end, or until the command has ended."""
        program = await connection.accept()
        with trio.CancelScope() as connection.scope:
            await self._gateway.serve(program, connection.number, self._upstream)


async def _says_hello(program: trio.SocketStream) -> bool:
    """Wait for the first byte; whoever closes without one has seen no certificate."""
    try:
        return bool(await program.socket.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


async def _upgrade(program: "Program", request: "Request", pool: "Pool") -> None:
    """Pass an upgrade through untouched: once upstream agrees, bytes are copied both ways."""
    from relay.gateway.upgrade import pass_through  # noqa: PLC0415

    await pass_through(program, request, pool)
