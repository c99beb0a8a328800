"""A connection to a port of the host: served and cleared away, or refused; no socket is left."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio
import trio.testing
from trio.testing import MockClock

from relay.addresses import Destination, Endpoint
from relay.inbound.offer import Refusal
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.standing import Standing
from relay.policy.host_ports import HostItself, HostPorts, PortRange
from relay.policy.policy import Policy
from relay.record.events import ConnectionClosed, ConnectionDenied, DialFailed, Event
from relay.record.kinds import Kind
from relay.sockets import connect
from relay.tcp.host_port import HostPortHandler
from tests.support.inprocess.offers import Pending, session

_LOOKS: Final = 3
"""How often the end of a connection is looked for."""


class Ending(Pending):
    """An offer whose socket is in TIME_WAIT at the third look."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[int] = []

    def has_time_wait(self, received: int) -> bool:
        self.looks.append(received)
        return len(self.looks) < _LOOKS


class Taken(Pending):
    """An offer that a server inside takes while the host is dialled."""

    async def accept(self) -> socket.socket:
        raise ConnectionAbortedError(errno.ECONNABORTED, "a server inside has taken it")


@contextmanager
def listening() -> Iterator[tuple[trio.SocketListener, int]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield trio.SocketListener(trio.socket.from_stdlib_socket(sock)), sock.getsockname()[1]


class Bench:
    """A handler of one port, and what it records."""

    def __init__(self, port: int, *deny: str) -> None:
        self.events: list[Event] = []
        self.dialled: list[socket.socket] = []
        self.hangs = False
        ports = HostPorts([PortRange(port, port, "a test")])
        itself = HostItself("198.18.0.2", ("host.internal",))
        policy = Policy(deny=deny)
        loopback = HostLoopback(itself, ports, policy, self.events.append, self.connect)
        self.handler = HostPortHandler(Destination("127.0.0.1", port), loopback)

    async def connect(self, sock: socket.socket, endpoint: Endpoint) -> int:
        self.dialled.append(sock)
        if self.hangs:
            await trio.sleep_forever()
        return await connect(sock, endpoint)

    def only(self, kind: type[Event]) -> Event:
        (event,) = (each for each in self.events if isinstance(each, kind))
        return event


async def test_it_is_served_and_its_end_is_waited_for(autojump_clock: MockClock) -> None:
    with listening() as (listener, port):
        bench, offer = Bench(port), Ending()
        async with trio.open_nursery() as nursery:
            with session(bench.handler, Standing(), bench.events.append, nursery) as made:
                made.start(offer)
                server = await listener.accept()
                await offer.accepted.wait()
                await offer.program.send_all(b"hello")
                assert await server.receive_some() == b"hello"
                await offer.program.send_eof()
                assert await server.receive_some() == b""
                assert not made.standing.connections, "no network is in between"
                await server.aclose()
                while not offer.is_closed:
                    await trio.testing.wait_all_tasks_blocked()
                    await trio.sleep(0.01)
                await offer.program.aclose()
    assert offer.looks == [5] * _LOOKS
    closed = bench.only(ConnectionClosed)
    assert isinstance(closed, ConnectionClosed)
    assert (closed.how, closed.kind, closed.is_loss) == ("fin", Kind.CLOSED, False)


async def test_a_rule_denies_it(nursery: trio.Nursery) -> None:
    bench, offer = Bench(1, "localhost"), Pending()
    with session(bench.handler, Standing(), bench.events.append, nursery) as made:
        made.start(offer)
        await trio.testing.wait_all_tasks_blocked()
    assert offer.refusal is Refusal.REFUSED
    denied = bench.only(ConnectionDenied)
    assert isinstance(denied, ConnectionDenied)
    assert (denied.rule, denied.told) == ("localhost", "a refusal")
    assert not bench.dialled


async def test_a_program_that_gives_up_is_not_dialled_for(nursery: trio.Nursery) -> None:
    bench, offer = Bench(1), Pending()
    bench.hangs = True
    with session(bench.handler, Standing(), bench.events.append, nursery) as made:
        made.start(offer)
        await trio.testing.wait_all_tasks_blocked()
        offer.give_up()
        await trio.testing.wait_all_tasks_blocked()
    failed = bench.only(DialFailed)
    assert isinstance(failed, DialFailed)
    assert failed.kind is Kind.PROGRAM_GONE
    assert [sock.fileno() for sock in bench.dialled] == [-1]


async def test_what_a_server_inside_has_taken_is_not_kept(nursery: trio.Nursery) -> None:
    with listening() as (listener, port):
        bench, offer = Bench(port), Taken()
        with session(bench.handler, Standing(), bench.events.append, nursery) as made:
            made.start(offer)
            server = await listener.accept()
            assert await server.receive_some() == b""
            await trio.testing.wait_all_tasks_blocked()
            await server.aclose()
    assert [sock.fileno() for sock in bench.dialled] == [-1]
    failed = bench.only(DialFailed)
    assert isinstance(failed, DialFailed)
    assert (failed.kind, failed.cause) == (Kind.PROGRAM_GONE, "a server inside has taken it")
