"""Servers inside are reached from the host: what listens there is offered at the host's loopback.

What was asked for is listened at for as long as the session lives, whoever serves it when. What
listens inside without being asked for is found by looking, for no kernel tells an ordinary user of
a listen(2): every PAUSE seconds, the one thing that the relay does while nothing happens.
"""

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import trio

from netns.process.socket_maker import SocketMaker
from relay.barrier import Record, contained, kept_running
from relay.inbound.accepting import Acceptor
from relay.publishing.connections import PublishedConnections
from relay.publishing.look import Look
from relay.publishing.offered import Offered
from relay.publishing.on_host import Asked, OnHost, open_near
from relay.publishing.sockets import Sockets
from relay.record.events import (
    Bound,
    Published,
    PublishEnded,
    PublishingBounded,
    PublishingFailed,
)
from relay.record.kinds import Kind, kind_of

PAUSE: Final = 0.4
"""Seconds between two looks at what listens."""

CHEAP: Final = 100
"""Sockets that listen, for which a look costs less than a thousandth of PAUSE."""

AGAIN: Final = 5.0
"""Seconds until the next look where the host had no descriptor or memory left for one."""

MOST: Final = 256
"""Ports that are published without being asked for, at a time."""

MOST_TOLD: Final = 1000
"""Times that a port is published of which the record tells."""


class OwnPorts(Protocol):
    """What is to know the ports of the host that lead inside again."""

    def withhold(self, port: int) -> None:
        """Take note of one."""

    def release(self, port: int) -> None:
        """Forget one."""


def look_into(diag: socket.socket, own: Sequence[socket.socket], maker: SocketMaker) -> Look:
    """Return what looks into a namespace, and passes over keepline's own sockets there."""
    return Look(Sockets(maker, diag), [os.fstat(sock.fileno()).st_ino for sock in own])


class Publishing:
    """The published ports of a session."""

    def __init__(
        self,
        look: Look,
        record: Record,
        own_ports: OwnPorts,
        *,
        asked: Sequence[Asked] = (),
        is_automatic: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take what was asked for, whose sockets on the host listen already and are another's.

        What listens is published while `is_automatic`, which may become false.
        """
        self._record = record
        self._own_ports = own_ports
        self._asked = asked
        self._is_automatic = is_automatic
        self._look = look
        self._connections = PublishedConnections(look, record, self._note_failure)
        self._offered: dict[int, Offered] = {}
        """What is published without being asked for."""
        self._places: dict[int, OnHost] = {}
        """Where a port was published before: a server that starts again is found there."""
        self._told = 0
        self._bounds_told: set[Bound] = set()
        self._failed = ""
        self._scope = trio.CancelScope()

    @property
    def note(self) -> str:
        """What is to be said when the command has ended, if what was asked for did not come."""
        if not (self._asked and self._failed):
            return ""
        return f"--publish: servers inside were not reached from the host: {self._failed}"

    @property
    def standing(self) -> int:
        """How many connections stand."""
        return self._connections.count

    async def serve(self, connections: trio.Nursery) -> None:
        """Publish until cancelled, or until finish(); after a fault, this may be called again.

        What connects is served in the nursery that is given.
        """
        with trio.CancelScope() as self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    for publication, on_host in self._asked:
                        offered = Offered(publication.port, on_host, is_asked=True)
                        self._begin(offered, nursery, connections)
                    await self._watch(nursery, connections)
            finally:
                for each in tuple(self._offered.values()):
                    self._withdraw(each)
                self._look.close()

    async def finish(self) -> None:
        """Withdraw all, and deliver what servers sent before they ended."""
        self._scope.cancel()
        await self._connections.finish()

    async def _watch(self, nursery: trio.Nursery, connections: trio.Nursery) -> None:
        """Publish what listens, and withdraw what does no more; return if it is not to be seen.

        At each look a port that is served by another socket than before stays as it is.
        """
        asked = {publication.port for publication, _on_host in self._asked}
        while self._is_automatic():
            try:
                listening = (await self._look.again()).keys() - asked
            except OSError as error:
                self._note_failure(error)
                self._look.close()
                if kind_of(error) is not Kind.RESOURCES:
                    return
                await trio.sleep(AGAIN)
                continue
            for offered in [each for port, each in self._offered.items() if port not in listening]:
                self._withdraw(offered)
            for port in sorted(listening - self._offered.keys()):
                if len(self._offered) >= MOST:
                    self._note_bound("ports", MOST)
                    break
                with contained(self._record, "published port"):
                    self._offer(port, nursery, connections)
            await trio.sleep(PAUSE * max(1.0, self._look.count / CHEAP))
        for offered in tuple(self._offered.values()):  # the rules have become tighter
            self._withdraw(offered)

    def _offer(self, port: int, nursery: trio.Nursery, connections: trio.Nursery) -> None:
        """Publish a port at the host's loopback; raises OSError."""
        on_host = open_near(port, self._places.get(port))
        self._places[port] = on_host
        self._offered[port] = offered = Offered(port, on_host)
        self._begin(offered, nursery, connections)

    def _begin(self, offered: Offered, nursery: trio.Nursery, connections: trio.Nursery) -> None:
        """Accept connections to a port."""
        on_host = offered.on_host
        self._own_ports.withhold(on_host.port)
        nursery.start_soon(self._accept, offered, connections)
        if self._told == MOST_TOLD:
            self._note_bound("events", MOST_TOLD)
            return
        self._told += 1
        offered.is_told = True
        addresses = [each.getsockname()[0] for each in on_host.sockets]
        self._record(
            Published(
                port=offered.port,
                host_port=on_host.port,
                addresses=addresses,
                asked=offered.is_asked,
                why=on_host.why,
            )
        )

    async def _accept(self, offered: Offered, connections: trio.Nursery) -> None:
        """Accept until the port is withdrawn; then close its sockets, if it was not asked for."""

        def take(client: socket.socket, _source: object) -> None:
            connections.start_soon(self._connections.serve, offered, client, connections)

        try:
            with offered.scope:
                async with trio.open_nursery() as nursery:
                    for sock in offered.on_host.sockets:
                        accept = Acceptor(sock, "a published port", self._record).serve
                        accepting = partial(accept, take)
                        nursery.start_soon(kept_running, self._record, "published port", accepting)
        finally:
            self._own_ports.release(offered.on_host.port)
            if not offered.is_asked:
                offered.on_host.close()
            if offered.is_told:
                self._record(
                    PublishEnded(
                        port=offered.port,
                        host_port=offered.on_host.port,
                        connections=offered.connections,
                        refused=offered.refused,
                    )
                )

    def _withdraw(self, offered: Offered) -> None:
        """Publish a port no more; connections that stand go on."""
        del self._offered[offered.port]
        offered.scope.cancel()

    def _note_failure(self, error: OSError) -> None:
        """Record, once, why nothing can be published."""
        cause = error.strerror or str(error)
        if cause != self._failed:
            self._failed = cause
            self._record(PublishingFailed(cause=cause, kind=kind_of(error)))

    def _note_bound(self, what: Bound, limit: int) -> None:
        """Record, once, that there is more than is published, or told."""
        if what not in self._bounds_told:
            self._bounds_told.add(what)
            self._record(PublishingBounded(what=what, limit=limit, kind=Kind.BOUND))
