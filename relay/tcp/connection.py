"""A program's connection from offer to close: numbered, recorded, and served by its handler."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from relay import barrier
from relay.addresses import Destination, Endpoint
from relay.inbound.offer import Offer, Refusal
from relay.inbound.socket_table import SocketTable
from relay.outbound.standing import Standing
from relay.record.events import ConnectionOpened, Event
from relay.sockets import CLOSED_BY_ITS_SIDE

STALL: Final = 1.0
"""Seconds without progress after which last words are not waited for any longer."""

LOOK: Final = 0.1
"""Seconds between two looks at what has moved."""


class Handler(Protocol):
    """What serves a connection: a pump, the gateway, or a refusal."""

    destination: Destination
    """What is reached for the program, as policy judges it."""

    async def serve(self, connection: "Connection") -> None:
        """Serve it to its end, whatever that is."""


@dataclass(eq=False)
class Connections:
    """The connections of a session's programs, and what they share."""

    _handler_for: Callable[[Endpoint], Handler]
    """Returns what serves an original destination."""
    standing: Standing
    record: Callable[[Event], None]
    nursery: trio.Nursery
    _programs: SocketTable | None
    """Of the programs' sockets, if they can be seen."""
    is_ending: bool = False
    """Whether the command has ended."""
    _live: "set[Connection]" = field(default_factory=set)
    _all_ended: trio.Event = field(default_factory=trio.Event)

    def start(self, offer: Offer) -> None:
        """Serve an offer in a task of its own."""
        connection = Connection(offer, self, self.standing.number(), trio.current_time())
        self._live.add(connection)
        self.nursery.start_soon(self._serve, connection)

    def __len__(self) -> int:
        """Return how many live, pending ones too."""
        return len(self._live)

    def dialled(self) -> frozenset[str]:
        """Return the addresses to which programs have connections, pending ones too."""
        return frozenset(connection.offer.destination[0] for connection in self._live)

    async def _serve(self, connection: "Connection") -> None:
        offer = connection.offer
        try:
            handler = self._handler_for(offer.destination)
            destination = handler.destination
            self.record(
                ConnectionOpened(
                    connection=connection.number,
                    address=offer.destination[0],
                    port=destination.port,
                    name=destination.name,
                )
            )
            await handler.serve(connection)
        except Exception as error:  # noqa: BLE001 - a fault ends this connection alone
            barrier.note(self.record, "connection", error, connection.number, "a reset")
            with barrier.contained(self.record, "refusal", connection.number):
                offer.refuse(Refusal.HOST_UNREACHABLE)
        finally:
            self._forget(connection)

    def _forget(self, connection: "Connection") -> None:
        """Release what a connection that has ended holds, and let finish() know."""
        try:
            with barrier.contained(self.record, "close", connection.number):
                connection.offer.close()
        finally:
            self._live.discard(connection)
            if not self._live:
                self._all_ended.set()

    def has_last_words(self, connection: "Connection") -> bool:
        """Return whether a program that has ended, or half-closed, left data to be relayed.

        Its FIN has arrived, or is behind data for which our receive buffer had no room.
        """
        offer = connection.offer
        if offer.has_ended or not connection.delivers_last_words:
            return connection.delivers_last_words
        if self._programs is None:
            return True
        try:
            return self._programs.state(offer.source, offer.destination) in CLOSED_BY_ITS_SIDE
        except OSError:  # it cannot be found out: what may be lost is waited for
            return True

    def has_gone(self, offer: Offer) -> bool:
        """Return whether no process holds the program's socket any more; if in doubt, one does."""
        if self._programs is None:
            return False
        try:
            return not self._programs.has_owner(offer.source, offer.destination)
        except OSError:
            return False

    async def finish(self) -> None:
        """Hand what programs that have ended sent last to the kernel; reset all other connections.

        Nobody reads an answer any more. So a connection ends once upstream's socket has taken all,
        and the FIN: the kernel delivers that in the background, as it does for a program alone.
        This goes on while bytes move, and for STALL seconds in which none do; then all that is left
        is reset.
        """
        self.is_ending = True
        for connection in tuple(self._live):
            with barrier.contained(self.record, "end", connection.number):
                if not (self.has_last_words(connection) and connection.leave()):
                    connection.abort()
        await self._stalled()
        for connection in tuple(self._live):
            with barrier.contained(self.record, "end", connection.number):
                connection.abort()
        await self._ended_within(LOOK)

    async def _stalled(self) -> None:
        """Return when all have ended, or when nothing has moved for STALL seconds."""
        moved, since = self._delivered(), trio.current_time()
        while self._live and trio.current_time() - since < STALL:
            await self._ended_within(LOOK)
            now = self._delivered()
            if now != moved:
                moved, since = now, trio.current_time()

    def _delivered(self) -> dict[int, int]:
        """Return how many bytes of each live connection its upstream has acknowledged."""
        found: dict[int, int] = {}
        for connection in self._live:
            with barrier.contained(self.record, "end", connection.number):
                found[connection.number] = connection.delivered()
        return found

    async def _ended_within(self, seconds: float) -> None:
        """Wait until all have ended, so long at most.

        The event is made anew after the last connection could have set it and before this task
        waits, and no other task runs in between. A connection that is started later is waited for
        too: it leaves the live ones after it has joined them, and the last one sets the event.
        """
        if self._live:
            self._all_ended = trio.Event()
            with trio.move_on_after(seconds):
                await self._all_ended.wait()


@dataclass(slots=True, eq=False)
class Connection:
    """One connection of a program, as its handler sees it."""

    offer: Offer
    shared: Connections
    number: int
    began: float
    """On trio's clock."""
    delivers_last_words: bool = True
    """Whether what the program said before its end is passed on, also if it is not here yet."""
    abort: Callable[[], None] = lambda: None
    """Ends what is done for it now, as the command has ended: the dial, or the copying."""
    leave: Callable[[], bool] = lambda: True
    """Has it end by itself once the last words of its program are delivered; False: there are none.
    """
    delivered: Callable[[], int] = lambda: 0
    """Returns how many bytes of the program's upstream has acknowledged; raises OSError."""
