"""Whether a pod's rules stand is found out by trying; no capability is needed to see that."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from relay import sockets
from relay.barrier import Record
from relay.inbound.listener import Listener
from relay.inbound.offer import Offer
from relay.record.events import Event, Fault, RulesLacking, RulesStand
from relay.sidecar import pod, routes, rules_watch
from relay.sidecar.rules_watch import RulesWatch
from tests.support.pace import patience

LOOPBACK = "127.0.0.1"


class Routed:
    """What the kernel answers of routes, in place of a pod's."""

    def __init__(self) -> None:
        self.own = self.others = True
        self.error: OSError | None = None

    def is_local(self, answer: bytes) -> bool:
        if self.error is not None:
            raise self.error
        asked = self.asked.pop(0)
        if asked == (LOOPBACK, os.getuid()):
            return self.own
        return self.others if asked[1] != os.getuid() else self.of_relay

    asked: list[tuple[str, int]]
    of_relay = False

    def request(self, address: str, uid: int) -> bytes:
        self.asked.append((address, uid))
        return REQUEST(address, os.getuid())


REQUEST = routes.request


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> Routed:
    made = Routed()
    made.asked = []
    monkeypatch.setattr(routes, "is_local", made.is_local)
    monkeypatch.setattr(routes, "request", made.request)
    return made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as sock:
        sock.setblocking(False)
        yield sock


class Watched:
    """A watch whose relay listens at loopback, to which nothing has to be redirected."""

    def __init__(self, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules_watch, "TCP_PORT", listener.getsockname()[1])
        self.events: list[Event] = []
        self.watch = RulesWatch(LOOPBACK, self.events.append)
        inner = Listener(listener, "tproxy", self.events.append)
        self.connections = pod.RedirectedConnections(inner, self.watch)
        self.offered: list[Offer] = []


@pytest.fixture
def watched(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(listener, monkeypatch)


async def test_here_are_no_rules(watched: Watched) -> None:
    assert "rules of routing are not there" in await watched.watch.look()


async def test_a_connection_that_comes_shows_that_the_rules_stand(
    watched: Watched, routed: Routed, nursery: trio.Nursery
) -> None:
    nursery.start_soon(watched.connections.serve, watched.offered.append)
    assert [await watched.watch.look() for _ in range(3)] == [""] * 3
    assert [type(event) for event in watched.events] == [RulesStand]
    assert watched.offered == []
    nursery.cancel_scope.cancel()


async def test_what_others_connect_there_shows_nothing_and_is_not_offered(
    watched: Watched, listener: socket.socket
) -> None:
    with socket.create_connection(listener.getsockname()):
        watched.connections.take_waiting(watched.offered.append)
    assert watched.offered == []
    assert watched.watch.lacking


async def test_all_else_that_comes_is_offered(watched: Watched, listener: socket.socket) -> None:
    inner = Listener(listener, "tproxy", watched.events.append)
    elsewhere = RulesWatch("198.18.0.1", watched.events.append)
    watched.connections = pod.RedirectedConnections(inner, elsewhere)
    with socket.create_connection(listener.getsockname()) as program:
        watched.connections.take_waiting(watched.offered.append)
        (offer,) = watched.offered
        assert offer.source == program.getsockname()
        offer.close()


async def test_a_connection_that_is_refused_shows_that_nothing_redirects(
    watched: Watched, routed: Routed, listener: socket.socket
) -> None:
    listener.close()
    assert "not redirected" in await watched.watch.look()
    (lacking,) = watched.events
    assert isinstance(lacking, RulesLacking)


async def test_a_connection_that_does_not_come_to_the_relay_shows_the_same(
    watched: Watched, routed: Routed, autojump_clock: trio.testing.MockClock
) -> None:
    """Another process listens there, for example."""
    assert "has not come" in await watched.watch.look()


async def test_a_connection_that_fails_in_another_way_says_how(
    watched: Watched, routed: Routed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(*_: object) -> int:
        await trio.lowlevel.checkpoint()
        return errno.EPERM

    monkeypatch.setattr(sockets, "connect", connect)
    assert await watched.watch.look() == "the rules cannot be looked at: Operation not permitted"


async def test_each_half_of_the_routes_is_seen(watched: Watched, routed: Routed) -> None:
    routed.others = False
    assert "not there" in await watched.watch.look()
    routed.others, routed.of_relay = True, True
    assert f"hold for user {os.getuid()} too" in await watched.watch.look()
    routed.of_relay, routed.own = False, False
    assert "is not on lo" in await watched.watch.look()
    routed.error = OSError(errno.EPERM, "Operation not permitted")
    assert "cannot be looked at: Operation not permitted" in await watched.watch.look()
    assert [type(event) for event in watched.events] == [RulesLacking] * 4


async def test_a_change_is_recorded_once_in_each_direction(
    watched: Watched, routed: Routed, nursery: trio.Nursery
) -> None:
    nursery.start_soon(watched.connections.serve, watched.offered.append)
    for routed.others in (True, True, False, False, True):
        await watched.watch.look()
    assert [type(event) for event in watched.events] == [RulesStand, RulesLacking, RulesStand]
    nursery.cancel_scope.cancel()


class Looking(RulesWatch):
    """Tells of each look, of which the second fails."""

    def __init__(self, record: Record) -> None:
        super().__init__(LOOPBACK, record)
        self.looks = trio.Semaphore(0)

    async def look(self) -> str:
        await trio.lowlevel.checkpoint()
        self.looks.release()
        if self.looks.value == 2:
            raise KeyError("a defect")
        return ""


async def test_it_looks_again_after_a_time_whatever_a_look_comes_to(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(rules_watch, "AGAIN", 0.01)
    events: list[Event] = []
    watch = Looking(events.append)
    nursery.start_soon(watch.watch)
    with trio.fail_after(patience(10)):
        while watch.looks.value < 4:  # noqa: ASYNC110 - each look adds to it
            await trio.sleep(0.001)
    assert [type(event) for event in events] == [Fault]
    nursery.cancel_scope.cancel()
