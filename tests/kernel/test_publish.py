"""Servers inside are reached from the host: at its loopback by themselves, elsewhere if asked."""

import errno
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from netns.process.members import children
from relay.record.events import (
    LeftBehind,
    LoopbackRefused,
    Published,
    PublishEnded,
    PublishingFailed,
)
from tests.support.command import clients
from tests.support.command.keepline import Done, Keepline, Session
from tests.support.command.programs import VERSIONS, needs, needs_version
from tests.support.command.serving import serving
from tests.support.internet.hosts import Host
from tests.support.internet.servers.listening import connect, listen
from tests.support.internet.world import CLIENT, Internet
from tests.support.pace import patience

LOOPBACK = ("127.0.0.1", "::1")
PROTOCOLS = Path(clients.__file__).parent / "protocols.mjs"


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


async def tell(session: Session, line: str) -> str:
    session.write(f"{line}\n".encode())
    return (await session.readline()).decode().strip()


async def opens(session: Session, address: str, port: int) -> Published:
    assert await tell(session, f"listen {address} {port}") == f"listen {address} {port}"
    return await session.until(Published, lambda event: event.port == port)


async def answer(host: Host, address: str, port: int, said: bytes = b"hello") -> bytes:
    """Say something, close that half, and return all that comes back."""
    with trio.fail_after(patience(10)):
        stream = await connect(host, address, port)
        async with stream:
            await stream.send_all(said)
            await stream.send_eof()
            return b"".join([data async for data in stream])


async def refused(host: Host, address: str, port: int) -> int | None:
    """Return the errno of a connection that does not come about."""
    try:
        stream = await connect(host, address, port)
    except OSError as error:
        return error.errno
    await trio.aclose_forcefully(stream)
    return None


async def is_reset(host: Host, address: str, port: int) -> None:
    """See a connection accepted and reset, which may be so soon that connect() says it."""
    with pytest.raises((trio.BrokenResourceError, ConnectionResetError)):
        async with await connect(host, address, port) as stream:
            await stream.receive_some()


@asynccontextmanager
async def served(keepline: Keepline, *options: str) -> AsyncIterator[Session]:
    async with keepline.start(*serving(), options=options) as session:
        yield session


async def ended(session: Session) -> Done:
    done = await session.end()
    assert done.status == 0, done
    assert done.all(LeftBehind) == []
    return done


async def test_what_listens_is_found_at_the_hosts_loopback(
    internet: Internet, keepline: Keepline
) -> None:
    """At whatever address it listens inside; and at no other address of the host."""
    host = internet.client
    async with served(keepline) as session:
        for number, address in enumerate(("127.0.0.1", "0.0.0.0", "::1", "::", CLIENT)):
            port = 8100 + number
            published = await opens(session, address, port)
            assert (published.host_port, published.addresses) == (port, [*LOOPBACK])
            for each in LOOPBACK:
                assert await answer(host, each, port) == b"helloend"
            assert await refused(host, CLIENT, port) == errno.ECONNREFUSED
        assert await tell(session, "address 8101") == "127.0.0.1"
        assert await tell(session, "address 8102") == "::1"
        status = await keepline.call("status", "--json")
        (state,) = json.loads(status.stdout)
        places = {each["port"]: each["places"] for each in state["published"].values()}
        assert places[8103] == "127.0.0.1:8103 and [::1]:8103"

        assert await tell(session, "close 8100") == "close 8100"
        gone = await session.until(PublishEnded)
        assert (gone.port, gone.connections, gone.refused) == (8100, 2, 0)
        for each in LOOPBACK:
            assert await refused(host, each, 8100) == errno.ECONNREFUSED
        done = await ended(session)
    assert done.all(LoopbackRefused) == []
    explained = await keepline.call("explain")
    assert b"port 8101 inside is 127.0.0.1:8101 and [::1]:8101 on the host" in explained.stdout


async def test_a_port_that_is_taken_gets_another_and_keeps_it(
    internet: Internet, keepline: Keepline
) -> None:
    host = internet.client
    async with listen(host, "::1", 8200), served(keepline) as session:
        published = await opens(session, "127.0.0.1", 8200)
        assert published.host_port == 18200
        assert published.why == "Address already in use"
        assert await answer(host, "127.0.0.1", 18200) == b"helloend"
        assert await tell(session, "close 8200") == "close 8200"
        await session.until(PublishEnded)
        async with listen(host, "127.0.0.1", 8201):
            assert await tell(session, "listen :: 8200") == "listen :: 8200"
            again = await session.until(Published, lambda event: event.at > published.at)
            assert (again.host_port, again.why) == (18200, published.why)
        done = await ended(session)
    assert done.stderr == ""


async def test_no_connection_goes_round_in_a_circle(internet: Internet, keepline: Keepline) -> None:
    """All ports of the host are open to the program; what is published leads inside again."""
    host = internet.client
    options = ["--host-port", "1-65535", "--publish", "8250:8251"]
    async with listen(host, "127.0.0.1", 8253), served(keepline, *options) as session:
        assert await tell(session, "dial 127.0.0.1 8253") == "dial 127.0.0.1 8253"
        await opens(session, "127.0.0.1", 8252)
        assert await tell(session, "dial ::1 8252") == "ECONNREFUSED"
        for address in LOOPBACK:
            assert await tell(session, f"dial {address} 8250") == "ECONNREFUSED"
            await is_reset(host, address, 8250)
        for address in ("127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0", "198.18.0.2", CLIENT):
            assert await tell(session, f"dial {address} 8250") == "ECONNREFUSED", address
        assert await tell(session, "close 8252") == "close 8252"
        assert await tell(session, "dial 127.0.0.1 8252") == "ECONNREFUSED"
        await ended(session)


async def test_streams_end_as_they_do_inside(internet: Internet, keepline: Keepline) -> None:
    """A reset is a reset, what stands outlives its listener, and what is large is whole."""
    host = internet.client
    async with served(keepline) as session:
        await opens(session, "127.0.0.1", 8300)
        standing = await connect(host, "127.0.0.1", 8300)
        await standing.send_all(b"one")
        assert await standing.receive_some() == b"one"

        large = bytes(range(256)) * 16384
        assert await answer(host, "::1", 8300, large) == large + b"end"

        reset = await connect(host, "127.0.0.1", 8300)
        await reset.send_all(b"reset")
        with pytest.raises(trio.BrokenResourceError):
            await reset.receive_some()
        await reset.aclose()

        assert await tell(session, "close 8300") == "close 8300"
        await session.until(PublishEnded)
        await standing.send_all(b"two")
        assert await standing.receive_some() == b"two"
        await standing.aclose()

        async with trio.open_nursery() as nursery:
            await opens(session, "::", 8301)
            answers: list[bytes] = []

            async def ask(number: int) -> None:
                said = b"%d" % number
                assert await answer(host, LOOPBACK[number % 2], 8301, said) == said + b"end"
                answers.append(said)

            for number in range(300):
                nursery.start_soon(ask, number)
        assert len(answers) == 300
        await ended(session)


async def test_what_is_asked_for_is_there_from_the_start(
    internet: Internet, keepline: Keepline
) -> None:
    """Also where another host reaches it; who serves it may come late, and go, and come again."""
    host = internet.client
    options = ["--publish", f"{CLIENT}:8400:80,8401-8402:9001-9002", "--publish", "off"]
    async with served(keepline, *options, "--deny", "*") as session:
        asked = await session.until(Published)
        assert (asked.port, asked.host_port, asked.asked) == (80, 8400, True)
        await is_reset(host, "127.0.0.1", 8401)
        for _ in range(2):
            assert await tell(session, "listen 0.0.0.0 9001") == "listen 0.0.0.0 9001"
            assert await answer(host, "127.0.0.1", 8401) == b"helloend"
            assert await answer(host, "::1", 8401) == b"helloend"
            assert await tell(session, "close 9001") == "close 9001"
        assert await tell(session, "listen 127.0.0.1 9001") == "listen 127.0.0.1 9001"
        if await tell(session, "listen 127.0.0.1 80") == "listen 127.0.0.1 80":  # it may be root's
            assert await answer(internet.router, CLIENT, 8400) == b"helloend"
        assert await refused(host, "127.0.0.1", 9001) == errno.ECONNREFUSED
        done = await ended(session)
    counts = {event.port: (event.connections, event.refused) for event in done.all(PublishEnded)}
    assert counts[9001] == (4, 1)
    assert (done.all(PublishingFailed), done.all(LoopbackRefused)) == ([], [])


@pytest.mark.parametrize("options", [["--strict"], ["--allow", "a.test"], ["--publish", "off"]])
async def test_nothing_is_published_where_little_is_trusted(
    internet: Internet, keepline: Keepline, options: list[str]
) -> None:
    async with served(keepline, *options, "--publish", "8500") as session:
        await session.until(Published)
        assert await tell(session, "listen 127.0.0.1 8501") == "listen 127.0.0.1 8501"
        assert await tell(session, "listen 127.0.0.1 8500") == "listen 127.0.0.1 8500"
        assert await answer(internet.client, "127.0.0.1", 8500) == b"helloend"
        await trio.sleep(1)  # two looks, if there were any
        assert await refused(internet.client, "127.0.0.1", 8501) == errno.ECONNREFUSED
        done = await ended(session)
    assert [event.port for event in done.all(Published)] == [8500]


async def test_what_cannot_be_listened_at_starts_nothing(
    internet: Internet, keepline: Keepline
) -> None:
    async with listen(internet.client, "127.0.0.1", 8600):
        done = await keepline.run("true", options=["--publish", "8600:80"], check=False)
    assert (done.status, done.events) == (125, [])
    assert done.stderr.splitlines() == [
        "keepline: --publish: port 8600 of 127.0.0.1 and ::1: Address already in use",
        "  try: take another port of the host, as in --publish 18600:80",
    ]
    done = await keepline.run("true", options=["--publish", "203.0.113.9:80:80"], check=False)
    assert (done.status, done.stderr.splitlines()[1]) == (
        125,
        "  try: name an address that this host has: ip address show",
    )


async def test_last_words_of_a_server_are_delivered(internet: Internet, keepline: Keepline) -> None:
    """Its command ends right after it has sent them."""
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 8700)); c = s.accept()[0];"
        " c.sendall(bytes(1 << 22)); c.close()"
    )
    async with keepline.start("python3", "-c", code) as session:
        await session.until(Published)
        with trio.fail_after(patience(20)):
            stream = await connect(internet.client, "127.0.0.1", 8700)
            received = b"".join([data async for data in stream])
        await stream.aclose()
        await session.end()
    assert received == bytes(1 << 22)


def maker_of(session: Session) -> int:
    """Return the process that makes sockets, a child of the relay."""
    (pid,) = (
        pid
        for pid in children(session.pid)
        if Path(f"/proc/{pid}/comm").read_text().strip() == "socket-maker"
    )
    return pid


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t") for line in lines if ":\t" in line)


async def test_the_maker_of_sockets_has_no_rights_and_ends_with_the_relay(
    internet: Internet, keepline: Keepline
) -> None:
    async with served(keepline) as session:
        await opens(session, "127.0.0.1", 8800)
        maker = maker_of(session)
        status = status_of(maker)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert os.getsid(maker) == maker
        ended = os.pidfd_open(maker)
        session.process.kill()
        with trio.fail_after(patience(10)):
            await trio.lowlevel.wait_readable(ended)
        os.close(ended)


async def test_what_lingers_is_published_and_nothing_else_is_waited_for(
    internet: Internet, keepline: Keepline
) -> None:
    code = (
        "import os, socket; s = socket.create_server(('127.0.0.1', 8900));"
        " os.fork() and os._exit(0); s.accept()[0].sendall(b'left')"
    )
    async with keepline.start("python3", "-c", code, options=["--linger"]) as session:
        await session.until(Published)
        assert await answer(internet.client, "127.0.0.1", 8900, b"") == b"left"
        done = await session.end()
    assert (done.status, done.stderr, done.all(LeftBehind)) == (0, "", [])


async def test_without_the_maker_of_sockets_the_rest_goes_on(
    internet: Internet, keepline: Keepline
) -> None:
    async with served(keepline, "--publish", "9000:80") as session:
        await opens(session, "127.0.0.1", 9001)
        os.kill(maker_of(session), signal.SIGKILL)
        await is_reset(internet.client, "127.0.0.1", 9001)
        failed = await session.until(PublishingFailed)
        done = await ended(session)
    assert failed.cause == "the process that makes sockets inside has ended"
    (line,) = done.stderr.splitlines()
    assert line.startswith("keepline: --publish: servers inside were not reached from the host: ")


HTTP2_CLIENT = """
const session = require('node:http2').connect('http://127.0.0.1:9101')
let left = 20, bytes = 0
for (let i = 0; i < 20; i++) {
  const stream = session.request({ ':path': '/' })
  stream.on('data', (data) => { bytes += data.length })
  stream.on('end', () => { if (!--left) { console.log(bytes); session.close() } })
}
"""
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost:9100\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_protocols_of_a_development_server(internet: Internet, keepline: Keepline) -> None:
    """Hot reload comes over a WebSocket that has been silent; HTTP/2 has streams at a time."""
    host, node, watched = internet.client, needs("node"), keepline.folder / "watched"
    watched.write_text("before")
    command = [node, str(PROTOCOLS), str(watched), "9100", "9101"]
    async with keepline.start(*command) as session:
        await session.until(Published, lambda event: event.port == 9100)
        await session.until(Published, lambda event: event.port == 9101)
        for address in LOOPBACK:
            page = await answer(host, address, 9100, b"GET / HTTP/1.0\r\n\r\n")
            assert page.endswith(b"page")
        with trio.fail_after(patience(20)):
            browser = await connect(host, "127.0.0.1", 9100)
            await browser.send_all(UPGRADE)
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += await browser.receive_some()
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in received
            watched.write_text("after")
            while not received.endswith(b"\x81\x06reload"):
                received += await browser.receive_some()
            await browser.aclose()
        done = await host.run_process([node, "-e", HTTP2_CLIENT])
        assert done.stdout.strip() == b"%d" % (20 << 18)
        assert (await session.end()).status == 0


LOGINS = [
    *(("claude", version, ["auth", "login"]) for version in VERSIONS),
    ("codex", "0.171.0", ["login"]),
]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    LOGINS,
    ids=[f"{name} {version}" for name, version, _words in LOGINS],
)
async def test_the_callback_of_a_login_is_reached(
    internet: Internet, keepline: Keepline, name: str, version: str, words: list[str]
) -> None:
    """The real client waits for it, and says 404 to all else.

    `claude` does so at a port of its choice, `codex` at 1455. `claude` listens before it looks at
    requests, and does not answer those that come too early.
    """
    home = keepline.folder / "home"
    home.mkdir()
    env = {"HOME": str(home), "BROWSER": "true"}
    command = [needs_version(name, version), *words]
    async with keepline.start(*command, env=env, options=["--gateway=off"]) as session:
        published = await session.until(Published)
        assert published.host_port == published.port
        assert name != "codex" or published.port == 1455
        answered = b""
        with trio.fail_after(patience(30)):
            while not answered:
                with trio.move_on_after(1):
                    answered = await asked(internet.client, published.port)
        session.process.terminate()
        await session.end()  # it writes to its home until then
    assert b" 404 " in answered


async def asked(host: Host, port: int) -> bytes:
    """Ask for a page, without a half-close, which this server takes for an end."""
    async with await connect(host, "127.0.0.1", port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return bytes(await stream.receive_some())
