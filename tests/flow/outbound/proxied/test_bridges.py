"""What leads to a proxy ends when its program is gone, and not while that only takes its time."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from relay.addresses import Destination
from relay.outbound.proxied.bridges import forward
from relay.outbound.proxied.forwarding import Forwarding
from relay.outbound.proxied.secured import PAUSE, join
from tests.support.pace import patience

REQUEST = b"GET /slow HTTP/1.1\r\nHost: web.test\r\n\r\n"


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Yield a program's socket and the relay's, over TCP."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        program = await trio.open_tcp_stream(*listener.socket.getsockname())
        async with program, await listener.accept() as relays:
            yield program, relays


@asynccontextmanager
async def forwarding(
    *, broken: bool = False
) -> AsyncIterator[tuple[trio.SocketStream, trio.abc.Stream]]:
    """Yield a program and the proxy to which its request is passed on."""
    ours, proxy = trio.testing.memory_stream_pair()
    request = Forwarding(Destination("web.test", 80), None)

    async def serve(relays: trio.SocketStream) -> None:
        if not broken:
            await forward(ours, request, relays)
            return
        with pytest.RaisesGroup(trio.BrokenResourceError):
            await forward(ours, request, relays)

    async with connected() as (program, relays), trio.open_nursery() as nursery:
        nursery.start_soon(serve, relays)
        with trio.fail_after(patience(10)):
            yield program, proxy


async def test_a_program_that_is_gone_while_a_proxy_thinks_takes_its_request_along() -> None:
    async with forwarding(broken=True) as (program, proxy):
        await program.send_all(REQUEST)
        assert (await proxy.receive_some()).startswith(b"GET http://web.test/slow")
        program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        program.socket.close()
        assert await proxy.receive_some() == b""


async def test_a_program_that_half_closes_behind_its_request_has_its_answer() -> None:
    async with forwarding() as (program, proxy):
        await program.send_all(REQUEST)
        assert await proxy.receive_some()
        await program.send_eof()
        await trio.testing.wait_all_tasks_blocked()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        await proxy.send_all(answer)
        assert b"".join([bytes(piece) async for piece in program]) == answer


async def test_a_program_that_ends_without_a_request_leaves_no_proxy_waiting() -> None:
    async with forwarding() as (program, proxy):
        await program.send_eof()
        assert await program.receive_some() == b""
        assert await proxy.receive_some() == b""


async def test_a_program_that_reads_slowly_after_its_end_gets_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The pause that ends an answer is the proxy's alone."""
    ours, proxy = trio.testing.memory_stream_pair()
    relays, program = trio.testing.lockstep_stream_pair()
    through: Any = ours
    near: Any = relays
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, through, b"", near)
        await program.send_eof()
        await proxy.send_all(b"a half, ")
        await trio.sleep(3 * PAUSE)
        await proxy.send_all(b"and the rest")
        await proxy.send_eof()
        assert b"".join([bytes(piece) async for piece in program]) == b"a half, and the rest"
