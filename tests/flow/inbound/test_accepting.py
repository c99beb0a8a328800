"""At the limit a connection is reset at once instead of hanging; a fault costs one alone."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest
import trio

from relay.addresses import Endpoint
from relay.descriptors import SPARE
from relay.inbound.accepting import Acceptor
from relay.inbound.listener import Listener
from relay.inbound.offer import Offer
from relay.record.events import Event, Fault, TurnedAway
from relay.record.kinds import Kind
from tests.support.machine.limits import at_the_limit
from tests.support.pace import patience


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture(autouse=True)
def spare() -> Iterator[None]:
    SPARE.keep()
    yield
    SPARE.keep(0)


def is_reset(program: socket.socket) -> bool:
    with program:
        program.settimeout(patience(5))
        try:
            assert program.recv(1) == b""
        except ConnectionResetError:
            return True
    return False


def test_at_the_limit_each_is_reset_at_once_and_told_now_and_then(
    listening: socket.socket,
) -> None:
    events: list[Event] = []
    taken: list[socket.socket] = []
    programs = [socket.create_connection(listening.getsockname()) for _ in range(5)]
    acceptor = Acceptor(listening, "the listener", events.append)
    with at_the_limit():
        acceptor.take_waiting(lambda sock, _source: taken.append(sock))
        acceptor.take_waiting(lambda sock, _source: taken.append(sock))  # nobody waits any more
    assert taken == []
    assert [is_reset(program) for program in programs] == [True] * 5
    told = [event for event in events if isinstance(event, TurnedAway)]
    assert [event.count for event in told] == [1, 2, 4]
    assert {(event.kind, event.cause) for event in told} == {
        (Kind.RESOURCES, "Too many open files")
    }


def test_past_the_limit_they_are_taken_again(listening: socket.socket) -> None:
    taken: list[socket.socket] = []
    acceptor = Acceptor(listening, "the listener", lambda _event: None)
    with at_the_limit():
        acceptor.take_waiting(lambda sock, _source: taken.append(sock))
    with socket.create_connection(listening.getsockname()) as program:
        acceptor.take_waiting(lambda sock, _source: taken.append(sock))
        (sock,) = taken
        with sock:
            assert sock.getpeername() == program.getsockname()


def test_a_fault_in_one_resets_it_and_the_next_is_taken(listening: socket.socket) -> None:
    events: list[Event] = []
    taken: list[socket.socket] = []
    programs = [socket.create_connection(listening.getsockname()) for _ in range(2)]

    def take(sock: socket.socket, source: Endpoint) -> None:
        if source == programs[0].getsockname():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        taken.append(sock)

    Acceptor(listening, "the listener", events.append).take_waiting(take)
    (sock,) = taken
    with sock:
        assert sock.getpeername() == programs[1].getsockname()
    assert is_reset(programs[0])
    programs[1].close()
    (fault,) = events
    assert isinstance(fault, Fault)
    assert (fault.where, fault.cause, fault.saw) == (
        "accept",
        "No such file or directory",
        "a reset",
    )


async def test_redirect_without_a_conntrack_entry_resets_that_one(
    listening: socket.socket,
) -> None:
    """As when the entry was flushed, or the table was full: SO_ORIGINAL_DST has no answer."""
    events: list[Event] = []
    offers: list[Offer] = []
    listener = Listener(listening, "redirect", events.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, offers.append)
        for _ in range(2):
            with socket.create_connection(listening.getsockname()) as program:
                with trio.fail_after(patience(5)):
                    await trio.lowlevel.wait_readable(program)
                with pytest.raises(ConnectionResetError):
                    program.recv(1)
        nursery.cancel_scope.cancel()
    assert offers == []
    assert [type(event) for event in events] == [Fault, Fault]


async def test_a_listener_at_the_limit_goes_on_after_it(listening: socket.socket) -> None:
    taken: list[socket.socket] = []
    acceptor = Acceptor(listening, "the listener", lambda _event: None)
    programs = [socket.create_connection(listening.getsockname()) for _ in range(2)]
    for program in programs:
        program.setblocking(False)

    async with trio.open_nursery() as nursery:
        with at_the_limit():
            nursery.start_soon(acceptor.serve, lambda sock, _source: taken.append(sock))
            for program in programs:
                with trio.fail_after(patience(5)):
                    await trio.lowlevel.wait_readable(program)
        with socket.create_connection(listening.getsockname()) as third:
            while not taken:
                await trio.lowlevel.checkpoint()
            assert taken[0].getpeername() == third.getsockname()
        nursery.cancel_scope.cancel()
    for sock in (*programs, *taken):
        sock.close()
