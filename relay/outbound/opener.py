"""Opens upstream connections: dialled with patience, over rounds, and recorded.

The one way out for the connections of programs and the gateway's own. How long a dial goes on is
decided in patience.py; dialer.py makes one round of it.
"""

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

import trio

from relay.addresses import Destination, Endpoint
from relay.host.network import NetworkWatch
from relay.outbound.dialer import Denied, Dials, Reached
from relay.outbound.door import DeniedError, Own
from relay.outbound.lately import Lately
from relay.outbound.patience import NO_ANSWER, DialError, GiveUp, Patience, Retry
from relay.outbound.standing import Standing
from relay.policy.verdicts import Deny
from relay.record.events import AddressDenied, DialHeld, Dialled, Event
from relay.record.kinds import Kind

_LEFT: Final = "the program closed the connection first"

MOST_REACHED: Final = 8192
"""Destinations; of a further one, whatever was reached longest ago counts as never reached."""

WOKEN: Final = 64
"""Dials in doubt that are made again as soon as another has got through."""

_DENIALS_TOLD: Final = 8
"""Addresses that are recorded for one dial, as denied while others are dialled."""


class Opened(NamedTuple):
    """A connected, non-blocking socket, which whoever gets it owns, and where it ends."""

    sock: socket.socket
    reached: Endpoint
    destination: Destination
    """What was asked for, by which another dial to where it ends is judged; or a proxy."""
    carrier: socket.socket | None = None
    """The socket that liveness watches, if it is another one: it is not this owner's to close."""

    @property
    def is_proxied(self) -> bool:
        """Whether it leads to a proxy, which may make a FIN of a reset."""
        return isinstance(self.destination, Own)


@dataclass(eq=False)
class Opener:
    """Opens upstream connections for a session."""

    _dialer: Dials
    _network: NetworkWatch
    """A change of it ends a pause between two rounds."""
    standing: Standing
    _record: Callable[[Event], None]
    patience: float
    """Seconds that a dial may take, retries included."""
    _reached: Lately[Destination] = field(default_factory=lambda: Lately(MOST_REACHED))
    """Destinations that were seen alive in this session; those of long ago are forgotten."""
    _through: int = 0
    """Dials that reached somebody."""
    _doubtful: dict[trio.CancelScope, None] = field(default_factory=dict)
    """The pauses that end when another dial gets through, the oldest first."""

    async def open(
        self,
        destination: Destination,
        number: int,
        *,
        wanted: Callable[[], bool] = lambda: True,
        avoid: str = "",
    ) -> Opened:
        """Dial for connection `number` until somebody answers; raises DialError.

        `wanted` is asked before each further round. The address to `avoid` is tried last. Policy
        judges every address in every round: DeniedError, if it forbids all of them.
        """
        began = trio.current_time()
        known = destination in self._reached
        judge = Patience(self.patience, known=known, jitter=random.random)
        note_denied, deadline = self._denials(number), began + self.patience
        while True:
            before, fresh = self._through, judge.rounds > 0
            try:
                reached = await self._dialer.dial(
                    destination, deadline, fresh=fresh, avoid=avoid, denied=note_denied
                )
                break
            except DialError as error:
                elapsed = trio.current_time() - began
                verdict = judge.failed(error, elapsed, before=before, now=self._through)
                if isinstance(verdict, GiveUp):
                    raise _given_up(error, verdict) from None
                if judge.rounds == 1:
                    self._record(DialHeld(connection=number, kind=error.kind, cause=error.cause))
                await self._pause(verdict)
                if not wanted():
                    raise DialError(_LEFT, Kind.PROGRAM_GONE, code=NO_ANSWER) from None
        self._note_reached(destination)
        seconds = trio.current_time() - began
        return self._opened(destination, reached, number, seconds, judge.rounds + 1)

    def _opened(
        self, destination: Destination, reached: Reached, number: int, seconds: float, attempts: int
    ) -> Opened:
        """Record a dial that got through."""
        self._record(
            Dialled(
                connection=number,
                address=reached.address,
                seconds=seconds,
                attempts=attempts,
                proxy=str(reached.proxy or ""),
            )
        )
        end = reached.proxy or destination
        return Opened(reached.sock, (reached.address, end.port), end, reached.carrier)

    def _denials(self, number: int) -> Denied:
        """Return what records each address that is forbidden to connection `number`, once."""
        told: set[str] = set()

        def note(address: str, verdict: Deny) -> None:
            if address not in told and len(told) < _DENIALS_TOLD:
                told.add(address)
                rule, reason = verdict.rule, verdict.reason
                self._record(
                    AddressDenied(
                        connection=number,
                        kind=Kind.POLICY,
                        address=address,
                        rule=rule,
                        reason=reason,
                    )
                )

        return note

    def _note_reached(self, destination: Destination) -> None:
        """Remember that a dial got through, and let those make another round that doubt it.

        Of thousands, WOKEN do: all of them at once would keep everybody else waiting. The others'
        pauses end by themselves, and each round after that is the last one all the same.
        """
        self._reached.add(destination)
        self._through += 1
        for pause in tuple(islice(self._doubtful, WOKEN)):
            pause.cancel()
            del self._doubtful[pause]

    async def _pause(self, verdict: Retry) -> None:
        """Wait before the next round, until the network changes at most.

        A dial that is in doubt whether the network is down is made again as soon as another has got
        through. That cannot become a storm of dials: if it fails as before, it is the last round.
        """
        with trio.move_on_after(verdict.pause) as pause:
            if verdict.is_doubtful:
                self._doubtful[pause] = None
            try:
                await self._network.wait()
            finally:
                self._doubtful.pop(pause, None)


def _given_up(error: DialError, verdict: GiveUp) -> DialError:
    """Return what is raised for a dial that ends with `error`."""
    if isinstance(error, DeniedError):
        return error
    return DialError(verdict.cause, verdict.kind, error.number, verdict.code)
