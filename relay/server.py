"""The relay of one session: ways in, ways out, name server and flight log in one nursery."""

import resource
import socket
from collections.abc import Callable
from typing import Final

import trio

from netns.handoff import Listeners
from relay.addresses import Destination
from relay.config import Settings
from relay.dns.service import NameService
from relay.gateway import gateway
from relay.gateway.setup.prepare import Prepared
from relay.host.network import NetworkWatch, watch
from relay.host.suspend import SuspendDetector, time_suspended
from relay.inbound.held import SynHolder
from relay.inbound.listener import Listener
from relay.inbound.offer import Inbound
from relay.inbound.socket_table import SocketTable
from relay.outbound.dialer import Dialer
from relay.outbound.keepalive import KeepAlive
from relay.outbound.opener import Opener
from relay.outbound.standing import Standing
from relay.record.events import Event
from relay.record.flightlog import FlightLog
from relay.tcp.connection import Connections, Handler
from relay.tcp.handlers import Handlers
from relay.tcp.watch.liveness import Liveness

_DRAIN: Final = 10.0
"""Seconds after the command's end for what it sent last to be delivered."""

_DNS_BUFFER: Final = 1 << 20
"""Bytes of waiting questions, if net.core.rmem_max allows: a lost one costs the program 30 s."""

_FLUSH_AFTER: Final = 0.2
"""Seconds for which events are gathered before they are written."""


class Relay:
    """What relays for one session, in one nursery."""

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        record: Callable[[Event], None],
        prepared: Prepared | None,
        nursery: trio.Nursery,
    ) -> None:
        """Make all of it; start() runs it. `prepared` is the gateway's, None if it is off."""
        policy = settings.policy()
        self.standing = Standing()
        self._listeners = listeners
        self._nursery = nursery
        self._names = NameService(settings, policy, record)
        network, keepalive = NetworkWatch(), _keepalive(settings)
        opener = Opener(
            Dialer(self._names.lookup, keepalive),
            network,
            self.standing,
            record,
            patience=settings.patience,
        )
        served = _gateway(prepared, opener, record, nursery)
        handlers = Handlers(policy, self._names.synthetic, opener, served)
        programs = SocketTable(listeners.diag)
        self._connections = Connections(
            handlers.handler_for, self.standing, record, nursery, programs
        )
        self._inbound = _ways_in(listeners, programs)
        self._network = network
        self._liveness = Liveness(
            self.standing.connections, keepalive, network, record, SuspendDetector(time_suspended)
        )

    def start(self) -> None:
        """Start all tasks; they run until the nursery is cancelled."""
        _allow_descriptors()
        udp, tcp = self._listeners.dns_udp, self._listeners.dns_tcp
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DNS_BUFFER)
        self._nursery.start_soon(watch, self._network_changed)
        self._nursery.start_soon(self._liveness.watch)
        self._nursery.start_soon(self._names.serve, udp, tcp)
        for each in self._inbound:
            self._nursery.start_soon(each.serve, self._connections.start)

    def _network_changed(self, addresses: frozenset[str]) -> None:
        """Act on a change of the network below, where the host has these `addresses` now."""
        self.standing.drop_vanished(addresses)
        self._liveness.network_changed()
        self._network.notify()

    async def finish(self) -> None:
        """Relay what the command sent last before it ended, for a bounded time."""
        for each in self._inbound:
            each.take_waiting(self._connections.start)
        with trio.move_on_after(_DRAIN):
            await self._connections.finish()


def _ways_in(listeners: Listeners, programs: SocketTable) -> list[Inbound]:
    """Return what offers connections: each listener, the first one behind held SYNs if possible."""
    first, *others = (Listener(sock, listeners.intercept) for sock in listeners.tcp)
    syns = listeners.syns
    return [first if syns is None else SynHolder(syns, first, programs), *others]


def _gateway(
    prepared: Prepared | None,
    opener: Opener,
    record: Callable[[Event], None],
    nursery: trio.Nursery,
) -> Callable[[Destination], Handler | None]:
    """Return the look-up of the session's gateway, which finds nothing where it is off."""
    if prepared is None:
        return lambda _destination: None
    return gateway.Gateway(prepared, opener, record, nursery).handler_at


def _keepalive(settings: Settings) -> KeepAlive:
    return KeepAlive(
        idle=settings.keepidle,
        interval=settings.keepintvl,
        count=settings.keepcnt,
        user_timeout=settings.user_timeout,
        rto_max=settings.rto_max,
    )


def _allow_descriptors() -> None:
    """Take as many descriptors as may be had: a connection needs two, its program one.

    The command was started before and keeps its own limit.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def write_log(log: FlightLog) -> None:
    """Write events in batches, soon after the first of each; no timer runs while none come.

    The event is made anew between the end of one wait and the sleep: what is recorded during the
    sleep sets the new one, so that at worst an empty batch is written and none is forgotten.
    """
    woken = trio.Event()

    def wake() -> None:
        woken.set()

    log.wake = wake
    while True:
        await woken.wait()
        woken = trio.Event()
        await trio.sleep(_FLUSH_AFTER)
        log.flush()
