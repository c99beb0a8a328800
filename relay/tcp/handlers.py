"""What serves a connection, found in one look-up: the gateway, a pump, or a refusal."""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol, assert_never

import trio

from relay.addresses import Destination, Endpoint, is_dialable, is_ipv4
from relay.inbound.offer import Refusal
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.opener import Opened, Opener
from relay.outbound.patience import RESET, DialError
from relay.policy.current import CurrentPolicy
from relay.policy.verdicts import Allow, ByAddress, Deny
from relay.record.events import Replaying
from relay.record.kinds import Kind, kind_of
from relay.tcp.acceptance import (
    accept,
    note_denial,
    note_difference,
    note_failure,
    note_name,
    reached,
    refuse,
    told,
    while_wanted,
)
from relay.tcp.connection import Connection, Handler
from relay.tcp.host_port import HostPortHandler
from relay.tcp.inner import inspected, inspection, noted
from relay.tcp.pumping import pumped
from relay.tcp.transfer.pump import Pump


class Naming(Protocol):
    """What is asked of the synthetic addresses."""

    def dialled(self, address: str, now: float) -> str | None:
        """Return the name that a synthetic address stands for."""

    def covers(self, address: str) -> bool:
        """Return whether an address is in the pool of synthetic ones."""


@dataclass
class Handlers:
    """Finds the handler of a connection."""

    _policy: CurrentPolicy
    _naming: Naming
    _opener: Opener
    _gateway: Callable[[Destination, Handler], Handler | None]
    """Asked first: it returns its handler for what it serves, None for all else. The second
    argument is the handler of what goes past it."""
    _loopback: HostLoopback | None = None
    """Serves what a program dials on loopback, where that comes to the relay."""

    @cached_property
    def _noted(self) -> "noted.Noted":
        return noted.Noted()

    def handler_for(self, dialled: Endpoint) -> Handler:
        """Return what serves a connection to the endpoint that a program has dialled."""
        address, port = dialled
        name = self._name_of(address)
        destination = Destination(name or address, port)
        pump = PumpHandler(
            destination,
            self._opener,
            self._policy.idle_retire(destination),
            self._policy if self._policy.inspects else None,
            self._noted,
        )
        handler = self._gateway(destination, pump) or pump
        loopback = self._loopback
        if handler is pump and loopback is not None and loopback.covers(address):
            return HostPortHandler(loopback.destination(dialled), loopback)
        if mistake := self._mistake_in(handler.destination):
            return RefusalHandler(handler.destination, Deny(mistake), Kind.UNDIALABLE)
        verdict = self._policy.decide(handler.destination)
        match verdict:
            case Deny():
                return RefusalHandler(handler.destination, verdict, Kind.POLICY)
            case Allow() | ByAddress():  # each address is judged when it is dialled
                return handler
            case _:
                assert_never(verdict)

    def _name_of(self, dialled: str) -> str | None:
        """Return the name that was dialled, by an address that stands for it or as it is."""
        if is_ipv4(dialled):
            return self._naming.dialled(dialled, trio.current_time())
        return None if ":" in dialled else dialled

    def _mistake_in(self, destination: Destination) -> str:
        """Return why nothing can be dialled there, whatever the rules are; empty if it can."""
        if destination.name is None:
            if self._naming.covers(destination.host):
                return "it is in dns_pool, and no name of this session has it"
            if not is_dialable(destination.host):
                return "not an address of another host"
        return ""


@dataclass(slots=True)
class RefusalHandler:
    """Refuses a connection that policy forbids, or to what cannot be dialled."""

    destination: Destination
    _denied: Deny
    _kind: Kind

    async def serve(self, connection: Connection) -> None:
        """Record and refuse it; nothing is dialled."""
        offer = connection.offer
        seen = told(offer, Refusal.PROHIBITED)
        note_denial(connection, self._denied, told=seen, kind=self._kind)
        offer.refuse(Refusal.PROHIBITED, f"denied: {self._denied.told}")


@dataclass(slots=True)
class PumpHandler:
    """Dials, and copies both ways."""

    destination: Destination
    _opener: Opener
    _retire_after: float
    """Seconds of silence after which it is closed."""
    _judge: "inspection.Judge | None" = None
    """Judges what the program asks for within the connection, if anything does."""
    _noted: "noted.Noted | None" = None

    async def serve(self, connection: Connection) -> None:
        """Dial, accept, copy both ways, record."""
        try:
            opened = await self._open(connection)
        except DialError as error:
            if error.code == RESET:  # it had been accepted there, and so it is here
                with contextlib.suppress(DialError):
                    await while_wanted(connection, partial(accept, connection.offer))
            refuse(connection, error)
            return

        pump = self._pump(connection, await connection.offer.accept(), opened)  # it is accepted
        if self._noted is not None:
            note = partial(note_name, connection)
            pump.flight.on_end = partial(self._noted.heard, self.destination, note)
        standing = connection.shared.standing.connections
        standing.add(pump)
        try:
            await pumped(connection, pump)
        finally:
            standing.discard(pump)

    def _pump(self, connection: Connection, program: socket.socket, opened: Opened) -> Pump:
        """Return what copies both ways, and judges the program's first bytes if that is asked."""
        redial = partial(self._redial, connection)
        if self._judge is None:
            number, after = connection.number, self._retire_after
            return Pump(program, opened, redial, number=number, retire_after=after)
        judged = inspection.Inspection(
            self.destination, self._judge, partial(note_difference, connection)
        )
        refused = partial(note_denial, connection)
        pump = inspected.InspectedPump(program, opened, redial, judged, refused)
        pump.number, pump.retire_after = connection.number, self._retire_after
        return pump

    async def _redial(
        self, connection: Connection, loss: OSError | None, avoid: str
    ) -> Opened | None:
        """Replace an upstream that was lost before its first byte, by another address first."""
        cause = (loss.strerror if loss is not None else None) or "closed"
        kind = kind_of(loss) if loss is not None else Kind.CLOSED
        connection.shared.record(Replaying(connection=connection.number, kind=kind, cause=cause))
        try:
            return await self._open(connection, avoid)
        except DialError as error:
            note_failure(connection, error)
            return None

    async def _open(self, connection: Connection, avoid: str = "") -> Opened:
        """Connect to upstream with patience, while the program still wants it; DialError."""

        def dial() -> Awaitable[Opened]:
            return self._opener.open(
                self.destination,
                connection.number,
                wanted=lambda: connection.offer.is_wanted,
                avoid=avoid,
            )

        return await reached(connection, dial)
