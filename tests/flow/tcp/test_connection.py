"""The end of a session: what programs said last is delivered, and nothing else is waited for."""

import socket
from collections.abc import Callable

import pytest
import trio
import trio.testing

from relay.addresses import Destination, Endpoint
from relay.inbound.listener import Listener
from relay.inbound.offer import GIVEN_UP, Refusal
from relay.inbound.socket_table import SocketTable
from relay.outbound.standing import Standing
from relay.record.events import ConnectionOpened, Event, Fault
from relay.tcp.connection import LOOK, STALL, Connection, Connections, Handler
from tests.support.inprocess.offers import sock_diag
from tests.support.pace import patience

MOVES = 7.0
"""Seconds for which something is delivered."""


class Offered:
    """An offer of a program that has closed, whose FIN has not come through yet."""

    is_wanted = has_ended = has_words = is_held = False
    withdrawal = GIVEN_UP

    def __init__(self, program: socket.socket) -> None:
        self.source: Endpoint = program.getsockname()
        self.destination: Endpoint = program.getpeername()

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        pass

    async def accept(self) -> socket.socket:
        raise AssertionError

    def refuse(self, refusal: Refusal, why: str = "") -> None:
        raise AssertionError(refusal)

    def has_time_wait(self, received: int) -> bool:
        raise AssertionError(received)

    def close(self) -> None:
        pass


class Working:
    """A handler that works until it is ended, or may end."""

    destination = Destination("api.test", 8443)

    def __init__(self, *, delivers: bool) -> None:
        self._delivers = delivers
        self.may_end = trio.Event()
        self.was_aborted = False

    async def serve(self, connection: Connection) -> None:
        connection.delivers_last_words = self._delivers
        began = trio.current_time()
        connection.delivered = lambda: int(10 * min(trio.current_time() - began, MOVES))
        with trio.CancelScope() as scope:
            connection.abort = scope.cancel
            await self.may_end.wait()
        self.was_aborted = scope.cancelled_caught


@pytest.mark.parametrize("delivers", [True, False])
async def test_only_a_handler_that_delivers_last_words_is_waited_for(
    delivers: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """For as long as what it delivers moves, and STALL seconds more."""
    handler, events = Working(delivers=delivers), list[Event]()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as program,
        sock_diag() as diag,
    ):
        async with trio.open_nursery() as nursery:
            made = Connections(
                lambda _dialled: handler, Standing(), events.append, nursery, SocketTable(diag)
            )
            made.start(Offered(program))
            await trio.testing.wait_all_tasks_blocked()
            program.shutdown(socket.SHUT_WR)
            began = trio.current_time()
            await made.finish()
            assert trio.current_time() - began == pytest.approx(
                MOVES + STALL if delivers else 0, abs=2 * LOOK
            )
            assert handler.was_aborted
            handler.may_end.set()
        (opened,) = events
        assert isinstance(opened, ConnectionOpened)
        address, port = listener.getsockname()
        assert (opened.address, opened.name, opened.port) == (address, "api.test", 8443)
        assert port != opened.port, "the handler's destination is recorded"


async def test_where_no_socket_of_a_program_can_be_seen_it_is_in_doubt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It may have left something to be relayed, and may still be there."""
    handler = Working(delivers=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as program,
    ):
        async with trio.open_nursery() as nursery:
            made = Connections(
                lambda _dialled: handler, Standing(), lambda _event: None, nursery, None
            )
            offer = Offered(program)
            made.start(offer)
            await trio.testing.wait_all_tasks_blocked()
            assert not made.has_gone(offer)
            began = trio.current_time()
            await made.finish()
            assert trio.current_time() - began == pytest.approx(MOVES + STALL, abs=2 * LOOK)
            handler.may_end.set()


class Faulty:
    """A handler with a defect."""

    destination = Destination("api.test", 8443)

    async def serve(self, connection: Connection) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("a defect")


async def test_a_fault_resets_its_connection_and_no_other() -> None:
    events: list[Event] = []
    working = Working(delivers=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        sock_diag() as diag,
    ):
        listening = Listener(listener, "tproxy", events.append)
        listener.setblocking(False)
        handlers: list[Handler] = [Faulty(), working]
        async with trio.open_nursery() as nursery:
            made = Connections(
                lambda _dialled: handlers.pop(0),
                Standing(),
                events.append,
                nursery,
                SocketTable(diag),
            )
            with (
                socket.create_connection(listener.getsockname()) as faulty,
                socket.socket() as other,
            ):
                listening.take_waiting(made.start)
                await trio.testing.wait_all_tasks_blocked()
                other.connect(listener.getsockname())
                listening.take_waiting(made.start)
                await trio.testing.wait_all_tasks_blocked()
                faulty.settimeout(patience(5))
                with pytest.raises(ConnectionResetError):
                    faulty.recv(1)
                other.setblocking(False)
                with pytest.raises(BlockingIOError):
                    other.recv(1)
                working.may_end.set()
        (fault,) = [event for event in events if isinstance(event, Fault)]
        assert (fault.where, fault.connection, fault.saw) == ("connection", 1, "a reset")
        assert fault.ends_connection
        with trio.fail_after(patience(1)):
            await made.finish()
