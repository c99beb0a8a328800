"""Bytes arrive as they were sent, ends and resets as what they were, and nothing is left behind."""

import hashlib
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import dns.message
import dns.rcode
import pytest
import trio

from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    Event,
    LogFull,
    NameRefused,
    SessionEnded,
    TurnedAway,
)
from tests.support.command import program as at
from tests.support.command.driver import Program, eventually, inside
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.broken import answer_then_reset
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo, pattern, sink, source
from tests.support.internet.sockets import tcp_sockets
from tests.support.internet.wire import Capture
from tests.support.internet.world import NAMES, SECOND, SERVER, Internet
from tests.support.machine.procfs import descriptors, resident_memory
from tests.support.pace import within

ECHO = 7
SINK = 9
SOURCE = 19
PORT = 80
MIB = 1 << 20
GIB = 1 << 30
MEMORY_GROWTH = 2 * MIB
LOOKS = 25
"""That find the same memory, one after the other, once a relay has loaded everything."""
BODY = b"".join(pattern(300_000))


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return keepline, and servers of plain bytes."""
    for handler, port in ((echo, ECHO), (sink, SINK), (source, SOURCE)):
        await nursery.start(serve, handler, listen(internet.server, SERVER, port))
    return Keepline(internet)


@dataclass
class Reader:
    """A server that reads as far as it is told, to the end if it is told nothing more."""

    allowed: trio.MemorySendChannel[int] = field(init=False)
    received: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0
    end: str = ""
    ended: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.allowed, self._permissions = trio.open_memory_channel[int](100)

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Read, and keep what the end was."""
        try:
            async for size in self._permissions:
                await self._read(stream, size)
            while await self._read(stream, MIB):
                pass
            self.end = "fin"
        except trio.BrokenResourceError as error:
            self.end = type(error.__cause__).__name__
        finally:
            self.ended.set()

    async def _read(self, stream: trio.SocketStream, size: int) -> bool:
        while size:
            data = await stream.receive_some(min(size, MIB))
            if not data:
                return False
            self.received.update(data)
            self.size += len(data)
            size -= len(data)
        return True


async def echoed(program: Program, text: bytes = b"hello") -> None:
    number = await program(at.open_connection, "server.test", ECHO)
    await program(at.send, number, text)
    assert await program(at.receive, number, len(text)) == text
    await program(at.close, number)


def timers(internet: Internet, address: str, port: int) -> set[str]:
    """Return the timers of the relay's connections to a server."""
    wanted = (address, port)
    return {one.timer for one in tcp_sockets(internet.client) if one.remote == wanted}


# Bulk


@pytest.mark.parametrize(("transfer", "port"), [(at.download, SOURCE), (at.upload, SINK)])
async def test_a_gibibyte_arrives_with_the_same_digest(
    keepline: Keepline, transfer: Callable[[str, int, int], tuple[str, str]], port: int
) -> None:
    async with inside(keepline) as program:
        here, there = await program(transfer, "server.test", port, GIB)
        assert here == there
        done = await program.session.end()
        closed = done.only(ConnectionClosed)
        assert max(closed.sent, closed.received) >= GIB


async def test_a_slow_program_costs_the_relay_no_memory(
    internet: Internet, keepline: Keepline
) -> None:
    def server_is_blocked() -> bool:
        """Return whether the server probes a closed window: all buffers on the way are full."""
        return "probe" in {
            one.timer for one in tcp_sockets(internet.server) if one.local == (SERVER, SOURCE)
        }

    async with inside(keepline) as program:
        await echoed(program)
        before = resident_memory(program.session.pid)
        number = await program(at.open_connection, "server.test", SOURCE)
        await program(at.send, number, b"%d\n" % GIB)
        most = 0
        for _ in range(8):
            await eventually(server_is_blocked)
            most = max(most, resident_memory(program.session.pid) - before)
            await program(at.consume, number, GIB // 8)
        digest, end = await program(at.receive_to_end, number)
        assert (len(digest), end) == (64, "fin")
        assert most <= MEMORY_GROWTH


async def test_a_slow_server_costs_the_relay_no_memory(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    reader = Reader()
    await nursery.start(serve, reader, listen(internet.server, SERVER, PORT))
    async with inside(keepline) as program:
        await echoed(program)
        before = resident_memory(program.session.pid)
        nursery.start_soon(program, at.upload, "server.test", PORT, GIB)
        most = 0
        for _ in range(8):
            await eventually(lambda: "probe" in timers(internet, SERVER, PORT))
            most = max(most, resident_memory(program.session.pid) - before)
            reader.allowed.send_nowait(GIB // 8)
        reader.allowed.close()
        await reader.ended.wait()
        assert (reader.size, reader.end) == (GIB, "fin")
        assert most <= MEMORY_GROWTH


async def settled_memory(pid: int) -> int:
    """Return the memory of a relay once it does not grow any more."""
    seen = [0]

    def is_settled() -> bool:
        seen.append(resident_memory(pid))
        return len(seen) > LOOKS and len(set(seen[-LOOKS:])) == 1

    await eventually(is_settled)
    return seen[-1]


async def test_ten_thousand_connections_are_exact_and_leave_nothing(keepline: Keepline) -> None:
    count = 10_000
    async with inside(keepline) as program:
        await echoed(program)
        pid = program.session.pid
        await program.session.until(ConnectionClosed)
        before = descriptors(pid)
        memory = await settled_memory(pid)
        assert await program(at.exchange_small, "server.test", ECHO, count, 8) == count
        await eventually(lambda: len(descriptors(pid)) <= len(before))
        assert set(descriptors(pid).values()) == set(before.values())
        assert resident_memory(pid) - memory <= MEMORY_GROWTH
        done = await program.session.end()
    opened = {event.connection for event in done.all(ConnectionOpened)}
    closed = [event for event in done.all(ConnectionClosed) if event.how == "fin"]
    assert not done.all(LogFull)
    assert opened == {event.connection for event in closed} == set(range(1, count + 2))
    assert all(event.sent == event.received for event in closed)
    assert done.only(SessionEnded).connections == count + 1


async def test_a_program_may_have_more_connections_than_descriptors_by_default(
    keepline: Keepline,
) -> None:
    def few_by_default() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))

    async with inside(keepline, preexec_fn=few_by_default) as program:
        assert await program(resource.getrlimit, resource.RLIMIT_NOFILE) == (100, 1000)
        await program(resource.setrlimit, resource.RLIMIT_NOFILE, (1000, 1000))
        await program(at.open_connections, "server.test", ECHO, 150)
        await program(at.use_all)


async def test_want_of_descriptors_costs_connections_but_not_the_session(
    keepline: Keepline,
) -> None:
    """Whether the one too many is accepted first depends on when its destination was reached."""

    def few_at_all() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    async with inside(keepline, preexec_fn=few_at_all) as program:
        await echoed(program)
        with suppress(OSError):
            await program(at.open_connections, "server.test", ECHO, 80)
        await eventually(lambda: any(map(is_for_want, program.session.events())))
        await program(at.close_all)
        await echoed(program)
        done = await program.session.end()
    assert done.status == 0
    assert "visible. What changes it: ulimit -Hn." in done.stderr, "what was accepted is lost"
    told = [event for event in done.events if is_for_want(event)]
    assert {event.cause for event in told} == {"Too many open files"}


def is_for_want(event: Event) -> TypeGuard[DialFailed | TurnedAway]:
    """Return whether a connection did without."""
    return isinstance(event, DialFailed | TurnedAway)


# Ends


async def test_the_program_ends_first_and_still_gets_the_answer(keepline: Keepline) -> None:
    async with inside(keepline) as program:
        number = await program(at.open_connection, "server.test", SINK)
        await program(at.send, number, BODY)
        await program(at.end_sending, number)
        digest, end = await program(at.receive_to_end, number)
        assert (digest.decode(), end) == (hashlib.sha256(BODY).hexdigest(), "fin")
        done = await program.session.end()
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how, closed.sent, closed.received) == (
        "program",
        "fin",
        len(BODY),
        64,
    )


async def test_the_server_ends_first_and_still_hears_the_program(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    reader = Reader()

    async def end_then_read(stream: trio.SocketStream) -> None:
        await stream.send_all(b"done")
        await stream.send_eof()
        await reader(stream)

    reader.allowed.close()
    await nursery.start(serve, end_then_read, listen(internet.server, SERVER, PORT))
    async with inside(keepline) as program:
        number = await program(at.open_connection, "server.test", PORT)
        assert await program(at.receive_to_end, number) == (b"done", "fin")
        await program(at.send, number, BODY)
        await program(at.end_sending, number)
        await reader.ended.wait()
        assert (reader.received.digest(), reader.end) == (hashlib.sha256(BODY).digest(), "fin")
        done = await program.session.end()
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how, closed.sent, closed.received) == (
        "upstream",
        "fin",
        len(BODY),
        4,
    )


async def test_a_reset_by_the_server_arrives_after_all_it_had_sent(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    handler = answer_then_reset(BODY)
    await nursery.start(serve, handler, listen(internet.server, SERVER, PORT))
    async with inside(keepline) as program:
        number = await program(at.open_connection, "server.test", PORT)
        await program(at.send, number, b"?")
        # The program has read nothing yet when the connection upstream is gone.
        await eventually(lambda: not timers(internet, SERVER, PORT))
        received, end = await program(at.receive_to_end, number)
        assert (received == BODY, end) == (True, "ConnectionResetError")
        done = await program.session.end()
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how, closed.received) == ("upstream", "reset", len(BODY))


async def test_a_reset_by_the_program_arrives_after_all_it_had_sent(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    reader = Reader()
    await nursery.start(serve, reader, listen(internet.server, SERVER, PORT))
    async with inside(keepline) as program:
        number = await program(at.open_connection, "server.test", PORT)
        await program(at.send_and_await_acknowledgement, number, BODY)
        await program(at.reset, number)
        reader.allowed.close()  # it has read nothing before
        await reader.ended.wait()
        assert (reader.size, reader.end) == (len(BODY), "ConnectionResetError")
        assert reader.received.digest() == hashlib.sha256(BODY).digest()
        done = await program.session.end()
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how, closed.sent) == ("program", "reset", len(BODY))


async def test_a_reset_after_the_servers_end_is_recorded_as_one(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    async def say_and_leave(stream: trio.SocketStream) -> None:
        await stream.send_all(b"bye")

    await nursery.start(serve, say_and_leave, listen(internet.server, SERVER, PORT))
    async with inside(keepline) as program:
        number = await program(at.open_connection, "server.test", PORT)
        assert await program(at.receive_to_end, number) == (b"bye", "fin")
        await program(at.send, number, b"to nobody")
        await eventually(lambda: not timers(internet, SERVER, PORT))
        await program(at.end_sending, number)
        done = await program.session.end()
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how) == ("upstream", "reset")


# What may not or cannot be reached


async def test_a_refused_port_is_refused_at_once(keepline: Keepline) -> None:
    async with inside(keepline) as program:
        assert await program(at.refused, "server.test", PORT) == "ECONNREFUSED"
        assert within(program.seconds, 1)
        assert await program(at.refused, SERVER, PORT) == "ECONNREFUSED"
        assert within(program.seconds, 1)
        done = await program.session.end()
    failed = done.all(DialFailed)
    assert [event.cause for event in failed] == ["Connection refused"] * 2
    assert {event.told for event in failed} == {"a refusal"}


async def test_where_the_kernel_accepts_first_a_refused_port_is_a_reset(keepline: Keepline) -> None:
    async with inside(keepline, ["--intercept=redirect"]) as program:
        assert await program(at.refused, "server.test", PORT) == "ECONNRESET"
        assert within(program.seconds, 1)
        done = await program.session.end()
    assert done.only(DialFailed).told == "a reset"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--deny", SECOND], SECOND),
        (["--deny", "203.0.113.11/32"], "203.0.113.11/32"),
        (["--deny", f"{SECOND}:{ECHO},*:1"], f"{SECOND}:{ECHO}"),
        (["--allow", f"server.test,{SERVER}"], "no allow rule matches"),
    ],
)
async def test_a_denied_address_is_unreachable_and_no_packet_leaves(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, options: list[str], rule: str
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SECOND, ECHO))
    with Capture(internet.access) as capture:
        async with inside(keepline, options) as program:
            assert await program(at.refused, SECOND, ECHO) == "EHOSTUNREACH"
            await echoed(program)
            done = await program.session.end()
        assert done.only(ConnectionDenied).rule == rule
        assert not capture.packets(lambda packet: "IP" in packet and SECOND in flow(packet))


async def test_a_denied_name_is_refused_and_no_query_leaves(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("secret.evil.test", "A", SERVER)
    internet.zone.add("secret.evil.test", "TXT", "open")
    with Capture(internet.access) as capture:
        async with inside(keepline, ["--deny", "*.evil.test"]) as program:
            for kind in ("A", "AAAA", "TXT", "HTTPS"):
                query = dns.message.make_query("secret.evil.test", kind).to_wire()
                answer = dns.message.from_wire(await program(at.ask, NAMES, query))
                assert answer.rcode() == dns.rcode.REFUSED
            with pytest.raises(socket.gaierror):
                await program(at.look_up, "secret.evil.test")
            await echoed(program)
            done = await program.session.end()
        assert {event.rule for event in done.all(NameRefused)} == {"*.evil.test"}
        assert not capture.packets(lambda packet: b"evil" in bytes(packet))
    assert {query.name for query in internet.zone.queries} == {"server.test"}


def flow(packet: Any) -> tuple[str, str]:
    return packet["IP"].src, packet["IP"].dst
