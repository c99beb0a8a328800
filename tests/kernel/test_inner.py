"""What TLS and HTTP ask for within a connection has to be allowed itself, in mode allowlist."""

import pytest
import trio

from relay.record.events import ConnectionDenied, Dialled, InnerDiffers
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.driver import inside
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet
from tests.support.pace import within

ALLOW = ["--allow", "server.test,more.test"]
HTTP = 80
HTTPS = 443
OTHER_TLS = 8443
SSH = 22


class Heard:
    """A server that keeps what it hears, and says nothing."""

    def __init__(self) -> None:
        self.data = b""
        self.connections = 0

    async def __call__(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        async for data in stream:
            self.data += data


async def greeting(stream: trio.abc.Stream) -> None:
    """Speak first, as ssh and SMTP do, and echo then."""
    await stream.send_all(b"220 ready\r\n")
    await echo(stream)


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return keepline; server.test serves HTTP, TLS at two ports, and a server-first protocol."""
    internet.zone.add("more.test", "A", SERVER)
    tls = over_tls(Site(), internet.authority.server_context("server.test"))
    await nursery.start(serve, tls, *(listen(internet.server, SERVER, p) for p in (443, 8443)))
    await nursery.start(serve, Site(), listen(internet.server, SERVER, HTTP))
    await nursery.start(serve, greeting, listen(internet.server, SERVER, SSH))
    made = Keepline(internet)
    made.environment |= internet.authority.environment()
    return made


async def test_a_server_name_that_no_rule_allows_is_denied_at_any_port(keepline: Keepline) -> None:
    async with inside(keepline, ALLOW) as program:
        for port in (HTTPS, OTHER_TLS):
            assert await program(at.handshake, "server.test", port) == "done"
            assert await program(at.handshake, "server.test", port, "more.test") == "done"
            for name in ("evil.test", "sub.server.test", "server.test.evil.test", "EVIL.test"):
                assert await program(at.handshake, "server.test", port, name) != "done", name
        done = await program.session.end()
    denied = done.all(ConnectionDenied)
    assert {event.inner for event in denied} == {
        "evil.test",
        "sub.server.test",
        "server.test.evil.test",
    }
    assert {(event.kind, event.rule, event.told) for event in denied} == {
        (Kind.POLICY, "no allow rule matches", "a reset")
    }


async def test_the_server_hears_nothing_of_what_is_denied(
    internet: Internet, nursery: trio.Nursery
) -> None:
    heard = Heard()
    for port in (HTTP, HTTPS):
        await nursery.start(serve, heard, listen(internet.server, SERVER, port))
    host = b"Host: evil.test\r\n"
    async with inside(Keepline(internet), ALLOW) as program:
        assert await program(at.handshake, "server.test", HTTPS, "evil.test") != "done"
        for pieces in (
            (b"GET / HTTP/1.1\r\n" + host + b"\r\n",),
            tuple((b"GET / HTTP/1.1\r\n" + host + b"\r\n")[n : n + 1] for n in range(35)),
            (b"GET / HTTP/1.1\r\nHost: server.test\r\n", host, b"\r\n"),
            (b"GET / HTTP/1.1\r\nHost: server.test\r\n ", b"evil.test\r\n\r\n"),
            (b"GET http://evil.test/ HTTP/1.1\r\nHost: server.test\r\n\r\n",),
            (b"CONNECT evil.test:443 HTTP/1.1\r\nHost: server.test\r\n\r\n",),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
            (b"\x16\x03\x01\x00\x05hello",),
            (b"anything at port 80",),
        ):
            data, end = await program(at.ask_in_pieces, "server.test", HTTP, *pieces)
            assert (data, end) == (b"", "ConnectionResetError"), pieces
        done = await program.session.end()
    assert heard.data == b""
    assert heard.connections == len(done.all(Dialled)) == 10
    assert len(done.all(ConnectionDenied)) == 10


async def test_requests_to_what_is_allowed_are_answered(keepline: Keepline) -> None:
    request = b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
    async with inside(keepline, ALLOW) as program:
        for host in (b"server.test", b"SERVER.test.", b"server.test:8080", b"more.test"):
            data, end = await program(at.ask_in_pieces, "server.test", HTTP, request % host)
            assert (data[-5:], end) == (b"hello", "fin")
        pieces = [(request % b"server.test")[n : n + 1] for n in range(len(request) + 9)]
        data, _end = await program(at.ask_in_pieces, "server.test", HTTP, *pieces)
        assert data.endswith(b"hello")
        await program.session.end()
    curl = [needs("curl"), "-sS"]
    for url in ("http://server.test/", "https://server.test/", "https://server.test:8443/"):
        done = await keepline.run(*curl, url, options=ALLOW)
        assert (done.stdout, done.stderr) == (b"hello", "")


async def test_a_server_that_speaks_first_is_not_inspected(keepline: Keepline) -> None:
    async with inside(keepline, ALLOW) as program:
        number = await program(at.open_connection, "server.test", SSH)
        assert await program(at.receive, number, 11) == b"220 ready\r\n"
        await program(at.send, number, b"EHLO x\r\n")
        assert await program(at.receive, number, 8) == b"EHLO x\r\n"
        await program.session.end()


async def test_a_hello_that_never_ends_is_denied_after_ten_seconds(keepline: Keepline) -> None:
    async with inside(keepline, ALLOW) as program:
        number = await program(at.open_connection, "server.test", HTTPS)
        await program(at.send, number, b"\x16\x03\x01\x02\x00\x01")
        assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
        assert program.seconds > 9
        assert within(program.seconds, 11)
        done = await program.session.end()
    assert "within 10 s" in done.only(ConnectionDenied).rule


async def test_in_mode_open_it_is_recorded_alone(keepline: Keepline) -> None:
    async with inside(keepline, ["--deny", "evil.test"]) as program:
        assert await program(at.handshake, "server.test", HTTPS, "evil.test") == "done"
        assert await program(at.handshake, "server.test", HTTPS, "other.test") == "done"
        request = b"GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
        data, _end = await program(at.ask_in_pieces, "server.test", HTTP, request)
        assert data.endswith(b"hello")
        done = await program.session.end()
    assert [event.inner for event in done.all(InnerDiffers)] == ["evil.test"] * 2
    assert done.all(ConnectionDenied) == []
