"""A gateway over loopback in the test's own process, between h11 by hand and the fake API.

    async with gateway(served, hold="block") as it:
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", body)

`it.events` is the flight log, `it.standing` the upstream connections.
"""

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import h11
import trio
import trio.testing

from relay import sockets
from relay.addresses import Destination, Endpoint
from relay.config import Hold
from relay.gateway.bounds.room import Room
from relay.gateway.dialect import Dialect
from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.gateway.downstream.body import Body
from relay.gateway.downstream.guests import Guest
from relay.gateway.gateway import Gateway
from relay.gateway.http import Flush
from relay.gateway.setup import certificates
from relay.gateway.setup.choice import Enabled, Origin
from relay.gateway.setup.prepare import Place, Prepared
from relay.host.network import NetworkWatch
from relay.outbound.dialer import Dialer
from relay.outbound.door import Door
from relay.outbound.keepalive import KeepAlive
from relay.outbound.opener import Opener
from relay.outbound.standing import Standing
from relay.record.events import AskedAgain, Event, RequestLost, UpstreamClosed, UpstreamOpened
from tests.support.command.programs import needs
from tests.support.inprocess.judges import Judge
from tests.support.internet.servers.api.server import Api, Served, context
from tests.support.internet.servers.listening import Handler, over_tls, serve
from tests.support.internet.servers.tls import Authority
from tests.support.log_schema import check_events

Connect: TypeAlias = Callable[[socket.socket, Endpoint], Awaitable[int]]
"""Connects a socket; returns 0 or the errno."""

KEEPALIVE = KeepAlive(idle=20, interval=5, count=3, user_timeout=300, rto_max=1000)


_INSIDE = Place()


@dataclass
class Answer:
    """What the program got."""

    status: int = 0
    reason: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_complete: bool = False
    loss: str = ""

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


class Program:
    """One connection of a program to the gateway."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)

    async def send(self, event: h11.Event) -> None:
        """Send a part of a request."""
        await self.stream.send_all(self.h11.send(event) or b"")

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        fields: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Send a request and take the answer."""
        if self.h11.our_state is h11.DONE:
            self.h11.start_next_cycle()
        framing = [("Content-Length", str(len(body)))] if body else []
        await self.send(
            h11.Request(method=method, target=target, headers=[("Host", "x"), *framing, *fields])
        )
        if body:
            await self.send(h11.Data(body))
        await self.send(h11.EndOfMessage())
        return await self.answer()

    async def answer(self) -> Answer:
        """Take the answer to what was sent."""
        answer = Answer()
        try:
            async for _event in self.events(answer):
                pass
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            answer.loss = str(error.__cause__ or error)
        return answer

    async def events(self, answer: Answer) -> AsyncIterator[object]:
        """Yield each event of the answer as it comes, noted in `answer`."""
        while not answer.is_complete:
            event = self.h11.next_event()
            if event is h11.NEED_DATA:
                self.h11.receive_data(bytes(await self.stream.receive_some(65536)))
                continue
            if isinstance(event, h11.Response):
                answer.status, answer.reason = event.status_code, bytes(event.reason)
                answer.fields = event.headers.raw_items()
            elif isinstance(event, h11.Data):
                answer.pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                answer.trailers = event.headers.raw_items()
                answer.is_complete = True
            elif isinstance(event, h11.ConnectionClosed):
                answer.loss = "closed"
                return
            yield event


@dataclass
class Running:
    """A gateway that serves."""

    standing: Standing
    nursery: trio.Nursery
    gateway: Gateway
    origin: Origin
    events: list[Event]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Program]:
        """Open a connection from a program."""
        async with self.raw() as stream:
            yield Program(stream)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[trio.SocketStream]:
        """Open a connection that speaks as the test wants."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            stream = await trio.open_tcp_stream(*listener.getsockname())
            accepted, _address = listener.accept()
        accepted.setblocking(False)
        number = self.standing.number()
        self.nursery.start_soon(self._serve, accepted, number)
        async with stream:
            yield stream

    async def _serve(self, accepted: socket.socket, number: int) -> None:
        with accepted:
            await self.gateway.serve(accepted, number, self.origin, Guest())

    async def assert_nothing_is_left(self) -> None:
        """See that no task and no socket of a request is left: what lives is ready for another."""
        await trio.testing.wait_all_tasks_blocked()
        pools = self.gateway.pools.values()
        waiting = sum(len(pool.idle) + len(pool.shared) for pool in pools)
        assert len(self.nursery.child_tasks) == waiting == len(self.standing.connections)
        assert all(each.is_idle for pool in pools for each in pool.shared)
        opened = [event for event in self.events if isinstance(event, UpstreamOpened)]
        closed = [event for event in self.events if isinstance(event, UpstreamClosed)]
        assert len(opened) == len(closed) + waiting, self.events

    def resends(self) -> list[AskedAgain]:
        """Return what was asked again."""
        return [event for event in self.events if isinstance(event, AskedAgain)]

    def lost(self) -> list[RequestLost]:
        """Return what was given up."""
        return [event for event in self.events if isinstance(event, RequestLost)]


def body_of(*pieces: bytes) -> Body:
    """Return a request's body that is there."""
    left = iter((*pieces, None))

    async def receive(_flush: Flush) -> bytes | None:
        return next(left)

    return Body(receive, Guest(), Room())


async def until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    """Read until what came ends so."""
    got = b""
    while not got.endswith(end):
        data = await stream.receive_some()
        assert data, got
        got += data
    return got


@asynccontextmanager
async def bare_upstream(
    handler: Handler, *, protocols: Sequence[str] = ()
) -> AsyncIterator[Served]:
    """Serve by `handler` in the place of a fake API: over TLS if it is to offer protocols."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="upstream-") as folder:
        authority = Authority(Path(folder)) if protocols else None
        if authority is not None:
            handler = over_tls(handler, context(authority, "server.test", protocols=protocols))
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, handler, listener)
            yield Served(Api(), listener.socket.getsockname()[1], authority)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def gateway(
    served: Served,
    *,
    is_trusted: bool = True,
    hold: Hold = "message",
    silence: float | None = 60.0,
    patience: float = 5.0,
    host: str = "server.test",
    prefix: str = "",
    dialect: Dialect = ANTHROPIC,
    connect: Connect = sockets.connect,
    is_tls: bool = False,
    place: Place = _INSIDE,
) -> AsyncIterator[Running]:
    """Run a gateway for a fake API, reached by `connect`; with `is_tls` programs meet TLS."""
    events: list[Event] = []

    async def lookup(destination: Destination, *, fresh: bool) -> list[str]:
        return ["127.0.0.1"]

    origin = Origin(host, served.port, served.authority is not None, prefix, dialect)
    chosen = Enabled("tls" if is_tls else "http", (origin,), "a test")
    made = certificates.make([host], openssl=needs("openssl")) if is_tls else None
    prepared = Prepared(chosen, made, {}, hold, silence, patience, place)
    with _trusting(served if is_trusted else None):
        async with trio.open_nursery() as nursery:
            standing = Standing()
            dialer = Dialer(lookup, KEEPALIVE, Door(Judge(), connect))
            opener = Opener(dialer, NetworkWatch(), standing, events.append, patience=patience)
            serving = Gateway(prepared, opener, events.append, nursery)
            yield Running(standing, nursery, serving, origin, events)
            nursery.cancel_scope.cancel()
    check_events(events)


_BEFORE: Final = os.environ.get("SSL_CERT_FILE")
_trusted: Final[list[str]] = []
"""Authorities of the gateways that run now; those of two fixtures may end in any order."""


@contextmanager
def _trusting(served: Served | None) -> Iterator[None]:
    """Have the gateway trust the fake API, by the variable that says so."""
    if served is None or served.authority is None:
        yield
        return
    file = str(served.authority.file)
    _trusted.append(file)
    _set_trusted()
    try:
        yield
    finally:
        _trusted.remove(file)
        _set_trusted()


def _set_trusted() -> None:
    """Name the authority of the gateway that was started last, or what was named at first."""
    file = _trusted[-1] if _trusted else _BEFORE
    if file is None:
        os.environ.pop("SSL_CERT_FILE", None)
    else:
        os.environ["SSL_CERT_FILE"] = file
