"""Connections that never come to stand, and those that wait for another's dial."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.support.inprocess.gateway import Answer, Running, bare_upstream, gateway
from tests.support.internet.servers.api.server import fake_api
from tests.support.internet.servers.listening import Handler


@asynccontextmanager
async def tls_expected(handler: Handler) -> AsyncIterator[Running]:
    """Run a gateway that expects TLS of `handler`, which speaks without."""
    async with (
        fake_api() as trusted,
        bare_upstream(handler) as served,
        gateway(replace(served, authority=trusted.authority), patience=3) as it,
    ):
        yield it


async def ask(it: Running) -> Answer:
    async with it.connection() as program:
        answer = await program.ask("GET", "/a")
    await it.assert_nothing_is_left()
    return answer


async def test_closed_in_the_tls_handshake(autojump_clock: trio.testing.MockClock) -> None:
    async def close(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with tls_expected(close) as it:
        answer = await ask(it)
    assert answer.status == 502
    assert b"in the TLS handshake" in answer.body
    assert not any(each.may_be_billed for each in it.resends())


async def test_no_tls_where_it_is_expected(autojump_clock: trio.testing.MockClock) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with tls_expected(refuse) as it:
        answer = await ask(it)
    assert b"TLS: " in answer.body


async def test_silent_in_the_tls_handshake(autojump_clock: trio.testing.MockClock) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    async with tls_expected(silent) as it:
        answer = await ask(it)
    assert b"no TLS handshake" in answer.body


async def test_a_store_that_is_gone_by_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with fake_api() as served, gateway(served) as it:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
        answer = await ask(it)
    assert answer.status == 502
    assert b"No such file or directory" in answer.body
    assert (b"x-should-retry", b"false") in answer.fields
    assert not it.resends()


async def test_who_waits_for_a_dial_learns_that_upstream_speaks_http1() -> None:
    async with fake_api(protocols=("http/1.1",)) as served, gateway(served) as it:
        answers = []

        async def take() -> None:
            async with it.connection() as program:
                answers.append(await program.ask("GET", "/v1/models"))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take)
        await it.assert_nothing_is_left()
    assert [answer.is_complete for answer in answers] == [True] * 3
    assert {asked.request.protocol for asked in served.log.asked} == {"http/1.1"}
