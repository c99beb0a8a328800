"""Offers of programs whose connect() is pending, and the connections of a session around them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from relay.addresses import Endpoint
from relay.inbound.offer import GIVEN_UP, Refusal
from relay.inbound.socket_table import SocketTable
from relay.outbound.standing import Standing
from relay.record.events import Event
from relay.tcp.connection import Connections, Handler
from tests.support.inprocess.tcp import connected

_NETLINK_SOCK_DIAG: Final = 4


class Pending:
    """A program's connect(), until it succeeds, is refused, or the program gives it up."""

    source: Endpoint = ("198.18.0.1", 40000)
    destination: Endpoint = ("198.18.1.0", 443)
    has_ended = has_words = False
    withdrawal = GIVEN_UP

    def __init__(self, *, is_held: bool = True) -> None:
        self.is_held = self.is_wanted = is_held
        self.accepted = trio.Event()
        self.refusal: Refusal | None = None
        self.is_closed = False
        self._dialled, self._accepted = connected()
        self._withdrawn: Callable[[], None] = lambda: None

    @property
    def program(self) -> trio.SocketStream:
        """The program's end, once it is accepted."""
        assert self.accepted.is_set()
        return trio.SocketStream(trio.socket.from_stdlib_socket(self._dialled))

    def give_up(self) -> None:
        """Have the program close its socket."""
        self.is_wanted = False
        self._withdrawn()

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        """Have `call` called when it does."""
        self._withdrawn = call

    async def accept(self) -> socket.socket:
        """Let the connect() succeed."""
        self.accepted.set()
        return self._accepted

    def refuse(self, refusal: Refusal, why: str = "") -> None:
        """Let it fail."""
        assert self.refusal is None
        self.refusal = refusal

    def has_time_wait(self, received: int) -> bool:
        """Leave it."""
        return False

    def close(self) -> None:
        """Close the relay's end, and the program's if it was never accepted."""
        self.is_closed = True
        self._accepted.close()
        if not self.accepted.is_set():
            self._dialled.close()


def sock_diag() -> socket.socket:
    """Open a sock_diag(7) socket of this network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)


@contextmanager
def session(
    handler: Handler, standing: Standing, record: Callable[[Event], None], nursery: trio.Nursery
) -> Iterator[Connections]:
    """Make the connections of a session, all of which have one handler."""
    with sock_diag() as diag:
        yield Connections(lambda _dialled: handler, standing, record, nursery, SocketTable(diag))
