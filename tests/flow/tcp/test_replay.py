"""Replay through the pump: upstream is replaced unseen before its first byte, never after."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from relay.outbound.door import Own
from relay.outbound.opener import Opened
from relay.tcp.transfer.first_flight import TRIES
from relay.tcp.transfer.pump import Pump, Redial
from tests.support.inprocess import client_hello, tcp
from tests.support.pace import patience

HELLO = client_hello.real()


class Upstreams:
    """Gives the pump a new upstream each time it asks, and us its far end."""

    def __init__(self, *, held: bool = False) -> None:
        """Answer dials at once, or when `answer` is set."""
        self.losses: list[OSError | None] = []
        self.dialling = trio.Event()
        self.answer = trio.Event()
        if not held:
            self.answer.set()
        self._send, self._receive = trio.open_memory_channel[trio.SocketStream](TRIES)

    async def redial(self, loss: OSError | None, _avoid: str) -> Opened | None:
        self.losses.append(loss)
        self.dialling.set()
        await self.answer.wait()
        ours, theirs = tcp.connected()
        await self._send.send(trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
        return Opened(ours, ("127.0.0.1", 0), tcp.LOCAL)

    async def next(self) -> trio.SocketStream:
        return await self._receive.receive()


@asynccontextmanager
async def pumping(
    upstreams: Upstreams, make: Callable[[socket.socket, Opened, Redial], Pump] = Pump
) -> AsyncIterator[tcp.Pumped]:
    with trio.fail_after(patience(20)):
        async with trio.open_nursery() as nursery:
            pumped = await tcp.start(nursery, upstreams.redial, make)
            with pumped:
                yield pumped
                await pumped.ended.wait()


async def read(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some(count - len(data))
    return data


def reset(pumped: tcp.Pumped, stream: trio.SocketStream) -> None:
    pumped.reset(stream)


def close(_pumped: tcp.Pumped, stream: trio.SocketStream) -> None:
    stream.socket.close()


Loss = Callable[[tcp.Pumped, trio.SocketStream], None]


@pytest.mark.parametrize("lose", [reset, close])
@pytest.mark.parametrize("times", [1, TRIES])
async def test_a_client_hello_is_replayed(lose: Loss, times: int) -> None:
    upstreams = Upstreams()
    async with pumping(upstreams) as pumped:
        await pumped.program.send_all(HELLO)
        server = pumped.server
        for _ in range(times):
            assert await read(server, len(HELLO)) == HELLO
            lose(pumped, server)
            server = await upstreams.next()
        assert await read(server, len(HELLO)) == HELLO
        await server.send_all(b"ServerHello")
        assert await pumped.program.receive_some() == b"ServerHello"
        await pumped.program.send_all(b"Finished")
        assert await server.receive_some() == b"Finished"
        await pumped.program.aclose()
        assert await server.receive_some() == b""
        await server.aclose()
    assert len(upstreams.losses) == times
    assert pumped.pump.program.received == len(HELLO) + len(b"Finished")


@pytest.mark.parametrize("lose", [reset, close])
async def test_the_fourth_loss_is_told(lose: Loss) -> None:
    upstreams = Upstreams()
    async with pumping(upstreams) as pumped:
        await pumped.program.send_all(HELLO)
        server = pumped.server
        for _ in range(TRIES):
            await read(server, len(HELLO))
            lose(pumped, server)
            server = await upstreams.next()
        await read(server, len(HELLO))
        lose(pumped, server)
        if lose is close:
            assert await pumped.program.receive_some() == b""
            await pumped.program.aclose()
        else:
            assert await tcp.read_until_reset(pumped.program) == b""


@pytest.mark.parametrize("lose", [reset, close])
@pytest.mark.parametrize(
    ("sent", "answer"),
    [(b"GET / HTTP/1.1\r\n\r\n", b""), (HELLO, b"S"), (HELLO + b"early", b"")],
    ids=["not TLS", "after one byte of the answer", "more than the ClientHello"],
)
async def test_nothing_else_is_replayed(lose: Loss, sent: bytes, answer: bytes) -> None:
    upstreams = Upstreams()
    async with pumping(upstreams) as pumped:
        await pumped.program.send_all(sent)
        assert await read(pumped.server, len(sent)) == sent
        if answer:
            await pumped.server.send_all(answer)
            assert await read(pumped.program, len(answer)) == answer
        lose(pumped, pumped.server)
        if lose is close:
            assert await pumped.program.receive_some() == b""
            await pumped.program.aclose()
        else:
            assert await tcp.read_until_reset(pumped.program) == b""
    assert upstreams.losses == []


@pytest.mark.parametrize("sent", [HELLO, b""], ids=["its ClientHello sent", "nothing said"])
async def test_a_program_that_closes_during_a_redial_ends_its_connection_alone(sent: bytes) -> None:
    upstreams = Upstreams(held=True)
    async with pumping(upstreams) as pumped:
        if sent:
            await pumped.program.send_all(sent)
            assert await read(pumped.server, len(sent)) == sent
        reset(pumped, pumped.server)
        await upstreams.dialling.wait()
        await pumped.program.send_eof()
        while not pumped.pump.program.ended:
            await trio.lowlevel.checkpoint()
        upstreams.answer.set()
        async with await upstreams.next() as server:
            assert await tcp.read_until_reset(server) == b""
        assert await tcp.read_until_reset(pumped.program) == b""
    assert len(upstreams.losses) == 1


async def test_a_reset_before_the_first_word_is_dialled_again() -> None:
    upstreams = Upstreams()
    async with pumping(upstreams) as pumped:
        reset(pumped, pumped.server)
        server = await upstreams.next()
        await pumped.program.send_all(b"hello")
        assert await server.receive_some() == b"hello"
        await server.aclose()
        assert await pumped.program.receive_some() == b""
        await pumped.program.aclose()


async def test_first_words_that_come_during_a_redial_are_sent_once() -> None:
    """The first other upstream is dead too, and found to be so before anybody else has a turn."""

    class DeadAtFirst(Upstreams):
        async def redial(self, loss: OSError | None, avoid: str) -> Opened | None:
            opened = await super().redial(loss, avoid)
            if len(self.losses) == 1:
                assert opened is not None
                (await self.next()).socket.close()
                await trio.lowlevel.wait_readable(opened.sock)
            else:
                living.set()
            return opened

    living = trio.Event()
    upstreams = DeadAtFirst(held=True)
    async with pumping(upstreams) as pumped:
        reset(pumped, pumped.server)
        await upstreams.dialling.wait()
        await pumped.program.send_all(HELLO)
        while pumped.pump.program.received < len(HELLO):
            await trio.lowlevel.checkpoint()
        upstreams.answer.set()
        await living.wait()
        server = await upstreams.next()
        await pumped.program.send_eof()
        assert await tcp.read_all(server) == HELLO
        await server.aclose()
        await pumped.program.aclose()
    assert len(upstreams.losses) == 2


def behind_a_proxy(program: socket.socket, opened: Opened, redial: Redial) -> Pump:
    return Pump(program, opened._replace(destination=Own("proxy.test", 3128)), redial)


async def test_a_fin_of_a_proxys_before_the_first_word_may_have_been_a_reset() -> None:
    upstreams = Upstreams()
    async with pumping(upstreams, behind_a_proxy) as pumped:
        close(pumped, pumped.server)
        for _ in range(TRIES):
            server = await upstreams.next()
            await server.aclose()
        assert await pumped.program.receive_some() == b""
        await pumped.program.aclose()
    assert upstreams.losses == [None] * TRIES


async def test_a_fin_of_a_servers_own_is_passed_on() -> None:
    upstreams = Upstreams()
    async with pumping(upstreams) as pumped:
        close(pumped, pumped.server)
        assert await pumped.program.receive_some() == b""
        await pumped.program.aclose()
    assert upstreams.losses == []


async def test_words_spoken_while_another_upstream_is_dialled_make_the_loss_visible() -> None:
    upstreams = Upstreams(held=True)
    async with pumping(upstreams) as pumped:
        await lose_after_hello(pumped, upstreams)
        await pumped.program.send_all(b"early words")
        while pumped.pump.program.received < len(HELLO) + len(b"early words"):
            await trio.lowlevel.checkpoint()
        upstreams.answer.set()
        assert await tcp.read_until_reset(pumped.program) == b""
        server = await upstreams.next()
        assert await tcp.read_until_reset(server) == b""
        server.socket.close()


async def test_a_program_that_leaves_while_another_upstream_is_dialled_ends_it() -> None:
    upstreams = Upstreams(held=True)
    async with pumping(upstreams) as pumped:
        await lose_after_hello(pumped, upstreams)
        reset(pumped, pumped.program)
        while pumped.pump.program.loss is None:
            await trio.lowlevel.checkpoint()
        upstreams.answer.set()
        server = await upstreams.next()
        assert await server.receive_some() == b""
        server.socket.close()


async def lose_after_hello(pumped: tcp.Pumped, upstreams: Upstreams) -> None:
    """Lose upstream once it has the ClientHello, and wait until another is dialled."""
    await pumped.program.send_all(HELLO)
    await read(pumped.server, len(HELLO))
    reset(pumped, pumped.server)
    await upstreams.dialling.wait()


async def test_no_other_upstream_is_told_as_a_reset() -> None:
    async def redial(_loss: OSError | None, _avoid: str) -> None:
        return None

    with trio.fail_after(patience(20)):
        async with trio.open_nursery() as nursery:
            pumped = await tcp.start(nursery, redial)
            with pumped:
                await pumped.program.send_all(HELLO)
                await read(pumped.server, len(HELLO))
                close(pumped, pumped.server)
                assert await tcp.read_until_reset(pumped.program) == b""
                await pumped.ended.wait()
