"""A connect() to the API host means it: refused, pending or through as its upstream is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from relay.gateway.setup.prepare import BASE_URL_PORT
from relay.record.events import DialFailed, Dialled, UpstreamOpened
from tests.support.command import program as at
from tests.support.command.asking import HTTP, NAME, TLS, keepline_of, serve_api
from tests.support.command.driver import Program, inside
from tests.support.internet.faults import drop, unreachable_by
from tests.support.internet.patterns import Packets
from tests.support.internet.world import SERVER, Internet
from tests.support.pace import within

HTTPS = 443
AT_ONCE = 0.5
WHILE = 1.0
SYNS = Packets(only_syn=True, destination=SERVER, destination_port=HTTPS)


@pytest.fixture
async def program(internet: Internet) -> AsyncIterator[Program]:
    """Yield a program whose API host is server.test; nobody serves it yet."""
    async with within_session(internet) as made:
        yield made


@asynccontextmanager
async def within_session(internet: Internet, *options: str) -> AsyncIterator[Program]:
    keepline = keepline_of(internet, internet.authority)
    async with inside(keepline, options or TLS) as made:
        yield made


async def test_nobody_there_is_a_refused_connect(program: Program) -> None:
    number = await program(at.begin_connecting, NAME, HTTPS)
    assert await program(at.connected, number, 5) == "ECONNREFUSED"
    assert within(program.seconds, AT_ONCE)
    done = await program.session.end()
    assert done.only(DialFailed).cause == "Connection refused"


async def test_a_firewall_in_between_is_told_at_once(internet: Internet, program: Program) -> None:
    with unreachable_by(13, internet.router, SYNS):
        number = await program(at.begin_connecting, NAME, HTTPS)
        assert await program(at.connected, number, 5) == "EHOSTUNREACH"
        assert within(program.seconds, AT_ONCE)


async def test_silence_is_pending_until_it_ends_and_one_dial_is_for_all(
    internet: Internet, nursery: trio.Nursery, program: Program
) -> None:
    api = await serve_api(internet, nursery)
    with drop(internet.router, SYNS):
        numbers = [await program(at.begin_connecting, NAME, HTTPS) for _ in range(3)]
        assert await program(at.connected, numbers[0], WHILE) == "pending"
        await program(at.close, numbers.pop())
    for number in numbers:
        assert await program(at.connected, number, 5) == "connected"
    await program(at.close_all)
    done = await program.session.end()
    assert api.log.connections == 1
    assert len(done.all(Dialled)) == 1
    assert done.only(UpstreamOpened).host == NAME
    assert done.only(DialFailed).cause == "the program gave its connect() up"


async def test_at_the_base_url_a_connect_is_through_whatever_upstream_does(
    internet: Internet,
) -> None:
    async with within_session(internet, *HTTP) as program:
        number = await program(at.begin_connecting, "127.0.0.1", BASE_URL_PORT)
        assert await program(at.connected, number, 5) == "connected"
        assert within(program.seconds, AT_ONCE)
        done = await program.session.end()
    assert not done.all(UpstreamOpened)
