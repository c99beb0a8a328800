"""What leaves the host, seen on the wire: TCP over IPv4, keepalive and the relay's own DNS only."""

import errno
import itertools
import socket
from typing import Any

import dns.message
import pytest
import trio

from relay.config import Settings
from relay.outbound.keepalive import TCP_RTO_MAX_MS
from tests.support.command import program as at
from tests.support.command.driver import Program, bare, eventually, inside
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.sockets import tcp_sockets
from tests.support.internet.wire import Capture
from tests.support.internet.world import CLIENT, NAMES, SERVER, SERVER_V6, Internet
from tests.support.machine.procfs import tcp_sockets_of
from tests.support.pace import within

ECHO = 7
OTHER_RESOLVER = "192.0.2.8"
AT_ONCE = 0.2
MLD = {130, 131, 132, 143}
"""ICMPv6 types by which an interface's own kernel tells which multicast groups it listens to."""


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return keepline, and an echo to talk to over either version of IP."""
    listeners = [listen(internet.server, address, ECHO) for address in (SERVER, SERVER_V6)]
    await nursery.start(serve, echo, *listeners)
    return Keepline(internet)


async def raises(program: Program, function: Any, *arguments: object) -> int | None:
    """Return the errno with which a call failed, at once."""
    with pytest.raises(OSError) as raised:
        await program(function, *arguments)
    assert within(program.seconds, AT_ONCE)
    return raised.value.errno


async def say(program: Program, host: str) -> None:
    """Use an echo."""
    number = await program(at.open_connection, host, ECHO)
    await program(at.send, number, b"hello")
    assert await program(at.receive, number, 5) == b"hello"
    await program(at.close, number)


def is_ipv6(packet: Any) -> bool:
    """Return whether a packet is IPv6 that some program has caused."""
    from scapy.layers.inet6 import ICMPv6MLReport2, IPv6, _ICMPv6

    if IPv6 not in packet:
        return False
    told = packet.getlayer(ICMPv6MLReport2) or packet.getlayer(_ICMPv6)
    return told is None or told.type not in MLD


def sent(capture: Capture) -> set[tuple[str, str, int]]:
    """Return protocol, destination and port of all that the client's host has sent over IPv4."""
    flows = set()
    for packet in capture.packets(lambda packet: "IP" in packet and packet["IP"].src == CLIENT):
        protocol = "TCP" if "TCP" in packet else "UDP" if "UDP" in packet else packet["IP"].proto
        port = packet[protocol].dport if isinstance(protocol, str) else 0
        flows.add((protocol, packet["IP"].dst, port))
    return flows


async def test_only_ipv4_tcp_and_the_relays_own_dns_leave(
    internet: Internet, keepline: Keepline
) -> None:
    query = dns.message.make_query("server.test", "A").to_wire()
    with Capture(internet.access) as capture:
        async with inside(keepline) as program:
            (address,) = await program(at.look_up, "server.test")
            assert address.startswith(("198.18.", "198.19."))
            await say(program, "server.test")
            await say(program, SERVER)
            await say(program, f"::ffff:{SERVER}")  # IPv4 by a socket of IPv6's family, RFC 4038
            assert await raises(program, at.open_connection, SERVER_V6, ECHO) == errno.ENETUNREACH
            for to in (address, SERVER):
                for port in (443, 4433):
                    assert await raises(program, at.send_datagram, to, port) == errno.ECONNREFUSED
            assert await raises(program, at.send_datagram, SERVER_V6, 443) == errno.ENETUNREACH
            for over in ("udp", "tcp"):
                answer = dns.message.from_wire(await program(at.ask, OTHER_RESOLVER, query, over))
                assert answer.answer[0].to_text().endswith(f" {address}")
                assert within(program.seconds, AT_ONCE)
            await program.session.end()
        assert [packet.summary() for packet in capture.packets(is_ipv6)] == []
        assert sent(capture) == {("TCP", SERVER, ECHO), ("UDP", NAMES, 53)}


async def test_the_same_program_bare_is_seen_to_use_all_of_it(
    internet: Internet, keepline: Keepline
) -> None:
    query = dns.message.make_query("server.test", "A").to_wire()
    with Capture(internet.access) as capture:
        async with bare(internet.client) as program:
            await say(program, "server.test")
            await raises(program, at.send_datagram, SERVER, 443)
            await raises(program, at.ask, OTHER_RESOLVER, query, "tcp")
        assert capture.packets(lambda packet: is_ipv6(packet) and "TCP" in packet)
        assert sent(capture) >= {("UDP", SERVER, 443), ("TCP", OTHER_RESOLVER, 53)}


async def test_an_idle_connection_is_probed_at_the_configured_interval(
    internet: Internet, keepline: Keepline
) -> None:
    with Capture(internet.access) as capture:
        async with inside(keepline, ["--keepidle", "1", "--keepintvl", "1"]) as program:
            number = await program(at.open_connection, SERVER, ECHO)
            await program(at.send, number, b"hello")
            await program(at.receive, number, 5)

            def probes() -> list[Any]:
                """Segments without news that begin one byte before the next, RFC 9293 3.8.4."""
                ours = capture.packets(
                    lambda packet: "TCP" in packet and packet["IP"].src == CLIENT
                )
                following = ours[0]["TCP"].seq + 1 + len(b"hello")
                return [
                    packet
                    for packet in ours
                    if packet["TCP"].seq == following - 1 and len(packet["TCP"].payload) <= 1
                ]

            await eventually(lambda: len(probes()) >= 4)
            times = [packet.time for packet in probes()]
        spacings = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert min(spacings) > 0.8
        assert within(max(spacings), 1.3)


CHOSEN = Settings(keepidle=7, keepintvl=2, keepcnt=4, user_timeout=9, rto_max=1500)
AS_FLAGS = ("--keepidle=7", "--keepintvl=2", "--keepcnt=4", "--user-timeout=9", "--rto-max=1500")


@pytest.mark.parametrize(("options", "settings"), [((), Settings()), (AS_FLAGS, CHOSEN)])
async def test_every_upstream_socket_has_the_timers(
    internet: Internet, keepline: Keepline, options: tuple[str, ...], settings: Settings
) -> None:
    tcp = socket.IPPROTO_TCP
    wanted = {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        (tcp, socket.TCP_KEEPIDLE): settings.keepidle,
        (tcp, socket.TCP_KEEPINTVL): settings.keepintvl,
        (tcp, socket.TCP_KEEPCNT): settings.keepcnt,
        (tcp, socket.TCP_USER_TIMEOUT): settings.user_timeout * 1000,
        (tcp, socket.TCP_NODELAY): 1,
        (tcp, TCP_RTO_MAX_MS): settings.rto_max,
    }
    async with inside(keepline, options) as program:
        await program(at.open_connections, "server.test", ECHO, 20)
        await program(at.use_all)
        kept = [one for one in tcp_sockets(internet.client) if one.remote == (SERVER, ECHO)]
        assert [(one.state, one.timer) for one in kept] == [("ESTABLISHED", "keepalive")] * 20
        assert all(settings.keepidle - 2 < one.expires <= settings.keepidle for one in kept)
        with tcp_sockets_of(program.session.pid) as found:
            upstream = [sock for sock in found if peer(sock) == (SERVER, ECHO)]
            assert len(upstream) == 20
            for sock in upstream:
                assert {option: sock.getsockopt(*option) for option in wanted} == wanted


def peer(sock: socket.socket) -> Any:
    """Return the other end's address and port; of a listener None."""
    try:
        return sock.getpeername()
    except OSError:
        return None


async def test_ss_shows_the_timer_of_every_upstream_socket(
    internet: Internet, keepline: Keepline
) -> None:
    needs("ss")
    async with inside(keepline) as program:
        await program(at.open_connections, "server.test", ECHO, 20)
        await program(at.use_all)
        done = await internet.client.run_process(["ss", "-Htno", "dst", SERVER])
        lines = done.stdout.decode().splitlines()
        assert len(lines) == 20
        assert all("timer:(keepalive," in line for line in lines), lines
