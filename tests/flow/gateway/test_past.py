"""Which connections go past the gateway, told by the first bytes of each, which stay unread."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf

import pytest
import trio
import trio.testing

from relay.gateway.gateway import GatewayHandler
from relay.record.events import ConnectionClosed, ConnectionServed, Dialled, Distrusted, WentPast
from relay.sockets import resets_on_close
from relay.tcp.connection import Connections
from relay.tcp.handlers import PumpHandler
from tests.support.inprocess import client_hello
from tests.support.inprocess.gateway import Running, gateway
from tests.support.inprocess.offers import Pending, session
from tests.support.internet.servers.api.server import Served, fake_api
from tests.support.pace import patience

NAME = "server.test"
ASKS = b"GET /v1/models HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n"


async def ask(stream: trio.SocketStream, context: ssl.SSLContext, piece: int = 1 << 20) -> bytes:
    """Ask as a blocking program does, whose alerts are sent; the ClientHello goes in pieces."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    answer = b""
    is_asked = False
    while True:
        try:
            if not is_asked:
                tls.do_handshake()
                tls.write(ASKS)
                is_asked = True
            while data := tls.read():
                answer += data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            await stream.send_all(outgoing.read())
            return b""
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return answer
        if incoming.eof:  # which some releases do not tell
            return answer
        while data := outgoing.read(piece):
            await stream.send_all(data)
            await trio.testing.wait_all_tasks_blocked()
        if data := bytes(await stream.receive_some()):
            incoming.write(data)
        else:
            incoming.write_eof()


@dataclass
class Programs:
    """Programs that ask the API under a gateway with a certificate of its own."""

    served: Served
    it: Running
    connections: Connections
    believing: ssl.SSLContext
    """Knows the authority of the session, and not that of the API."""
    distrustful: ssl.SSLContext
    """The other way round; its ClientHello is the same but for the protocols."""

    async def connect(self) -> trio.SocketStream:
        offer = Pending(is_held=False)
        self.connections.start(offer)
        await offer.accepted.wait()
        return offer.program

    async def ask(self, context: ssl.SSLContext) -> bytes:
        """Ask over TLS; return the answer, empty if the certificate was refused."""
        async with await self.connect() as stream:
            answer = await ask(stream, context)
        await trio.testing.wait_all_tasks_blocked()
        return answer

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.it.events)


@asynccontextmanager
async def programs(*, sent_alike: bool = False) -> AsyncIterator[Programs]:
    async with fake_api(protocols=("http/1.1",)) as served, gateway(served, is_tls=True) as it:
        certificates = it.gateway.prepared.certificates
        assert certificates is not None
        believing = ssl.create_default_context(cadata=certificates.ca)
        assert served.authority is not None
        distrustful = ssl.create_default_context(cafile=str(served.authority.file))
        if not sent_alike:
            distrustful.set_alpn_protocols(["http/1.1"])
        past = PumpHandler(it.origin.destination, it.gateway.opener, inf)
        handler = GatewayHandler(it.gateway, it.origin, past)
        with session(handler, it.standing, it.events.append, it.nursery) as connections:
            yield Programs(served, it, connections, believing, distrustful)
            it.nursery.cancel_scope.cancel()


async def test_who_refuses_goes_past_the_next_time_and_who_believes_does_not() -> None:
    async with programs() as them:
        assert await them.ask(them.distrustful) == b""
        assert not them.served.log.asked
        assert b"fake-1" in await them.ask(them.distrustful)
        assert b"fake-1" in await them.ask(them.believing)
        assert b"fake-1" in await them.ask(them.distrustful)
        assert them.count(Distrusted) == 1
        assert them.count(WentPast) == 2
        assert them.count(ConnectionClosed) == them.count(ConnectionServed) == 4
        assert sum(isinstance(event, Dialled) for event in them.it.events) >= 2


async def test_who_writes_as_one_that_has_asked_never_does() -> None:
    async with programs(sent_alike=True) as them:
        assert b"fake-1" in await them.ask(them.believing)
        for _ in range(3):
            assert await them.ask(them.distrustful) == b""
        assert them.count(WentPast) == 0
        assert b"fake-1" in await them.ask(them.believing)


@pytest.mark.parametrize("piece", [1, 7, 300])
async def test_a_client_hello_in_pieces_is_read_whole(piece: int) -> None:
    """As one of 2,000 bytes with post-quantum key shares comes; none of it is lost."""
    async with programs() as them:
        for _ in range(2):
            async with await them.connect() as stream:
                answer = await ask(stream, them.distrustful, piece)
        assert b"fake-1" in answer
        assert them.count(WentPast) == 1


async def test_what_is_no_client_hello_is_served_as_ever() -> None:
    async with programs() as them:
        async with await them.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(trio.BrokenResourceError):
                assert b"fake" not in await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked()
        assert them.count(Distrusted) == them.count(WentPast) == 0


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("said", [b"", client_hello.real()[:100]], ids=["nothing", "a part"])
async def test_who_ends_before_its_client_hello_is_whole_has_refused_nothing(
    said: bytes, *, is_reset: bool
) -> None:
    async with programs() as them:
        stream = await them.connect()
        if said:
            await stream.send_all(said)
            await trio.testing.wait_all_tasks_blocked()
        if is_reset:
            resets_on_close(stream.socket)  # type: ignore[arg-type]
        await stream.aclose()
        with trio.fail_after(patience(5)):
            while not them.count(ConnectionClosed):
                await trio.testing.wait_all_tasks_blocked(0.01)
        (closed,) = [e for e in them.it.events if isinstance(e, ConnectionClosed)]
        assert closed.how == ("reset" if is_reset else "fin")
        assert them.count(Distrusted) == 0


async def test_who_says_nothing_is_closed_in_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with programs() as them:
        async with await them.connect() as stream:
            await stream.send_all(client_hello.real()[:100])
            with contextlib.suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        assert trio.current_time() >= 10
        assert them.count(Distrusted) == 0


async def test_the_end_of_the_command_ends_what_goes_past() -> None:
    async with programs() as them:
        await them.ask(them.distrustful)
        async with await them.connect() as stream:
            await stream.send_all(client_hello_of(them.distrustful))
            assert await stream.receive_some(), "of the API's handshake"
            with trio.fail_after(patience(5)):
                await them.connections.finish()
            with pytest.raises(trio.BrokenResourceError):
                await _all(stream)
        assert them.count(WentPast) == 1


def client_hello_of(context: ssl.SSLContext) -> bytes:
    """Return the first flight of a program with these settings."""
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def _all(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass
