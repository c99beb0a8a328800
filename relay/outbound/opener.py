"""Opens upstream connections: dialled with patience, over rounds, and recorded.

The one way out for the connections of programs and the gateway's own. How long a dial goes on is
decided in patience.py; dialer.py makes one round of it.
"""

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from relay.addresses import Destination, Endpoint
from relay.host.network import NetworkWatch
from relay.outbound.dialer import Dialer
from relay.outbound.patience import DialError, GiveUp, Patience
from relay.outbound.standing import Standing
from relay.record.events import DialHeld, Dialled, Event
from relay.record.kinds import Kind
from relay.sockets import peer


class Opened(NamedTuple):
    """A connected, non-blocking socket, which whoever gets it owns, and where it ends."""

    sock: socket.socket
    reached: Endpoint


@dataclass(eq=False)
class Opener:
    """Opens upstream connections for a session."""

    _dialer: Dialer
    _network: NetworkWatch
    """A change of it ends a pause between two rounds."""
    standing: Standing
    _record: Callable[[Event], None]
    patience: float
    """Seconds that a dial may take, retries included."""
    _reached: set[Destination] = field(default_factory=set)
    """Destinations that were seen alive in this session."""

    async def open(
        self,
        destination: Destination,
        number: int,
        *,
        wanted: Callable[[], bool] = lambda: True,
        avoid: str = "",
    ) -> Opened:
        """Dial for connection `number` until somebody answers; raises DialError.

        `wanted` is asked before each further round. The address to `avoid` is tried last.
        """
        began = trio.current_time()
        deadline = began + self.patience
        is_known = destination in self._reached
        judge = Patience(self.patience, known=is_known, jitter=random.random)
        sock = None
        while sock is None:
            fresh = judge.rounds > 0
            try:
                sock = await self._dialer.dial(destination, deadline, fresh=fresh, avoid=avoid)
            except DialError as error:
                verdict = judge.failed(error, trio.current_time() - began)
                if isinstance(verdict, GiveUp):
                    raise DialError(verdict.cause, verdict.kind, error.number) from None
                if judge.rounds == 1:
                    self._record(DialHeld(connection=number, kind=error.kind, cause=error.cause))
                with trio.move_on_after(verdict.pause):
                    await self._network.wait()
                if not wanted():
                    cause = "the program closed the connection first"
                    raise DialError(cause, Kind.PROGRAM_GONE) from None
        self._reached.add(destination)
        address = peer(sock)[0]
        seconds, attempts = trio.current_time() - began, judge.rounds + 1
        self._record(
            Dialled(connection=number, address=address, seconds=seconds, attempts=attempts)
        )
        return Opened(sock, (address, destination.port))
