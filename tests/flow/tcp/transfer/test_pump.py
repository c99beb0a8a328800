"""The pump: FIN stays FIN, a loss is a reset, and what came before it is delivered first."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from relay.record.kinds import Kind
from relay.sockets import TCP_CLOSE, state
from tests.support.inprocess import tcp
from tests.support.pace import patience

DATA = os.urandom(100_000)
FITS_FIRST_WINDOW = DATA[:20_000]
"""More would still be in the resetting sender's own queue, which its kernel discards."""
MORE_THAN_BUFFERS_HOLD = 40 * 1024 * 1024


@asynccontextmanager
async def pumping() -> AsyncIterator[tcp.Pumped]:
    with trio.fail_after(patience(20)):
        async with trio.open_nursery() as nursery:
            pumped = await tcp.start(nursery)
            with pumped:
                yield pumped
                await pumped.ended.wait()
    assert pumped.pump.program.sock.fileno() == -1
    assert pumped.pump.upstream.sock.fileno() == -1


async def test_both_directions_are_copied() -> None:
    async with pumping() as pumped:
        await pumped.program.send_all(b"question")
        assert await pumped.server.receive_some() == b"question"
        await pumped.server.send_all(b"answer")
        assert await pumped.program.receive_some() == b"answer"
        await pumped.program.aclose()
        assert await pumped.server.receive_some() == b""
        await pumped.server.aclose()
    assert pumped.pump.program.received == len("question")
    assert pumped.pump.upstream.received == len("answer")


@pytest.mark.parametrize("first", ["program", "server"])
async def test_half_close_in_either_order(first: str) -> None:
    async with pumping() as pumped:
        streams = {"program": pumped.program, "server": pumped.server}
        one = streams.pop(first)
        (other,) = streams.values()
        await one.send_all(b"last words")
        await one.send_eof()
        assert await tcp.read_all(other) == b"last words"
        await other.send_all(DATA)
        await other.send_eof()
        assert await tcp.read_all(one) == DATA
    assert pumped.outcome is not None
    assert pumped.outcome.by == {"program": "program", "server": "upstream"}[first]
    assert pumped.outcome.how == "fin"
    assert pumped.outcome.cause is None
    assert pumped.outcome.kind is Kind.CLOSED


@pytest.mark.parametrize("by", ["program", "server"])
async def test_a_reset_comes_after_the_data_before_it(by: str) -> None:
    async with pumping() as pumped:
        one, other = pumped.program, pumped.server
        if by == "server":
            one, other = other, one
        await one.send_all(FITS_FIRST_WINDOW)
        pumped.reset(one)
        assert await tcp.read_until_reset(other) == FITS_FIRST_WINDOW
    assert pumped.outcome is not None
    assert pumped.outcome.how == "reset"
    assert pumped.outcome.cause == "Connection reset by peer"
    assert pumped.outcome.kind is Kind.RESET


async def test_a_reset_waits_for_a_slow_reader() -> None:
    async with pumping() as pumped:
        await pumped.server.send_all(DATA)
        while pumped.pump.upstream.received < len(DATA):
            await trio.lowlevel.checkpoint()
        pumped.reset(pumped.server)
        assert await tcp.read_until_reset(pumped.program) == DATA


async def test_a_loss_met_while_sending_is_no_clean_end() -> None:
    """The kernel tells a reset to the first call alone; a later recv looks like a FIN."""
    async with pumping() as pumped:
        await pumped.program.send_all(b"x")
        assert await pumped.server.receive_some() == b"x"
        pumped.reset(pumped.server)
        await pumped.program.send_all(b"y")
        assert await tcp.read_until_reset(pumped.program) == b""


async def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    async with pumping() as pumped:
        sent = 0
        with trio.move_on_after(0.5):
            while sent < MORE_THAN_BUFFERS_HOLD:
                await pumped.server.send_all(bytes(65536))
                sent += 65536
        assert sent < MORE_THAN_BUFFERS_HOLD
        assert pumped.pump.upstream.received <= sent + 65536
        pumped.reset(pumped.program)
        with pytest.raises(trio.BrokenResourceError):
            await pumped.server.send_all(bytes(MORE_THAN_BUFFERS_HOLD))


async def test_abort_resets_both() -> None:
    async with pumping() as pumped:
        await pumped.program.send_all(b"x")
        assert await pumped.server.receive_some() == b"x"
        pumped.pump.abort()
        assert await tcp.read_until_reset(pumped.program) == b""
        assert await tcp.read_until_reset(pumped.server) == b""
    assert pumped.outcome is not None
    assert pumped.outcome.how == "session-end"


async def test_cancelling_closes_both() -> None:
    with trio.fail_after(patience(20)):
        async with trio.open_nursery() as nursery:
            pumped = await tcp.start(nursery)
            with pumped:
                await pumped.program.send_all(b"x")
                assert await pumped.server.receive_some() == b"x"
            nursery.cancel_scope.cancel()
    assert pumped.pump.program.sock.fileno() == -1
    assert pumped.pump.upstream.sock.fileno() == -1


async def test_a_flood_in_both_directions_is_fair() -> None:
    size = 4 * 1024 * 1024
    blob = os.urandom(size)
    async with pumping() as pumped, trio.open_nursery() as nursery:

        async def send(stream: trio.SocketStream) -> None:
            await stream.send_all(blob)
            await stream.send_eof()

        async def receive(stream: trio.SocketStream) -> None:
            assert await tcp.read_all(stream) == blob

        for stream in (pumped.program, pumped.server):
            nursery.start_soon(send, stream)
            nursery.start_soon(receive, stream)


async def test_an_upstream_given_up_ends_after_what_it_had_sent() -> None:
    async with pumping() as pumped:
        await pumped.server.send_all(FITS_FIRST_WINDOW)
        pumped.pump.lose(OSError(errno.EADDRNOTAVAIL, "the host's address is gone"))
        assert await tcp.read_until_reset(pumped.program) == FITS_FIRST_WINDOW
    assert pumped.outcome is not None
    assert (pumped.outcome.by, pumped.outcome.how) == ("upstream", "unreachable")
    assert pumped.outcome.cause == "the host's address is gone"
    assert pumped.outcome.kind is Kind.ADDRESS_GONE


async def test_words_after_the_other_sides_end_are_met_by_its_reset() -> None:
    """TLS says close_notify to a server that has closed: its kernel answers by a reset."""
    async with pumping() as pumped:
        await pumped.server.send_all(b"answer")
        await pumped.server.aclose()
        assert await tcp.read_all(pumped.program) == b"answer"
        await pumped.program.send_all(b"close_notify")
        while state(pumped.pump.upstream.sock) != TCP_CLOSE:
            await trio.lowlevel.checkpoint()
        await pumped.program.send_all(b"more")
        while pumped.pump.upstream.loss is None:
            await trio.lowlevel.checkpoint()
    assert pumped.pump.upstream.ended
    assert pumped.outcome is not None
    assert (pumped.outcome.by, pumped.outcome.how) == ("upstream", "reset")
