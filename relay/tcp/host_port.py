"""Serves a connection to the host's own loopback, and leaves nothing of it at the port inside.

A server that is started inside afterwards binds the same port. A socket of ours that ended first
would keep it for a minute, in TIME_WAIT, from one that sets no SO_REUSEADDR, socket(7).
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from relay.addresses import Destination
from relay.inbound.offer import Offer, Refusal
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.patience import DialError
from relay.policy.verdicts import Deny
from relay.tcp.acceptance import note_denial, reached, refuse, told
from relay.tcp.connection import Connection
from relay.tcp.pumping import pumped
from relay.tcp.transfer.pump import Pump

_FIRST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.25
_LIMIT: Final = 60.0
"""Seconds for a program that has ended its side and does not read; TIME_WAIT takes as long."""


@dataclass(slots=True)
class HostPortHandler:
    """Dials the host's loopback, and copies both ways."""

    destination: Destination
    _loopback: HostLoopback

    async def serve(self, connection: Connection) -> None:
        """Dial, accept, copy both ways, record; refuse what is not open."""
        offer = connection.offer
        verdict = self._loopback.judge(self.destination)
        if isinstance(verdict, Deny):
            note_denial(connection, verdict, told=told(offer, Refusal.REFUSED))
            offer.refuse(Refusal.REFUSED, f"denied: {verdict.told}")
            return
        try:
            dial = partial(self._loopback.open, self.destination, connection.number)
            opened = await reached(connection, dial)
        except DialError as error:
            refuse(connection, error)
            return
        pump = Pump(await offer.accept(), opened, number=connection.number)
        await pumped(connection, pump)
        if pump.program.ended and pump.upstream.ended:
            with trio.move_on_after(_LIMIT) as scope:
                connection.abort = scope.cancel
                await _without_time_wait(offer, pump.program.received)


async def _without_time_wait(offer: Offer, received: int) -> None:
    """End the TIME_WAIT of an offer's socket; there is no event for when that comes."""
    wait = _FIRST_WAIT
    while offer.has_time_wait(received):
        await trio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
