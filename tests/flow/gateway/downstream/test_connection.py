"""A program that resets its connection, whatever the gateway does meanwhile."""

import socket
from collections.abc import Iterator
from functools import partial

import pytest
import trio
import trio.testing

from relay.gateway.bounds.room import Room
from relay.gateway.downstream.body import Body
from relay.gateway.downstream.connection import Downstream
from relay.gateway.downstream.guests import Guest
from relay.gateway.http import LostError, Response
from relay.record.kinds import Kind
from relay.sockets import resets_on_close
from tests.support.inprocess.gateway import bare_upstream, gateway

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


def reset(sock: socket.socket) -> None:
    resets_on_close(sock)
    sock.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A program's socket, and the gateway's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = socket.create_connection(server.getsockname())
        accepted, _address = server.accept()
    with program, accepted:
        accepted.setblocking(False)
        yield program, accepted


def downstream(sock: socket.socket) -> Downstream:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    return Downstream(stream, sock, partial(Body, guest=Guest(), room=Room()))


async def test_between_two_requests(pair: tuple[socket.socket, socket.socket]) -> None:
    program, accepted = pair
    reset(program)
    assert await downstream(accepted).request() is None


async def test_a_write_ends_the_exchange(pair: tuple[socket.socket, socket.socket]) -> None:
    program, accepted = pair
    program.sendall(HEAD)
    side = downstream(accepted)
    assert await side.request() is not None
    went_on = False
    async with side.exchange():
        side.head(Response(200, []))
        reset(program)
        await side.flush()
        went_on = True
    assert not went_on
    assert not await side.next_is_possible()


async def test_what_http1_cannot_express_is_a_loss(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    program, accepted = pair
    program.sendall(HEAD)
    side = downstream(accepted)
    await side.request()
    with pytest.raises(LostError) as caught:
        side.head(Response(200, [(b"a(b", b"")]))
    assert caught.value.kind is Kind.UNTRANSLATABLE
    assert not side.has_head
    side.head(Response(200, [(b"Content-Length", b"1")]))
    with pytest.raises(LostError):
        await side.data(b"two")


async def test_within_a_body() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    async with bare_upstream(silent) as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(HEAD + b"abc")
            await trio.testing.wait_all_tasks_blocked()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await it.assert_nothing_is_left()


async def test_an_upgraded_connection_that_upstream_resets(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    async def reset_it(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 101 Yes\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n")
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with bare_upstream(reset_it) as served, gateway(served) as it:
        async with it.raw() as stream:
            head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"
            await stream.send_all(head)
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 101")
            await stream.send_all(b"go")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        await it.assert_nothing_is_left()
