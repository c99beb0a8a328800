"""Connections that never come to stand, and those that wait for another's dial."""

import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.gateway.upstream.connector import HANDSHAKE
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import Answer, Running, bare_upstream, gateway
from tests.support.internet.servers.api.server import Api, Served, context, fake_api
from tests.support.internet.servers.listening import Handler, over_tls, serve
from tests.support.internet.servers.tls import Authority, refusing


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
        assert not it.resends()
    assert b"TLS: " in answer.body
    assert (b"x-should-retry", b"false") in answer.fields


async def test_silent_in_the_tls_handshake(autojump_clock: trio.testing.MockClock) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    async with tls_expected(silent) as it:
        began = trio.current_time()
        answer = await ask(it)
        seconds = trio.current_time() - began
    assert b"no TLS handshake" in answer.body
    assert seconds > HANDSHAKE * sum(2**number for number in range(6))


def alert(description: int) -> bytes:
    """Return a fatal alert, RFC 8446 section 6."""
    return b"\x15\x03\x03\x00\x02\x02" + bytes([description])


@pytest.mark.parametrize(
    ("description", "cause", "resends"),
    [
        (40, b"sslv3 alert handshake failure", 0),
        (70, b"tlsv1 alert protocol version", 0),
        (112, b"tlsv1 unrecognized name", 0),
        (49, b"tlsv1 alert access denied", 0),
        (80, b"tlsv1 alert internal error", 5),
    ],
)
async def test_an_alert_in_the_handshake_is_asked_for_once_unless_it_may_pass(
    description: int, cause: bytes, resends: int, autojump_clock: trio.testing.MockClock
) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(alert(description))
        async for _ in stream:
            pass

    async with tls_expected(refuse) as it:
        answer = await ask(it)
    assert cause in answer.body.lower()
    assert len(it.resends()) == resends
    assert (b"x-should-retry", b"true" if resends else b"false") in answer.fields
    assert not any(each.may_be_billed for each in it.resends())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/other"])
async def test_a_certificate_that_we_have_not_is_asked_for_once(
    protocol: str, version: ssl.TLSVersion, path: str
) -> None:
    """In TLS 1.3 the alert comes when the request is on its way: it was not processed."""
    async with fake_api() as trusted:
        assert trusted.authority is not None
        made = demanding_context(trusted.authority, (protocol,), version)
        with socket.create_server(("127.0.0.1", 0)) as listener, refusing(listener, made, []):
            port = listener.getsockname()[1]
            async with gateway(replace(trusted, port=port)) as it:
                async with it.connection() as program:
                    answer = await program.ask("POST", path, b"{}")
                await it.assert_nothing_is_left()
    assert answer.status == 502
    assert b"TLS: " in answer.body
    assert (b"x-should-retry", b"false") in answer.fields
    assert not it.resends()
    assert it.lost()[0].kind is Kind.TLS


@pytest.mark.parametrize("protocols", [("h2",), ("http/1.1",)])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("passphrase", ["", "a secret"])
async def test_the_programs_certificate_is_presented(
    protocols: tuple[str, ...],
    version: ssl.TLSVersion,
    passphrase: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with demanding_api(protocols, version) as served:
        assert served.authority is not None
        for name, text in served.authority.identity(tmp_path, passphrase).items():
            monkeypatch.setenv(name, text)
        async with gateway(served) as it:
            answer = await ask(it)
    assert answer.status == 404
    assert len(served.log.asked) == 1


@pytest.mark.parametrize(
    ("junk", "protocols"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", ("http/1.1",)),
        (b"220 mail.test ESMTP\r\n", ("http/1.1",)),
        (bytes(99), ("http/1.1",)),
        (bytes(99), ("h2",)),
    ],
)
async def test_what_is_not_http_is_asked_once(
    junk: bytes, protocols: tuple[str, ...], autojump_clock: trio.testing.MockClock
) -> None:
    async def greet(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(junk)
        async for _ in stream:
            pass

    async with bare_upstream(greet, protocols=protocols) as served, gateway(served) as it:
        answer = await ask(it)
    assert answer.status == 502
    assert (b"x-should-retry", b"false") in answer.fields
    assert len(it.resends()) == (protocols == ("h2",))  # it may do better over HTTP/1.1


@asynccontextmanager
async def demanding_api(
    protocols: tuple[str, ...], version: ssl.TLSVersion
) -> AsyncIterator[Served]:
    """Serve an API that wants a certificate of its client."""
    with tempfile.TemporaryDirectory(prefix="upstream-") as folder:
        authority = Authority(Path(folder))
        made = demanding_context(authority, protocols, version)
        api = Api()
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, over_tls(api, made), listener)
            yield Served(api, listener.socket.getsockname()[1], authority)
            nursery.cancel_scope.cancel()


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


def demanding_context(
    authority: Authority, protocols: tuple[str, ...], version: ssl.TLSVersion
) -> ssl.SSLContext:
    """Make the context of a server that wants a certificate of this authority."""
    made = context(authority, "server.test", protocols=protocols)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(authority.file)
    made.maximum_version = version
    return made
