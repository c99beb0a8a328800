"""What nobody listens on inside is the host's, at the ports that are open; all else is as alone."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio

from relay.record.events import (
    ConnectionDenied,
    DialHeld,
    HostPortClosed,
    HostPortOpened,
    LoopbackRefused,
    PathDown,
)
from tests.support.command import ports
from tests.support.command import program as at
from tests.support.command.driver import bare, inside
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import CLIENT, Internet
from tests.support.pace import patience

BOTH: Final = 5432
IPV4: Final = 5433
IPV6: Final = 5434
NOBODY: Final = 5435
CLOSED: Final = 6000
OPEN: Final = f"{BOTH}-{NOBODY}"
HOST: Final = "198.18.0.2"
LOOPBACK: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", HOST)


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return keepline; echoes listen on the host's loopback."""
    for address, port in (
        ("127.0.0.1", BOTH),
        ("::1", BOTH),
        ("127.0.0.1", IPV4),
        ("::1", IPV6),
        ("127.0.0.1", CLOSED),
    ):
        await nursery.start(serve, echo, listen(internet.client, address, port))
    return Keepline(internet)


async def test_open_ports_lead_to_the_hosts_servers(keepline: Keepline) -> None:
    async with inside(keepline, options=["--host-port", OPEN]) as program:
        for host in LOOPBACK:
            for port in (BOTH, IPV4, IPV6):
                assert await program(ports.exchanged, host, port) == b"hello", (host, port)
            assert await program(ports.refusal, host, NOBODY) == "ECONNREFUSED"
            assert await program(ports.refusal, host, CLOSED) == "ECONNREFUSED"
        # "127.0.0.5" is another address of loopback: who listens on all of them is reached there.
        assert await program(ports.exchanged, "127.0.0.5", BOTH) == b"hello"
        done = await program.session.end()
    (opened,) = done.all(HostPortOpened)
    assert (opened.ports, opened.source) == (OPEN, "--host-port")
    refused = {(each.to, each.on_host) for each in done.all(LoopbackRefused)}
    assert refused == {
        (f"127.0.0.1:{CLOSED}", True),
        (f"[::1]:{CLOSED}", True),
        (f"host.internal:{CLOSED}", True),
    }


ENDS: Final = 5500


class Ends:
    """A server that ends in the way that is asked for, and hears what comes after that."""

    def __init__(self) -> None:
        self._hears, self.heard = trio.open_memory_channel[bytes](10)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Say which family was dialled; then end."""
        is_ipv6 = stream.socket.family == socket.AF_INET6
        await stream.send_all(b"6" if is_ipv6 else b"4")
        if await stream.receive_some() == b"reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        await stream.send_eof()
        await self._hears.send(b"".join([data async for data in stream]))


@pytest.mark.parametrize("options", [(), ("--strict",), ("--allow", "server.test")])
async def test_families_and_ends_are_the_servers_own(
    internet: Internet, nursery: trio.Nursery, options: tuple[str, ...]
) -> None:
    """In each mode: somebody has written the port down."""
    server = Ends()
    for address in ("127.0.0.1", "::1"):
        await nursery.start(serve, server.serve, listen(internet.client, address, ENDS))
    flags = ["--host-port", f"{ENDS}", *options]
    async with inside(Keepline(internet), options=flags) as program:
        for host, family in (("127.0.0.1", b"4"), ("::1", b"6"), (HOST, b"4")):
            number = await program(at.open_connection, host, ENDS)
            await program(at.send, number, b"end")
            assert await program(at.receive_to_end, number) == (family, "fin")
            await program(at.send, number, b"more")
            await program(at.close, number)
            with trio.fail_after(patience(10)):
                assert await server.heard.receive() == b"more"
            number = await program(at.open_connection, host, ENDS)
            assert await program(at.receive, number, 1) == family
            await program(at.send, number, b"reset")
            assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
        done = await program.session.end()
    assert [event for event in done.events if isinstance(event, DialHeld | PathDown)] == []


async def test_the_host_has_names(keepline: Keepline) -> None:
    async with inside(keepline, options=["--host-port", OPEN]) as program:
        assert await program(at.look_up, "host.internal") == [HOST]
        assert await program(at.name_of, HOST) == "host.internal"
        number = await program(at.open_connection, "host.internal", BOTH)
        await program(at.send, number, b"hello")
        assert await program(at.receive, number, 5) == b"hello"
    done = await keepline.run(needs("getent"), "hosts", "host.internal", options=["--strict"])
    assert done.stdout.split() == [HOST.encode(), b"host.internal"]
    denied = ["--deny", "host.internal", "--host-port", OPEN]
    async with inside(keepline, options=denied) as program:
        with pytest.raises(socket.gaierror):
            await program(at.look_up, "host.internal")
        assert await program(ports.refusal, HOST, BOTH) == "ECONNREFUSED"
        assert await program(ports.exchanged, "127.0.0.1", BOTH) == b"hello"


async def test_rules_close_what_a_flag_has_opened(keepline: Keepline) -> None:
    options = ["--deny", f"localhost:{BOTH}", "--host-port", OPEN, "--allow", "server.test"]
    async with inside(keepline, options=options) as program:
        for host in LOOPBACK:
            assert await program(ports.refusal, host, BOTH) == "ECONNREFUSED"
            assert await program(ports.exchanged, host, IPV4) == b"hello", "no rule is needed"
        done = await program.session.end()
    denials = done.all(ConnectionDenied)
    assert {(each.rule, each.told) for each in denials} == {(f"localhost:{BOTH}", "a refusal")}


async def test_settings_that_change_close_ports_and_open_none(keepline: Keepline) -> None:
    """A connection that stands goes on; status tells what is open."""
    keepline.config.write_text(f"host_ports = [{BOTH}, {IPV4}]\n")
    async with inside(keepline) as program:
        standing = await program(at.open_connection, "127.0.0.1", BOTH)
        keepline.config.write_text(f"host_ports = [{IPV4}, {CLOSED}]\n")
        closed = await program.session.until(HostPortClosed)
        for host in LOOPBACK:
            assert await program(ports.refusal, host, BOTH) == "ECONNREFUSED"
            assert await program(ports.refusal, host, CLOSED) == "ECONNREFUSED"
        assert await program(ports.exchanged, "127.0.0.1", IPV4) == b"hello"
        await program(at.send, standing, b"hello")
        assert await program(at.receive, standing, 5) == b"hello"
        status = (await keepline.call("status")).stdout.decode()
        done = await program.session.end()
    assert closed.port == BOTH
    assert [f"port {port} of the host" in status for port in (BOTH, IPV4, CLOSED)] == [0, 1, 0]
    assert "it allows more than before, which takes a new session" in done.stderr


async def test_without_held_syns_the_name_alone_leads_there(keepline: Keepline) -> None:
    options = ["--intercept", "redirect", "--host-port", OPEN]
    async with inside(keepline, options=options) as program:
        assert await program(ports.refusal, "127.0.0.1", BOTH) == "ECONNREFUSED"
        assert await program(ports.exchanged, HOST, BOTH) == b"hello"
        done = await program.session.end()
    assert "127.0.0.1 does not lead to ports of the host" in done.stderr
    told = await keepline.call("doctor", env={"KEEPLINE_INTERCEPT": "redirect"})
    assert b"lacks   ports of the host's loopback can be opened (--host-port)\n" in told.stdout


async def test_a_port_that_was_served_is_free_for_a_server_inside(keepline: Keepline) -> None:
    """Whoever ends first; and a server inside is reached from then on, until it ends."""
    async with inside(keepline, options=["--host-port", OPEN]) as program:
        for host in ("127.0.0.1", "::1", HOST):
            by_program = await program(at.open_connection, host, BOTH)
            await program(at.send, by_program, b"hello")
            assert await program(at.receive, by_program, 5) == b"hello"
            await program(at.close, by_program)
            await program(ports.exchanged, host, BOTH)  # here the server ends first
            assert await program(ports.can_listen, BOTH) == ""
        await program(ports.listen, "127.0.0.1", BOTH)
        assert await program(ports.taken, "127.0.0.1", BOTH, 1) == 1
        await program(ports.stop_listening, BOTH)
        assert await program(ports.exchanged, "127.0.0.1", BOTH) == b"hello"


async def test_while_a_connection_is_open_a_server_inside_binds_with_so_reuseaddr(
    internet: Internet, keepline: Keepline
) -> None:
    """Bare none does, for the host's own listens there. Most set it: Node, Go, Java, Python's."""
    async with inside(keepline, options=["--host-port", OPEN]) as program:
        number = await program(at.open_connection, "127.0.0.1", BOTH)
        for host in ("127.0.0.1", "0.0.0.0"):
            assert await program(ports.listen, host, BOTH) == "EADDRINUSE"
            assert await program(ports.listen, host, BOTH, 1) == ""
            await program(ports.stop_listening, BOTH)
        await program(at.send, number, b"hello")
        assert await program(at.receive, number, 5) == b"hello", "the connection stands"
    async with bare(internet.client) as program:
        for reuse in (0, 1):
            assert await program(ports.listen, "127.0.0.1", BOTH, reuse) == "EADDRINUSE"


async def test_a_server_inside_wins_always(keepline: Keepline) -> None:
    async with inside(keepline, options=["--host-port", OPEN]) as program:
        for listening, dialled in (
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("::1", "::1"),
            ("::", "127.0.0.1"),
            ("::", "::1"),
        ):
            assert await program(ports.listen, listening, BOTH) == ""
            assert await program(ports.taken, dialled, BOTH, 400) == 400
            await program(ports.stop_listening, BOTH)
        done = await program.session.end()
    assert not [event for event in done.events if getattr(event, "connection", 0)]


@asynccontextmanager
async def busy(internet: Internet, port: int) -> AsyncIterator[trio.SocketListener]:
    """Yield a listener of the host's loopback with no room for another connection."""
    listener = listen(internet.client, "127.0.0.1", port, backlog=0)
    async with trio.open_nursery() as nursery:
        with internet.client:
            filling = trio.socket.socket()
        await filling.connect(("127.0.0.1", port))
        yield listener
        nursery.cancel_scope.cancel()
    filling.close()
    await listener.aclose()


async def test_a_server_that_begins_to_listen_while_a_connection_is_held_has_it(
    internet: Internet, keepline: Keepline
) -> None:
    port = NOBODY
    async with (
        inside(keepline, options=["--host-port", OPEN]) as program,
        busy(internet, port) as listener,
    ):
        number = await program(at.begin_connecting, "127.0.0.1", port)
        assert await program(at.connected, number, 0.2) == "pending"
        assert await program(ports.listen, "127.0.0.1", port) == ""
        await (await listener.accept()).aclose()  # now there is room
        assert await program(ports.has_connection, port)
        assert await program(at.connected, number, 20) == "connected"
        with trio.fail_after(patience(10)):
            of_relay = await listener.accept()
            assert await of_relay.receive_some() == b"", "the relay's own connection ends"
        await of_relay.aclose()


async def test_a_scan_reaches_what_is_open_and_no_more(keepline: Keepline) -> None:
    async with inside(keepline, options=["--host-port", OPEN]) as program:
        assert await program(ports.reached, "127.0.0.1") == [53, BOTH, IPV4, IPV6]
        some = range(BOTH - 500, CLOSED + 500)
        for host in LOOPBACK:
            assert await program(ports.reached, host, some) == [BOTH, IPV4, IPV6], host
        # Who listens at 127.0.0.1 alone is at no other address of the host's either.
        assert await program(ports.reached, "127.255.255.254", some) == [BOTH, IPV6]
        assert await program(ports.reached, CLIENT, some) == []
        done = await program.session.end()
    assert len(done.events) < 500
