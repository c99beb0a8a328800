"""The small internet keeps its promises, each shown by packets that were really sent."""

import errno
import hashlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from netns.errors import SandboxError
from tests.support.command.keepline import Keepline
from tests.support.internet import faults
from tests.support.internet.enter import enter
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.broken import (
    FullBacklog,
    answer_then_close,
    answer_then_reset,
    close_after,
    in_turn,
    never_answer,
    reset_after,
)
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import connect, listen, over_tls, serve
from tests.support.internet.servers.plain import echo, pattern, sink, source
from tests.support.internet.servers.zone import Query, Trouble
from tests.support.internet.sockets import tcp_sockets
from tests.support.internet.wire import Capture, forged_reset, inject
from tests.support.internet.world import (
    CLIENT,
    CLIENT_V6,
    NAMES,
    SECOND,
    SERVER,
    SERVER_V6,
    THIRD,
    Internet,
)
from tests.support.pace import patience, within

ECHO = 7
# How long nothing must come before it is taken for silence; real answers take microseconds.
SILENCE = 0.3
ENOUGH = 10


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something the kernel tells by no event."""
    with trio.fail_after(patience(ENOUGH)):
        while not condition():  # noqa: ASYNC110, there is no event to wait for
            await trio.sleep(0.02)


async def serve_echo(internet: Internet, nursery: trio.Nursery) -> None:
    listeners = [listen(internet.server, address, ECHO) for address in (SERVER, SERVER_V6)]
    await nursery.start(serve, echo, *listeners)


async def is_answered(stream: trio.SocketStream) -> bool:
    """Return whether an echo comes; silence is False, an error or end of the connection raises."""
    await stream.send_all(b"?")
    with trio.move_on_after(patience(SILENCE)):
        answer = await stream.receive_some()
        assert answer, "the connection has ended"
        return True
    return False


async def receive_all(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


async def talk(internet: Internet, port: int, request: bytes) -> bytes:
    async with await connect(internet.client, SERVER, port) as stream:
        await stream.send_all(request)
        await stream.send_eof()
        return await receive_all(stream)


async def ask(internet: Internet, name: str, kind: str) -> dns.message.Message:
    """Ask the name server over UDP."""
    with internet.client:
        datagrams = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    with datagrams:
        await datagrams.connect((NAMES, 53))
        await datagrams.send(dns.message.make_query(name, kind).to_wire())
        return dns.message.from_wire(await datagrams.recv(65535))


async def look_up(internet: Internet, name: str) -> set[str]:
    """Resolve as every program in the client does, through libc."""

    def inside() -> set[str]:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, 80)}

    return await trio.to_thread.run_sync(internet.client.call, inside)


# Namespaces and programs


def test_entering_twice_is_an_error() -> None:
    with pytest.raises(SandboxError, match="already"):
        enter(as_root=False)


def test_nothing_reaches_the_real_network() -> None:
    with socket.socket() as outside, pytest.raises(OSError, match="unreachable"):
        outside.connect((SERVER, 80))


async def test_a_program_is_the_caller_without_capabilities(
    internet: Internet, pytestconfig: pytest.Config
) -> None:
    status = await internet.client.run_process(["cat", "/proc/self/status"])
    fields = dict(line.split(":", 1) for line in status.stdout.decode().splitlines())
    root = pytestconfig.getoption("act_as") == "root"
    assert int(fields["Uid"].split()[0]) == os.getuid()
    assert (os.getuid() == 0) == root
    assert (int(fields["CapEff"], 16) != 0) == root


async def test_a_program_can_nest_its_own_user_namespace(internet: Internet) -> None:
    code = "from netns import syscalls; syscalls.unshare(syscalls.CLONE_NEWUSER); print('nested')"
    done = await internet.client.run_process([sys.executable, "-c", code])
    assert done.stdout == b"nested\n"


async def test_a_program_keeps_folder_and_environment_and_sees_the_hosts_files(
    internet: Internet,
) -> None:
    argv = ["sh", "-c", "echo $KEPT; pwd; cat /etc/resolv.conf"]
    done = await internet.client.run_process(argv, env=os.environ | {"KEPT": "kept"})
    assert done.stdout.decode() == f"kept\n{await trio.Path.cwd()}\nnameserver {NAMES}\n"


async def test_resolv_conf_is_rewritten_under_a_running_program(internet: Internet) -> None:
    process = internet.client.popen(
        ["sh", "-c", "read line; cat /etc/resolv.conf"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    internet.client.use_resolvers("192.0.2.1", options="timeout:1")
    stdout, _ = await trio.to_thread.run_sync(process.communicate, b"go\n")
    assert stdout == b"nameserver 192.0.2.1\noptions timeout:1\n"
    assert "192.0.2.1" not in await trio.Path("/etc/resolv.conf").read_text()


async def test_a_cancelled_program_is_killed(internet: Internet) -> None:
    pid = internet.directory / "pid"
    async with trio.open_nursery() as nursery:
        argv = ["sh", "-c", 'echo $$ > "$1"; exec sleep 600', "sh", str(pid)]
        nursery.start_soon(internet.client.run_process, argv)
        await eventually(lambda: pid.exists() and pid.read_text().endswith("\n"))
        nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_a_program_is_fed_and_heard(internet: Internet) -> None:
    body = b"".join(pattern(1_000_000))
    done = await internet.client.run_process(["sh", "-c", "cat; echo no >&2; exit 3"], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"no\n")
    assert (await internet.client.run_process(["cat"], stdin=body)).stdout == body
    assert (await internet.client.run_process(["true"], stdin=body)).stdout == b""
    with pytest.raises(subprocess.CalledProcessError):
        await internet.client.run_process(["false"])


async def test_the_end_leaves_nothing_behind() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    files, threads = descriptors(), threading.active_count()
    with Internet() as made:
        sleeper = made.client.popen(["sleep", "600"])
        with Capture(made.access):
            pass
    assert sleeper.returncode is not None
    assert not made.client.directory.exists()
    # What earlier tests have left may end meanwhile: a thread of trio's is idle for 10 s first.
    assert descriptors() <= files
    assert threading.active_count() <= threads


# Links and NAT


async def test_v4_is_masqueraded_and_v6_is_not(internet: Internet, nursery: trio.Nursery) -> None:
    async def tell_peer(stream: trio.SocketStream) -> None:
        await stream.send_all(stream.socket.getpeername()[0].encode())

    for address, seen in ((SERVER, b"203.0.113.1"), (SERVER_V6, CLIENT_V6.encode())):
        await nursery.start(serve, tell_peer, listen(internet.server, address, 80))
        async with await connect(internet.client, address, 80) as stream:
            assert await receive_all(stream) == seen


async def test_the_nat_forgets_at_once_and_silently(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        assert await is_answered(stream)
        assert internet.nat.flows() == 1
        internet.nat.forget()
        assert internet.nat.flows() == 0
        assert not await is_answered(stream)
        assert internet.nat.flows() == 0
    async with await connect(internet.client, SERVER, ECHO) as stream:
        assert await is_answered(stream)


async def test_the_nat_answers_no_rst_to_the_server_either(
    internet: Internet, nursery: trio.Nursery
) -> None:
    accepted = []

    async def keep(stream: trio.SocketStream) -> None:
        accepted.append(stream)
        await trio.sleep_forever()

    await nursery.start(serve, keep, listen(internet.server, SERVER, 80))
    async with await connect(internet.client, SERVER, 80):
        await eventually(lambda: bool(accepted))
        internet.nat.forget()
        assert not await is_answered(accepted[0])


async def test_the_nat_forgets_idle_flows(internet: Internet, nursery: trio.Nursery) -> None:
    internet.nat.forget_after(1)
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        assert await is_answered(stream)
        assert internet.nat.flows() == 1
        await eventually(lambda: internet.nat.flows() == 0)
        assert not await is_answered(stream)


@pytest.mark.parametrize("which", ["access", "backbone"])
async def test_a_flow_survives_an_unplugged_cable(
    internet: Internet, nursery: trio.Nursery, which: str
) -> None:
    await serve_echo(internet, nursery)
    link = getattr(internet, which)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        assert await is_answered(stream)
        link.unplug()
        assert not await is_answered(stream)
        link.plug()
        with trio.fail_after(patience(ENOUGH)):
            assert await stream.receive_some() == b"?"


async def test_an_interface_that_is_down_has_no_routes_until_it_is_up(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_echo(internet, nursery)
    internet.access.left.down()
    for address in (SERVER, SERVER_V6):
        with pytest.raises(OSError, match="unreachable") as raised:
            await connect(internet.client, address, ECHO)
        assert raised.value.errno == errno.ENETUNREACH
    internet.access.left.up()
    for address in (SERVER, SERVER_V6):
        async with await connect(internet.client, address, ECHO) as stream:
            assert await is_answered(stream)


async def test_a_route_is_taken_away_and_added(internet: Internet, nursery: trio.Nursery) -> None:
    await serve_echo(internet, nursery)
    internet.access.left.remove_route("default", "10.1.0.1")
    with pytest.raises(OSError, match="unreachable"):
        await connect(internet.client, SERVER, ECHO)
    internet.access.left.add_route("default", "10.1.0.1")
    await (await connect(internet.client, SERVER, ECHO)).aclose()


async def test_a_network_without_route_is_unreachable(internet: Internet) -> None:
    with pytest.raises(OSError, match="unreachable"):
        await connect(internet.client, "192.0.2.1", 80)


async def test_renumbering_ends_flows_of_the_old_address(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as old:
        assert await is_answered(old)
        internet.renumber_client("10.1.0.3")
        assert old.socket.getsockname()[0] == CLIENT
        assert not await is_answered(old)
        async with await connect(internet.client, SERVER, ECHO) as new:
            assert new.socket.getsockname()[0] == "10.1.0.3"
            assert await is_answered(new)


async def test_mtu_is_the_size_of_the_largest_packet(
    internet: Internet, nursery: trio.Nursery
) -> None:
    internet.access.left.set_mtu(600)
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 560


# Faults


async def test_dropped_packets_are_silent_until_healed(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_echo(internet, nursery)
    hole = Packets(only_syn=True, destination=SERVER_V6, destination_port=ECHO)
    with faults.drop(internet.router, hole) as fault:
        with trio.move_on_after(SILENCE) as waited:
            await connect(internet.client, SERVER_V6, ECHO)
        assert waited.cancelled_caught
        assert fault.hits() == 1
        await (await connect(internet.client, SERVER, ECHO)).aclose()
    await (await connect(internet.client, SERVER_V6, ECHO)).aclose()


@pytest.mark.parametrize(
    "packets",
    [
        Packets(interface="wan"),
        Packets(version=4, interface="wan"),
        Packets(source="203.0.113.0/24"),
        Packets(protocol="tcp", source_port=ECHO),
    ],
)
async def test_one_direction_is_dropped(
    internet: Internet, nursery: trio.Nursery, packets: Packets
) -> None:
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        with faults.drop(internet.router, packets):
            assert not await is_answered(stream)
        with trio.fail_after(patience(ENOUGH)):
            assert await stream.receive_some() == b"?"


async def test_a_port_without_its_protocol_means_nothing() -> None:
    with pytest.raises(ValueError, match="protocol"):
        Packets(source_port=1).expressions()


async def test_a_black_hole_swallows(internet: Internet) -> None:
    with trio.move_on_after(SILENCE) as waited:
        await connect(internet.client, "198.51.100.7", 80)
    assert waited.cancelled_caught


@pytest.mark.parametrize("address", [SERVER, SERVER_V6])
async def test_reset_refuses_new_and_breaks_old_connections(
    internet: Internet, nursery: trio.Nursery, address: str
) -> None:
    await serve_echo(internet, nursery)
    async with await connect(internet.client, address, ECHO) as stream:
        packets = Packets(protocol="tcp", destination=address, destination_port=ECHO)
        with faults.reset(internet.router, packets):
            with pytest.raises(ConnectionRefusedError):
                await connect(internet.client, address, ECHO)
            with pytest.raises(trio.BrokenResourceError):
                await is_answered(stream)


@pytest.mark.parametrize("address", [SERVER, SERVER_V6])
async def test_unreachable_is_told_by_icmp(internet: Internet, address: str) -> None:
    with (
        faults.unreachable(internet.router, Packets(destination=address)) as fault,
        trio.fail_after(patience(ENOUGH)),
    ):
        with pytest.raises(ConnectionRefusedError):
            await connect(internet.client, address, ECHO)
        assert fault.hits() in {1, 2}


async def test_loss_is_random_and_tcp_gets_over_it(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, source, listen(internet.server, SERVER, 80))
    size = 4_000_000
    with faults.lose(internet.router, 0.01) as fault:
        answer = await talk(internet, 80, b"%d\n" % size)
        lost = fault.hits()
    data, digest = answer[:size], answer[size:]
    assert hashlib.sha256(data).hexdigest().encode() == digest
    with internet.client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        count = 5000
        with faults.lose(internet.server, 0.01, Packets(protocol="udp")) as fault:
            for _ in range(count):
                datagrams.sendto(b"x", ("198.51.100.1", 9))
            lost = fault.hits()
    assert 10 < lost < 150, "about 50 of 5000"


# Names


async def test_names_are_answered_by_kind(internet: Internet) -> None:
    internet.zone.add("alias.test", "CNAME", "other.test.")
    internet.zone.add("other.test", "CNAME", "server.test.")
    internet.zone.add("server.test", "HTTPS", f"1 . alpn=h2 ipv4hint={SERVER} ipv6hint={SERVER_V6}")
    answer = await ask(internet, "alias.test", "A")
    assert [record.to_text().split()[-1] for record in answer.answer] == [
        "other.test.",
        "server.test.",
        SERVER,
    ]
    assert (await ask(internet, "server.test", "AAAA")).answer[0][0].to_text() == SERVER_V6
    assert "ipv6hint" in (await ask(internet, "server.test", "HTTPS")).answer[0].to_text()
    nothing = await ask(internet, "v4.test", "AAAA")
    assert (nothing.rcode(), nothing.answer) == (dns.rcode.NOERROR, [])
    assert (await ask(internet, "no.test", "A")).rcode() == dns.rcode.NXDOMAIN
    internet.zone.remove("v4.test")
    assert (await ask(internet, "v4.test", "A")).rcode() == dns.rcode.NXDOMAIN
    assert internet.zone.queries[0] == Query("alias.test", "A", "udp")


async def test_names_are_in_trouble(internet: Internet) -> None:
    internet.zone.trouble = Trouble(rcode=dns.rcode.SERVFAIL)
    assert (await ask(internet, "server.test", "A")).rcode() == dns.rcode.SERVFAIL
    internet.zone.set_trouble("server.test", Trouble())
    assert (await ask(internet, "server.test", "A")).rcode() == dns.rcode.NOERROR
    internet.zone.set_trouble("server.test", Trouble(silent=True))
    with trio.move_on_after(SILENCE) as waited:
        await ask(internet, "server.test", "A")
    assert waited.cancelled_caught
    internet.zone.set_trouble("server.test", Trouble(delay=SILENCE))
    started = trio.current_time()
    assert (await ask(internet, "server.test", "A")).answer
    assert trio.current_time() - started >= SILENCE


async def test_a_large_answer_comes_over_tcp(internet: Internet) -> None:
    internet.zone.add_large("large.test", 4096)
    assert (await ask(internet, "large.test", "TXT")).flags & dns.flags.TC
    async with await connect(internet.client, NAMES, 53) as stream:
        query = dns.message.make_query("large.test", "TXT").to_wire()
        request = len(query).to_bytes(2, "big") + query
        for byte in request:
            await stream.send_all(bytes([byte]))
        await stream.send_eof()
        answer = await receive_all(stream)
    assert int.from_bytes(answer[:2], "big") == len(answer) - 2 > 4096
    assert len(dns.message.from_wire(answer[2:]).answer[0]) == 20


async def test_junk_does_not_stop_the_name_server(internet: Internet) -> None:
    with internet.client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for junk in (b"", b"\0", b"\xff" * 40):
            datagrams.sendto(junk, (NAMES, 53))
    assert (await ask(internet, "server.test", "A")).answer


async def test_programs_resolve_by_the_hosts_files(internet: Internet) -> None:
    assert await look_up(internet, "server.test") == {SERVER, SERVER_V6}
    assert await look_up(internet, "two.test") == {SECOND, THIRD}
    internet.client.hosts_file.write_text("192.0.2.9 pinned.test\n")
    assert await look_up(internet, "pinned.test") == {"192.0.2.9"}


# Servers


async def test_tls_is_trusted_by_the_authority(internet: Internet, nursery: trio.Nursery) -> None:
    context = internet.authority.server_context("server.test")
    site = Site()
    await nursery.start(serve, over_tls(site, context), listen(internet.server, SERVER, 443))
    transport = await connect(internet.client, SERVER, 443)
    client = internet.authority.client_context()
    stream = trio.SSLStream(transport, client, server_hostname="server.test", https_compatible=True)
    async with stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n")
        assert (b"".join([data async for data in stream])).endswith(b"hello")
    stranger = trio.SSLStream(
        await connect(internet.client, SERVER, 443),
        ssl.create_default_context(),
        server_hostname="server.test",
    )
    with pytest.raises(trio.BrokenResourceError) as raised:
        await stranger.do_handshake()
    assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
    await trio.aclose_forcefully(stranger)
    assert [request.path for request in site.requests] == ["/"]


async def test_curl_speaks_https_through_the_nat(internet: Internet, nursery: trio.Nursery) -> None:
    site = Site()
    context = internet.authority.server_context("server.test")
    await nursery.start(serve, over_tls(site, context), listen(internet.server, SERVER, 443))
    url = "https://server.test"
    done = await internet.client.run_process(
        ["curl", "-sS", "-4", f"{url}/bytes/100000", f"{url}/events/3/0", f"{url}/late/0"],
        env=os.environ | internet.authority.environment(),
    )
    assert done.stdout == b"".join(pattern(100_000)) + b"data: 0\n\ndata: 1\n\ndata: 2\n\nlate"
    assert (site.connections, len(site.requests)) == (1, 3)


async def test_git_clones_from_the_site(
    internet: Internet, nursery: trio.Nursery, tmp_path: Path
) -> None:
    work, copy = str(tmp_path / "work"), str(tmp_path / "copy")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@server.test", "-C", work]
    for argv in (
        ["git", "init", "--quiet", work],
        [*git, "commit", "--quiet", "--allow-empty", "--message", "first"],
        [*git, "update-server-info"],
    ):
        await internet.client.run_process(argv)
    context = internet.authority.server_context("server.test")
    site = over_tls(Site(files=tmp_path), context)
    await nursery.start(serve, site, listen(internet.server, SERVER, 443))
    await internet.client.run_process(
        ["git", "clone", "--quiet", "https://server.test/files/work/.git", copy],
        env=os.environ | internet.authority.environment(),
    )
    assert (tmp_path / "copy" / ".git" / "HEAD").exists()


@pytest.mark.parametrize("how", [[], ["-H", "Transfer-Encoding: chunked"]])
async def test_curl_posts_a_large_body(
    internet: Internet, nursery: trio.Nursery, how: list[str]
) -> None:
    await nursery.start(serve, Site(), listen(internet.server, SERVER, 80))
    body = b"".join(pattern(3_000_000))
    done = await internet.client.run_process(
        ["curl", "-sS", *how, "--data-binary", "@-", "http://v4.test/digest"], stdin=body
    )
    assert done.stdout.decode() == hashlib.sha256(body).hexdigest()


async def test_the_site_closes_idle_connections(internet: Internet, nursery: trio.Nursery) -> None:
    await nursery.start(serve, Site(idle_limit=0.2), listen(internet.server, SERVER, 80))
    async with await connect(internet.client, SERVER, 80) as stream:
        await stream.send_all(b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
        with trio.fail_after(patience(ENOUGH)):
            assert (await receive_all(stream)).endswith(b"\r\n\r\nhi")


async def test_sink_and_source_agree_on_the_digest(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, sink, listen(internet.server, SERVER, 9))
    await nursery.start(serve, source, listen(internet.server, SERVER, 19))
    body = b"".join(pattern(1_000_001))
    digest = hashlib.sha256(body).hexdigest().encode()
    assert len(body) == 1_000_001
    assert await talk(internet, 9, body) == digest
    assert await talk(internet, 19, b"1000001\n") == body + digest


async def test_a_body_over_tls_is_cut_by_rst(internet: Internet, nursery: trio.Nursery) -> None:
    handler = over_tls(answer_then_reset(b"part"), internet.authority.server_context(SERVER))
    await nursery.start(serve, handler, listen(internet.server, SERVER, 443))
    transport = await connect(internet.client, SERVER, 443)
    stream = trio.SSLStream(transport, internet.authority.client_context(), server_hostname=SERVER)
    await stream.send_all(b"?")
    assert await stream.receive_some() == b"part"
    with pytest.raises(trio.BrokenResourceError) as raised:
        await stream.receive_some()
    await trio.aclose_forcefully(stream)
    assert isinstance(raised.value.__cause__, ConnectionResetError)


async def test_broken_servers_are_broken_as_told(internet: Internet, nursery: trio.Nursery) -> None:
    body = b"".join(pattern(300_000))
    handlers: list[Any] = [
        reset_after(0),
        close_after(2),
        answer_then_reset(body),
        answer_then_close(body),
        never_answer,
    ]
    await nursery.start(serve, in_turn(*handlers), listen(internet.server, SERVER, 80))
    with pytest.raises((trio.BrokenResourceError, ConnectionResetError)):
        await talk(internet, 80, b"hi")
    assert await talk(internet, 80, b"hi") == b""
    assert await _receive_until_reset(internet) == body
    assert await talk(internet, 80, b"hi") == body
    async with await connect(internet.client, SERVER, 80) as stream:
        assert not await is_answered(stream)


async def _receive_until_reset(internet: Internet) -> bytes:
    received = bytearray()
    async with await connect(internet.client, SERVER, 80) as stream:
        await stream.send_all(b"?")
        while True:
            try:
                data = await stream.receive_some()
            except trio.BrokenResourceError:
                return bytes(received)
            assert data, "a clean end for a cut body"
            received += data


async def test_a_full_backlog_is_silent(internet: Internet) -> None:
    full = FullBacklog(internet.server, SERVER, 80)
    with trio.move_on_after(SILENCE) as waited:
        await connect(internet.client, SERVER, 80)
    assert waited.cancelled_caught
    full.close()


# The eye and the hand on the wire


async def test_a_capture_sees_both_directions(internet: Internet, nursery: trio.Nursery) -> None:
    await serve_echo(internet, nursery)
    with Capture(internet.access) as capture:
        async with await connect(internet.client, SERVER, ECHO) as stream:
            await stream.send_all(b"seen")
            assert await stream.receive_some() == b"seen"
        seen = capture.packets(lambda packet: b"seen" in bytes(packet))
        assert [packet["IP"].src for packet in seen] == [CLIENT, SERVER]
        assert seen[0].time <= seen[1].time
        assert not capture.packets(lambda packet: "IPv6" in packet and "TCP" in packet)


async def test_keepalive_probes_are_seen_and_the_kernel_shows_their_timer(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        with Capture(internet.access) as capture:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            (kept,) = [one for one in tcp_sockets(internet.client) if one.state == "ESTABLISHED"]
            assert (kept.remote, kept.timer) == ((SERVER, ECHO), "keepalive")
            assert 0 <= kept.expires <= 1

            def probes() -> list[Any]:
                return capture.packets(
                    lambda packet: "TCP" in packet and packet["IP"].src == CLIENT
                )

            await eventually(lambda: len(probes()) >= 2)
            first, second, *_later = (packet.time for packet in probes())
            assert second - first > 0.9
            assert within(second - first, 1.5)


async def test_a_forged_reset_ends_a_connection(internet: Internet, nursery: trio.Nursery) -> None:
    await serve_echo(internet, nursery)
    async with await connect(internet.client, SERVER, ECHO) as stream:
        with Capture(internet.access) as capture:
            assert await is_answered(stream)
            last = capture.packets(lambda packet: "TCP" in packet and packet["IP"].src == CLIENT)[
                -1
            ]
            inject(internet.access.right, forged_reset(last))
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()


async def test_a_capture_lives_through_an_unplugged_cable(internet: Internet) -> None:
    with Capture(internet.access) as capture:
        internet.access.unplug()
        assert capture.packets(lambda packet: "TCP" in packet) == []
        internet.access.left.down()
        capture.packets()
        internet.access.plug()
        assert await look_up(internet, "v4.test") == {SERVER}
        assert capture.packets(lambda packet: "DNS" in packet)


@pytest.mark.parametrize("what", ["SYN", "datagram", "question", "nothing"])
async def test_what_leaves_though_it_is_denied_is_seen(internet: Internet, what: str) -> None:
    """As it would be if it left by keepline: here another program of the host sends it."""
    witness = internet.witness
    assert witness is not None
    programs = {
        "SYN": f"import socket; socket.socket().connect_ex(('{SECOND}', 9))",
        "datagram": f"import socket; socket.socket(2, 2).sendto(b'', ('{SECOND}', 9))",
        "question": "import socket; socket.gethostbyname_ex('server.test')",
        "nothing": f"import socket; socket.socket().connect_ex(('{SERVER}', 9))",
    }
    options = ["--deny", SECOND, "--deny=server.test"]
    async with Keepline(internet).start("cat", options=options) as session:
        await internet.client.run_process([sys.executable, "-c", programs[what]])
        await session.end()
    question = "server.test port None, denied by server.test"
    told = {"question": [question], "nothing": []}
    assert witness.seen[:1] == told.get(what, [f"{SECOND} port 9, denied by {SECOND}"])
    witness.forget()
