"""When a connection to the gateway is accepted: once upstream lives, or the kernel has done it."""

import contextlib
import errno
import math
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from relay import sockets
from relay.addresses import Endpoint
from relay.gateway.downstream.guests import Guests
from relay.gateway.gateway import GatewayHandler
from relay.gateway.upstream.connector import Connector, Reached
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.http2 import Http2
from relay.inbound.offer import Refusal
from relay.record.events import (
    ConnectionClosed,
    DialFailed,
    Fault,
    TurnedAway,
    UpstreamClosed,
    UpstreamOpened,
    UpstreamReady,
)
from relay.record.kinds import Kind
from relay.tcp.connection import Connections
from relay.tcp.handlers import PumpHandler
from tests.support.inprocess.gateway import Answer, Connect, Program, Running, gateway, until
from tests.support.inprocess.offers import Pending, session
from tests.support.internet.servers.api.server import Served, fake_api
from tests.support.internet.servers.listening import serve
from tests.support.pace import patience

PROTOCOLS = [("h2", "http/1.1"), ("http/1.1",), ()]
"""Those that upstream offers over TLS; none: it has no TLS."""
MANY = 50
HOUR = 3600.0


class Network:
    """Lets connects through when told, or fails them."""

    def __init__(self) -> None:
        self.begun = 0
        self.is_up = trio.Event()
        self.number = 0

    async def connect(self, sock: socket.socket, endpoint: Endpoint) -> int:
        self.begun += 1
        await self.is_up.wait()
        return self.number or await sockets.connect(sock, endpoint)


class Session:
    """The connections of programs to a gateway."""

    def __init__(self, it: Running, connections: Connections) -> None:
        self.it = it
        self.connections = connections

    def offer(self, *, is_held: bool = True) -> Pending:
        offer = Pending(is_held=is_held)
        self.connections.start(offer)
        return offer

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def failures(self) -> list[DialFailed]:
        return [event for event in self.it.events if isinstance(event, DialFailed)]

    def opened(self) -> int:
        return sum(isinstance(event, UpstreamOpened) for event in self.it.events)


def api(protocols: tuple[str, ...]) -> AbstractAsyncContextManager[Served]:
    return fake_api(protocols=protocols, is_tls=bool(protocols))


async def ask(offer: Pending) -> Answer:
    await offer.accepted.wait()
    async with offer.program as stream:
        return await Program(stream).ask("GET", "/v1/models")


@asynccontextmanager
async def session_to(served: Served, connect: Connect = sockets.connect) -> AsyncIterator[Session]:
    async with gateway(served, connect=connect) as it:
        past = PumpHandler(it.origin.destination, it.gateway.opener, math.inf)
        handler = GatewayHandler(it.gateway, it.origin, past)
        with session(handler, it.standing, it.events.append, it.nursery) as connections:
            yield Session(it, connections)
            it.nursery.cancel_scope.cancel()


@pytest.mark.parametrize("protocols", PROTOCOLS)
async def test_it_is_accepted_when_the_dial_is_through_which_is_the_requests(
    protocols: tuple[str, ...],
) -> None:
    network = Network()
    async with api(protocols) as served, session_to(served, network.connect) as it:
        offer = it.offer()
        await it.settle()
        assert network.begun == 1
        assert not offer.accepted.is_set()
        network.is_up.set()
        answer = await ask(offer)
        assert (answer.status, answer.is_complete) == (200, True)
        await it.it.assert_nothing_is_left()
    assert (network.begun, it.opened(), served.log.connections) == (1, 1, 1)


async def test_who_was_stopped_for_an_hour_goes_on_and_gives_way_only_to_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with api(()) as served, session_to(served) as it:
        it.it.gateway.guests = Guests(it.it.events.append, most=2)
        stopped = it.offer(is_held=False)
        await stopped.accepted.wait()
        async with stopped.program as program:
            await program.send_all(b"GET /v1/models HT")
            await trio.sleep(HOUR)
            await program.send_all(b"TP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await program.receive_some()
            await it.settle()
            other = it.offer(is_held=False)
            await it.settle()
            assert (await ask(it.offer(is_held=False))).status == 200
            with pytest.raises(trio.BrokenResourceError):
                await until(program, b"never")
        assert (await ask(other)).status == 200, "it was waited for not as long"
        (turned,) = (event for event in it.it.events if isinstance(event, TurnedAway))
        assert (turned.where, turned.kind) == ("the gateway", Kind.BOUND)


@pytest.mark.parametrize("protocols", PROTOCOLS)
async def test_many_at_once_make_one_dial(protocols: tuple[str, ...]) -> None:
    network = Network()
    async with api(protocols) as served, session_to(served, network.connect) as it:
        offers = [it.offer() for _ in range(MANY)]
        await it.settle()
        assert network.begun == 1
        network.is_up.set()
        async with trio.open_nursery() as nursery:
            for offer in offers:
                nursery.start_soon(offer.accepted.wait)
        assert network.begun == 1
        async with trio.open_nursery() as nursery:
            for offer in offers:
                nursery.start_soon(ask, offer)
        await it.it.assert_nothing_is_left()
    assert len(served.log.asked) == MANY
    assert (network.begun == 1) is (protocols[:1] == ("h2",))


@pytest.mark.parametrize("protocols", PROTOCOLS)
async def test_it_is_accepted_at_once_while_a_connection_lives(protocols: tuple[str, ...]) -> None:
    network = Network()
    network.is_up.set()
    async with api(protocols) as served, session_to(served, network.connect) as it:
        assert (await ask(it.offer())).status == 200
        await it.settle()
        network.is_up = trio.Event()
        assert (await ask(it.offer())).status == 200
        await it.it.assert_nothing_is_left()
    assert network.begun == 1


@pytest.mark.parametrize("protocols", PROTOCOLS)
async def test_one_that_asks_nothing_leaves_a_connection_for_the_next(
    protocols: tuple[str, ...],
) -> None:
    async with api(protocols) as served, session_to(served) as it:
        offer = it.offer()
        await offer.accepted.wait()
        await offer.program.aclose()
        assert (await ask(it.offer())).status == 200
        await it.it.assert_nothing_is_left()
    assert served.log.connections == 1


@pytest.mark.parametrize(
    ("number", "refusal"),
    [
        (errno.ECONNREFUSED, Refusal.REFUSED),
        (errno.ENOPROTOOPT, Refusal.PROTOCOL_UNREACHABLE),
        (errno.ENETUNREACH, Refusal.NO_ANSWER),
        (errno.ETIMEDOUT, Refusal.NO_ANSWER),
    ],
)
async def test_who_waits_for_a_dial_that_fails_is_told_why(
    number: int, refusal: Refusal, autojump_clock: trio.testing.MockClock
) -> None:
    network = Network()
    network.number = number
    async with fake_api() as served, session_to(served, network.connect) as it:
        offers = [it.offer() for _ in range(3)]
        network.is_up.set()
        await trio.sleep(6)
        assert [offer.refusal for offer in offers] == [refusal] * 3
        assert not any(offer.accepted.is_set() for offer in offers)
        assert all(offer.is_closed for offer in offers)
        await it.it.assert_nothing_is_left()
    assert it.opened() == 1, "it failed for all three"
    assert len(it.failures()) == 3
    assert not any(isinstance(event, ConnectionClosed) for event in it.it.events)


async def test_one_that_gives_up_ends_the_dial_and_the_next_in_line_makes_its_own() -> None:
    network = Network()
    async with fake_api() as served, session_to(served, network.connect) as it:
        first = it.offer()
        await it.settle()
        second = it.offer()
        await it.settle()
        first.give_up()
        await it.settle()
        assert (first.is_closed, second.is_closed, network.begun) == (True, False, 2)
        network.is_up.set()
        assert (await ask(second)).status == 200
        await it.it.assert_nothing_is_left()
    assert [event.kind for event in it.failures()] == [Kind.PROGRAM_GONE]
    assert first.refusal is Refusal.NO_ANSWER


async def test_the_last_that_gives_up_leaves_no_dial() -> None:
    network = Network()
    async with fake_api() as served, session_to(served, network.connect) as it:
        offer = it.offer()
        await it.settle()
        offer.give_up()
        await it.settle()
        await it.it.assert_nothing_is_left()
    assert served.log.connections == 0


async def test_the_end_of_the_command_ends_the_dial_and_closes_what_comes_later() -> None:
    network = Network()
    async with fake_api() as served, session_to(served, network.connect) as it:
        waiting = it.offer()
        await it.settle()
        not_begun = it.offer(is_held=False)
        await it.connections.finish()
        late, accepted = it.offer(), it.offer(is_held=False)
        await it.settle()
        assert all(each.is_closed for each in (waiting, not_begun, late, accepted))
        assert not any(each.accepted.is_set() for each in (waiting, not_begun, late, accepted))
        await it.it.assert_nothing_is_left()
    assert {event.kind for event in it.failures()} == {Kind.SESSION_END}


async def test_what_the_kernel_has_accepted_waits_for_nothing() -> None:
    network = Network()
    async with fake_api() as served, session_to(served, network.connect) as it:
        offer = it.offer(is_held=False)
        await offer.accepted.wait()
        await it.settle()
        assert network.begun == 0
        await offer.program.aclose()


async def test_no_agreement_on_tls_is_the_requests_business(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with (
        fake_api() as trusted,
        fake_api(is_tls=False) as plain,
        session_to(replace(plain, authority=trusted.authority)) as it,
    ):
        answer = await ask(it.offer())
        await it.it.assert_nothing_is_left()
    assert answer.status == 502
    assert b"in the TLS handshake" in answer.body


async def test_an_upstream_that_never_agrees_is_dialled_five_times_more_often_than_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was dialled for a connect() that then failed is the first try of its request."""
    async with (
        fake_api() as trusted,
        fake_api(is_tls=False) as plain,
        session_to(replace(plain, authority=trusted.authority)) as it,
    ):
        for _ in range(12):
            assert (await ask(it.offer())).status == 502
        await it.it.assert_nothing_is_left()
        assert it.opened() == 12 + 5


@asynccontextmanager
async def shaking_hands(protocols: tuple[str, ...]) -> AsyncIterator[tuple[Served, trio.Event]]:
    """Serve an API that begins with TLS when told."""
    may_begin = trio.Event()
    async with fake_api(protocols=protocols) as served:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def later(stream: trio.SocketStream) -> None:
            await may_begin.wait()
            through = await trio.open_tcp_stream("127.0.0.1", served.port)
            async with through, trio.open_nursery() as nursery:
                nursery.start_soon(_copy, stream, through)
                await _copy(through, stream)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            await nursery.start(serve, later, listener)
            yield replace(served, port=listener.socket.getsockname()[1]), may_begin
            nursery.cancel_scope.cancel()


async def _copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in source:
            await sink.send_all(data)


@pytest.mark.parametrize("protocols", PROTOCOLS[:2])
async def test_a_request_waits_for_the_handshake_of_what_was_dialled_for_it(
    protocols: tuple[str, ...],
) -> None:
    """A second connection is accepted meanwhile, for upstream was reached."""
    async with shaking_hands(protocols) as (served, may_begin), session_to(served) as it:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, it.offer())
            await it.settle()
            second = it.offer()
            await second.accepted.wait()
            await second.program.aclose()
            may_begin.set()
        await it.it.assert_nothing_is_left()
    assert it.opened() == 1


@pytest.mark.parametrize("protocols", PROTOCOLS[:2])
async def test_a_request_that_is_cancelled_in_the_handshake_leaves_its_connection_to_others(
    protocols: tuple[str, ...],
) -> None:
    async with shaking_hands(protocols) as (served, may_begin), session_to(served) as it:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, it.offer())
            await it.settle()
            await it.connections.finish()
        may_begin.set()
        with trio.fail_after(patience(5)):
            while not any(isinstance(event, UpstreamReady) for event in it.it.events):
                await trio.lowlevel.checkpoint()
        (pool,) = it.it.gateway.pools.values()
        assert len(pool.idle) + len(pool.shared) == 1
        await it.it.assert_nothing_is_left()


async def test_the_sessions_end_in_the_handshake_closes_what_was_dialled() -> None:
    async with shaking_hands(("h2",)) as (served, _may_begin), session_to(served) as it:
        offer = it.offer()
        await offer.accepted.wait()
        await it.settle()
        await offer.program.aclose()
        it.it.nursery.cancel_scope.cancel()
        await it.settle()
        assert not it.it.standing.connections
    (closed,) = [event for event in it.it.events if isinstance(event, UpstreamClosed)]
    assert closed.kind is Kind.CANCELLED


async def test_a_fault_in_the_handshake_ends_that_connection_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, may_fail = Connector.agree, trio.Event()

    async def agree(self: Connector, reached: Reached, *, http2: bool) -> Http1 | Http2:
        if may_fail.is_set():
            return await real(self, reached, http2=http2)
        await may_fail.wait()
        await trio.aclose_forcefully(reached.tcp)
        raise ZeroDivisionError

    monkeypatch.setattr(Connector, "agree", agree)
    async with fake_api() as served, session_to(served) as it:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, it.offer())
            await it.settle()
            may_fail.set()
        assert [asked.request.path for asked in served.log.asked] == ["/v1/models"]
    (fault,) = [event for event in it.it.events if isinstance(event, Fault)]
    assert fault.error == "ZeroDivisionError"
