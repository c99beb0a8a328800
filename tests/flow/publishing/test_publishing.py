"""Ports that are published and withdrawn, with servers that a test names in the kernel's place."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
import trio

from relay.barrier import kept_running
from relay.config.publishing import Publication
from relay.policy.host_ports import HostPorts, PortRange
from relay.publishing.look import Look
from relay.publishing.on_host import open_asked
from relay.publishing.publishing import CHEAP, MOST, MOST_TOLD, PAUSE, Publishing
from relay.publishing.servers import Server
from relay.record.events import (
    Event,
    Published,
    PublishEnded,
    PublishingBounded,
    PublishingFailed,
)
from relay.record.kinds import Kind

INSIDE = "127.0.0.2"
"""Where servers are that the host's 127.0.0.1 is to reach."""


@dataclass
class Kernel:
    """Says what listens, and makes sockets, of this namespace."""

    servers: dict[int, Server] = field(default_factory=dict)
    looks: int = 0
    error: OSError | None = None
    fault: Exception | None = None
    count: int = 0

    @property
    def sockets(self) -> "Kernel":
        return self

    async def again(self) -> dict[int, Server]:
        self.looks += 1
        if error := self.fault or self.error:
            raise error
        return dict(self.servers)

    async def address(self, port: int, *, ipv6: bool) -> str:
        if self.error is not None:
            raise self.error
        return self.servers.get(port, Server()).at(ipv6=ipv6)

    async def connecting(self, *, ipv6: bool) -> socket.socket:
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def close(self) -> None:
        pass


@dataclass
class Under:
    """What is tested, and what it has recorded."""

    nursery: trio.Nursery
    kernel: Kernel = field(default_factory=Kernel)
    events: list[Event] = field(default_factory=list)
    ports: HostPorts = field(default_factory=lambda: HostPorts([PortRange(1, 65535, "all")]))

    def publishing(self, **options: Any) -> Publishing:
        made = Publishing(cast("Look", self.kernel), self.events.append, self.ports, **options)
        self.nursery.start_soon(made.serve, self.nursery)
        return made

    def has_looked(self, times: int) -> bool:
        return self.kernel.looks >= times

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def under(nursery: trio.Nursery) -> Under:
    return Under(nursery)


async def until(wanted: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while not wanted():  # noqa: ASYNC110 - of a state, by a test
            await trio.sleep(0.01)


async def server(nursery: trio.Nursery, handler: Any, address: str = INSIDE) -> int:
    (listener,) = await trio.open_tcp_listeners(0, host=address)
    nursery.start_soon(trio.serve_listeners, handler, [listener])
    return int(listener.socket.getsockname()[1])


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)
    await stream.send_all(b"end")


async def hello(port: int, address: str = "127.0.0.1") -> bytes:
    async with await trio.open_tcp_stream(address, port) as stream:
        await stream.send_all(b"hello")
        await stream.send_eof()
        return b"".join([data async for data in stream])


async def test_a_server_is_reached_while_it_listens(under: Under) -> None:
    port = await server(under.nursery, echo)
    under.kernel.servers[port] = Server(INSIDE)
    under.publishing()
    await until(lambda: under.of(Published))
    (published,) = under.of(Published)
    assert under.ports.why(published.host_port) is None
    for address in published.addresses:
        assert await hello(published.host_port, address) == b"helloend"
    del under.kernel.servers[port]
    await until(lambda: under.of(PublishEnded))
    (ended,) = under.of(PublishEnded)
    assert (ended.port, ended.connections, ended.refused) == (port, 2, 0)
    assert under.ports.why(published.host_port) == "all"
    with pytest.raises(OSError, match="all attempts"):
        await hello(published.host_port)


async def test_what_is_refused_inside_is_reset_outside(under: Under) -> None:
    with socket.socket() as closed:
        closed.bind((INSIDE, 0))
        port = closed.getsockname()[1]
        under.kernel.servers[port] = Server(INSIDE)
        with contextlib.closing(open_asked(Publication(port, 0))) as on_host:
            publishing = under.publishing(
                asked=[(Publication(port, 0), on_host)], is_automatic=lambda: False
            )
            for servers in ({port: Server(INSIDE)}, {}):
                under.kernel.servers = dict(servers)
                with pytest.raises((trio.BrokenResourceError, OSError)):
                    await hello(on_host.port)
            under.kernel.error = OSError(errno.ESRCH, os.strerror(errno.ESRCH))
            for _ in range(2):
                with pytest.raises((trio.BrokenResourceError, OSError)):
                    await hello(on_host.port)
            await publishing.finish()
            await until(lambda: under.of(PublishEnded))
    assert under.of(PublishEnded)[0].refused == 4
    assert [event.cause for event in under.of(PublishingFailed)] == [os.strerror(errno.ESRCH)]
    assert "No such process" in publishing.note
    assert under.kernel.looks == 0


async def test_a_port_that_comes_back_is_where_it_was(under: Under) -> None:
    port = await server(under.nursery, echo)
    under.kernel.servers[port] = Server(INSIDE)
    with socket.create_server(("127.0.0.1", port)):
        under.publishing()
        await until(lambda: under.of(Published))
    first = under.of(Published)[0]
    assert first.host_port != port
    under.kernel.servers.clear()
    await until(lambda: under.of(PublishEnded))
    under.kernel.servers[port] = Server(INSIDE)
    await until(lambda: len(under.of(Published)) == 2)
    assert under.of(Published)[1].host_port == first.host_port
    assert await hello(first.host_port) == b"helloend"


async def test_a_wrong_program_listens_everywhere(under: Under) -> None:
    """As many as may be are published, told once; looks become rare, and so do events."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        first = free.getsockname()[1] % 20000 + 20000
    under.kernel.servers = {first + each: Server(INSIDE) for each in range(MOST + 50)}
    under.kernel.count = 30 * CHEAP
    publishing = under.publishing()
    await until(lambda: under.of(PublishingBounded))
    assert len(under.of(Published)) == MOST
    assert under.of(PublishingBounded) == [
        PublishingBounded(what="ports", limit=MOST, kind=Kind.BOUND)
    ]
    assert under.kernel.looks == 1
    await publishing.finish()
    await until(lambda: len(under.of(PublishEnded)) == MOST)


async def test_the_record_of_many_is_bounded(
    under: Under, autojump_clock: trio.testing.MockClock
) -> None:
    under.publishing()
    for turn in range(2 * (MOST_TOLD // MOST + 2)):
        count = MOST if turn % 2 else 0
        under.kernel.servers = {20000 + each: Server(INSIDE) for each in range(count)}
        looks = under.kernel.looks
        await until(partial(under.has_looked, looks + 2))
    assert len(under.of(Published)) == MOST_TOLD
    assert len(under.of(PublishEnded)) <= MOST_TOLD
    assert [event.what for event in under.of(PublishingBounded)] == ["events"]


async def test_what_the_kernel_refuses_for_good_is_not_asked_again(under: Under) -> None:
    under.kernel.error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    under.publishing()
    await until(lambda: under.of(PublishingFailed))
    await trio.sleep(2 * PAUSE)
    assert under.kernel.looks == 1


async def test_a_want_of_memory_passes(
    under: Under, autojump_clock: trio.testing.MockClock
) -> None:
    under.kernel.error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    publishing = under.publishing()
    await trio.sleep(60)
    under.kernel.error = None
    under.kernel.servers[20000] = Server(INSIDE)
    await trio.sleep(60)
    assert len(under.of(Published)) == len(under.of(PublishingFailed)) == 1
    assert publishing.note == ""


async def test_rules_that_become_tighter_withdraw_all(
    under: Under, autojump_clock: trio.testing.MockClock
) -> None:
    is_open = [True]
    under.kernel.servers[20000] = Server(INSIDE)
    under.publishing(is_automatic=lambda: bool(is_open))
    await trio.sleep(1)
    assert under.of(PublishEnded) == []
    is_open.clear()
    await trio.sleep(1)
    looks = under.kernel.looks
    await trio.sleep(10)
    assert len(under.of(PublishEnded)) == 1
    assert under.kernel.looks == looks


async def test_the_end_delivers_what_a_server_sent(under: Under) -> None:
    """One that has not ended is cut off."""
    size, has_sent = 1 << 18, trio.Event()

    async def sends(stream: trio.SocketStream) -> None:
        await stream.send_all(bytes(size))
        await stream.aclose()
        has_sent.set()

    async def goes_on(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some()

    ports = [await server(under.nursery, handler) for handler in (sends, goes_on)]
    under.kernel.servers = {port: Server(INSIDE) for port in ports}
    publishing = under.publishing()
    await until(lambda: len(under.of(Published)) == 2)
    at = {event.port: event.host_port for event in under.of(Published)}
    async with (
        await trio.open_tcp_stream("127.0.0.1", at[ports[0]]) as whole,
        await trio.open_tcp_stream("127.0.0.1", at[ports[1]]) as cut,
    ):
        received = len(await whole.receive_some(1))
        await has_sent.wait()
        await until(lambda: publishing.standing == 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publishing.finish)
            async for data in whole:
                received += len(data)
        assert received == size
        with pytest.raises(trio.BrokenResourceError):
            await cut.receive_some()


async def test_after_a_fault_it_begins_anew(
    under: Under, autojump_clock: trio.testing.MockClock
) -> None:
    under.kernel.servers[20000] = Server(INSIDE)
    made = Publishing(cast("Look", under.kernel), under.events.append, under.ports)
    serve = partial(made.serve, under.nursery)
    under.nursery.start_soon(kept_running, under.events.append, "published ports", serve)
    await trio.sleep(1)
    under.kernel.fault = ValueError("nobody expected it")
    await trio.sleep(1)
    assert len(under.of(PublishEnded)) == 1
    under.kernel.fault = None
    await trio.sleep(10)
    assert len(under.of(Published)) == 2
    await made.finish()
    await trio.sleep(1)
    assert len(under.of(PublishEnded)) == 2
