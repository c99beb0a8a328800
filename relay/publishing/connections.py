"""Connections from the host to servers inside: reached, copied both ways, and ended."""

import socket
from collections.abc import Callable
from typing import Final

import trio

from relay import sockets
from relay.addresses import Destination
from relay.barrier import Record, contained
from relay.outbound.opener import Opened
from relay.publishing.look import Look
from relay.publishing.offered import Offered
from relay.sockets import ENDED_BY_PEER, resets_on_close, state
from relay.tcp.connection import LOOK, STALL
from relay.tcp.transfer import losses
from relay.tcp.transfer.pump import Pump

_FIRST_LOOK: Final = 0.005
"""Seconds; each wait for last words is twice as long, up to LOOK."""


class PublishedConnections:
    """The connections to published ports that stand."""

    def __init__(self, look: Look, record: Record, failed: Callable[[OSError], None]) -> None:
        """Take what finds servers; `failed` is called where it, or a socket, cannot be had."""
        self._look = look
        self._record = record
        self._failed = failed
        self._pumps: set[Pump] = set()

    @property
    def count(self) -> int:
        """How many stand."""
        return len(self._pumps)

    async def serve(self, offered: Offered, client: socket.socket, nursery: trio.Nursery) -> None:
        """Join a client on the host with its server inside, to the end of both.

        The nursery is that of all connections, which a fault of what accepts them does not end.
        """
        with contained(self._record, "published connection", saw="a reset"), client:
            server = None
            try:
                server = await self._reach(offered.port, client)
            finally:
                if server is None:
                    resets_on_close(client)
            if server is None:
                offered.refused += 1
                return
            offered.connections += 1
            pump = Pump(client, server)
            self._pumps.add(pump)
            try:
                await pump.run(nursery)
            finally:
                self._pumps.discard(pump)

    async def _reach(self, port: int, client: socket.socket) -> Opened | None:
        """Connect to the server of a port; None if there is none, or none that takes it."""
        ipv6 = client.family == socket.AF_INET6
        try:
            address = await self._look.address(port, ipv6=ipv6)
            sock = await self._look.sockets.connecting(ipv6=":" in address) if address else None
        except OSError as error:
            self._failed(error)
            return None
        if sock is None:
            return None
        try:
            number = await sockets.connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        if number:
            sock.close()
            return None
        return Opened(sock, (address, port), Destination(address, port))

    async def finish(self) -> None:
        """Deliver what servers sent before they ended, as long as it moves, and STALL seconds more.

        A server that goes on, left behind by the command, is cut off, as all that is left behind.
        """
        for pump in tuple(self._pumps):
            if pump.upstream.is_open and state(pump.upstream.sock) not in ENDED_BY_PEER:
                pump.abort()
        moved, since, pause = self._delivered(), trio.current_time(), _FIRST_LOOK
        while self._pumps and trio.current_time() - since < STALL:
            for pump in tuple(self._pumps):
                if pump.upstream.ended:  # all of it, and the FIN, are the kernel's to deliver
                    pump.stop()
            await trio.sleep(pause)
            pause = min(2 * pause, LOOK)
            now = self._delivered()
            if now != moved:
                moved, since = now, trio.current_time()
        for pump in tuple(self._pumps):
            pump.abort()

    def _delivered(self) -> int:
        """Return how many bytes their clients have acknowledged."""
        count = 0
        for pump in self._pumps:
            with contained(self._record, "end"):
                waiting = losses.unacknowledged(pump.program.sock) if pump.program.is_open else 0
                count += pump.upstream.received - waiting
        return count
