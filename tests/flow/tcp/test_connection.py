"""The end of a session: what programs said last is delivered, and nothing else is waited for."""

import socket
import sys
from collections.abc import Callable

import pytest
import trio
import trio.testing

from relay.addresses import Destination, Endpoint
from relay.inbound.offer import Refusal
from relay.outbound.standing import Standing
from relay.record.events import ConnectionOpened, Event
from relay.tcp.connection import Connection, Connections

PROGRAM: Endpoint = ("198.18.0.1", 40000)
DIALLED: Endpoint = ("198.18.1.0", 443)


class Offered:
    """An offer of a program that has closed, whose FIN has not come through yet."""

    source = PROGRAM
    destination = DIALLED
    is_wanted = has_half_closed = is_held = False

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        pass

    async def accept(self) -> socket.socket:
        raise AssertionError

    def refuse(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)

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
        with trio.CancelScope() as scope:
            connection.abort = scope.cancel
            await self.may_end.wait()
        self.was_aborted = scope.cancelled_caught


def table(local: Endpoint, remote: Endpoint) -> str:
    """Write /proc/net/tcp with one connection that its side has closed, FIN_WAIT1."""
    ends = (
        f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
        for address, port in (local, remote)
    )
    return f"  sl  local_address rem_address   st\n   0: {' '.join(ends)} 04 00000000\n"


@pytest.mark.parametrize("delivers", [True, False])
async def test_only_a_handler_that_delivers_last_words_is_waited_for(
    delivers: bool, autojump_clock: trio.testing.MockClock
) -> None:
    handler, events = Working(delivers=delivers), list[Event]()
    async with trio.open_nursery() as nursery:
        made = Connections(lambda _dialled: handler, Standing(), events.append, nursery)
        made.start(Offered())
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(60) as waiting:
            await made.finish(table(PROGRAM, DIALLED))
        assert waiting.cancelled_caught is delivers
        assert handler.was_aborted is not delivers
        handler.may_end.set()
    (opened,) = events
    assert isinstance(opened, ConnectionOpened)
    assert (opened.address, opened.name, opened.port) == (DIALLED[0], "api.test", 8443)
