"""Liveness: what it remembers of a connection is of its upstream, which may be replaced."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from relay.addresses import Destination, Endpoint
from relay.host.network import NetworkWatch
from relay.host.suspend import SuspendDetector
from relay.outbound.door import Door
from relay.outbound.keepalive import KeepAlive
from relay.record.events import Event, Fault, PathDown, PathUp, Slept, Suspected
from relay.record.kinds import Kind
from relay.tcp.watch.liveness import SWEEP, Liveness
from tests.support.inprocess import tcp
from tests.support.inprocess.judges import Judge
from tests.support.machine.limits import at_the_limit

KEEPALIVE = KeepAlive(idle=20, interval=5, count=3, user_timeout=300, rto_max=1000)


class Watched:
    """A connection that stands, with nothing said on it yet."""

    number = 1
    retire_after = float("inf")
    may_retire = False
    asked = answered = 0.0

    def __init__(self, sock: socket.socket, reached: Endpoint) -> None:
        self.sock = sock
        self.reached = reached
        self.destination = Destination(*reached)
        self.losses: list[OSError] = []

    def lose(self, error: OSError) -> None:
        self.losses.append(error)

    def retire(self, cause: str) -> None:
        raise AssertionError(cause)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = tcp.connected()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@asynccontextmanager
async def watching(*connections: Watched, judge: Judge | None = None) -> AsyncIterator[list[Event]]:
    """Watch connections while the machine wakes, after which each is suspect; yield the events."""
    asleep = [0.0]
    events: list[Event] = []
    detector = SuspendDetector(lambda: asleep[0])
    door, network = Door(judge or Judge()), NetworkWatch()
    liveness = Liveness(set(connections), KEEPALIVE, network, events.append, detector, door)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(liveness.watch)
        asleep[0] = 60.0
        yield events
        nursery.cancel_scope.cancel()


async def test_a_suspect_whose_upstream_was_replaced_is_none_any_more(
    ends: tuple[socket.socket, socket.socket],
    server: Endpoint,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its ClientHello went to another address, of which no dial has shown anything."""
    watched = Watched(ends[0], server)
    async with watching(watched) as events:
        await trio.sleep(SWEEP + 0.1)
        assert [type(event) for event in events] == [Slept, Suspected]
        watched.reached = ("127.0.0.2", 9)
        await trio.sleep(10 * SWEEP)
    assert watched.losses == []


async def test_at_the_limit_a_dial_to_a_suspects_destination_misses_its_turn(
    ends: tuple[socket.socket, socket.socket],
    server: Endpoint,
    autojump_clock: trio.testing.MockClock,
) -> None:
    watched = Watched(ends[0], server)
    async with watching(watched) as events:
        with at_the_limit():
            await trio.sleep(10 * SWEEP)
    assert [type(event) for event in events[:2]] == [Slept, Suspected]
    assert watched.losses == []
    assert not [event for event in events if isinstance(event, PathDown)], "nobody knows"
    faults = [event for event in events if isinstance(event, Fault)]
    assert {(fault.where, fault.kind, fault.saw) for fault in faults} == {
        ("dial to a suspect's destination", Kind.RESOURCES, "")
    }


async def test_a_fault_in_one_look_costs_that_look(
    ends: tuple[socket.socket, socket.socket],
    server: Endpoint,
    autojump_clock: trio.testing.MockClock,
) -> None:
    gone = Watched(ends[1].dup(), server)
    gone.number = 2
    gone.sock.close()  # its descriptor is no socket's any more
    async with watching(gone, Watched(ends[0], server)) as events:
        await trio.sleep(2 * SWEEP)
    assert {event.connection for event in events if isinstance(event, Suspected)} == {1}
    assert {event.connection for event in events if isinstance(event, Fault)} == {2}


async def test_a_suspects_destination_that_is_denied_by_now_is_not_dialled(
    ends: tuple[socket.socket, socket.socket], autojump_clock: trio.testing.MockClock
) -> None:
    """The rules have become tighter since it was reached; another name may still lead there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        reached: Endpoint = listener.getsockname()
        async with watching(Watched(ends[0], reached), judge=Judge("127.0.0.1")) as events:
            await trio.sleep(10 * SWEEP)
        assert not [event for event in events if isinstance(event, PathDown | PathUp | Fault)]
        with pytest.raises(BlockingIOError):
            listener.accept()
