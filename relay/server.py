"""The relay of one session: ways in, ways out, name server and flight log in one nursery."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from netns.process.socket_maker import SocketMaker
from relay.addresses import Destination, parse_pool
from relay.auto_ports.editors import Editors
from relay.auto_ports.setup import EditorFolders
from relay.barrier import Record, contained, kept_running
from relay.config import Settings, Sources, way_out
from relay.config.publishing import AUTO, OFF, ON
from relay.config.tightening import Tightening
from relay.descriptors import LIMIT, SPARE
from relay.dns.service import NameService
from relay.gateway import gateway
from relay.gateway.setup.prepare import Prepared, Without
from relay.gateway.unused import PAST_BASE_URL, Unused
from relay.host.interfaces import is_shown
from relay.host.network import NetworkWatch, watch
from relay.host.suspend import SuspendDetector, time_suspended
from relay.inbound.socket_table import SocketTable
from relay.outbound.dialer import Dialer, Dials
from relay.outbound.door import Door
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.keepalive import KeepAlive
from relay.outbound.opener import Opener
from relay.outbound.proxied import bridges, dialer, proxies, renewal
from relay.outbound.standing import Standing, drop_vanished
from relay.policy.current import CurrentPolicy
from relay.policy.host_ports import HostPorts
from relay.publishing import on_host, publishing
from relay.record.events import Event
from relay.tcp.connection import Connections, Handler
from relay.tcp.handlers import Handlers
from relay.tcp.transfer import urgent
from relay.tcp.watch.liveness import Liveness
from relay.ways_in import WaysIn

_FIRST_LOOK: Final = 0.1
"""Seconds until the first look at what listens inside."""

_DNS_BUFFER: Final = 1 << 20
"""Bytes of waiting questions, if net.core.rmem_max allows: a lost one costs the program 30 s."""


@dataclass(eq=False)
class Relay:
    """What relays for one session: it may be started again, and keeps names and numbers."""

    settings: Settings
    ways_in: WaysIn
    record: Record
    prepared: Prepared | Without
    """The gateway's, or why there is none."""
    sources: Sources = field(default_factory=Sources)
    """Of the settings: their files are watched, if it is known where they are."""
    host_ports: HostPorts = field(default_factory=HostPorts)
    """Which ports of the host's loopback are open; the namespace has been told."""
    way_out: "way_out.WayOut | None" = None
    """Through a proxy; None: it is direct."""
    editors: EditorFolders = field(default_factory=EditorFolders)
    """Where editors say that they serve: their ports are opened, and closed."""
    publishing: "publishing.Publishing | None" = None
    """Servers inside that are reached from the host, once it has begun."""
    _published: "tuple[SocketMaker, Sequence[on_host.Asked], str] | None" = None
    standing: Standing = field(default_factory=Standing)
    _running: "_Running | None" = None
    _begun: trio.Event = field(default_factory=trio.Event)
    """Set once serve() has made its parts, or has failed to."""

    def __post_init__(self) -> None:
        """Make what outlives a fault."""
        self.policy = CurrentPolicy(self.settings.policy())
        self.editors.trust(self.ways_in.read_only)
        self.tightening = Tightening(self.sources, self.policy, self.record, self.host_ports)
        self.host_ports.changed = self._host_ports_changed
        self.names = NameService(
            self.settings, self.policy, self.record, self._is_own, self._is_left
        )

    def _host_ports_changed(self) -> None:
        """Have the namespace's kernel hand over connections to the ports that are open now."""
        with contained(self.record, "ports of the host"):
            self.ways_in.open_host_ports(self.host_ports.spans())

    def publish(self, maker: SocketMaker, asked: "Sequence[on_host.Asked]") -> None:
        """Have servers inside be reached, by sockets of the maker, as the settings say.

        What was asked for listens already, and is closed by its owner. To be called before serve().
        """
        mode = self.settings.published().mode
        if maker.is_there and (mode != OFF or asked):
            self._published = maker, asked, mode
        else:
            maker.stop()

    async def serve_published(self, nursery: trio.Nursery) -> None:
        """Publish until cancelled; most commands that end at once have no part of it loaded."""
        diag = self.ways_in.diag
        if self._published is None or diag is None:
            return
        maker, asked, mode = self._published
        if self.publishing is None:
            if not asked:
                await trio.sleep(_FIRST_LOOK)
            self.publishing = publishing.Publishing(
                publishing.look_into(diag, self.ways_in.own, maker),
                self.record,
                self.host_ports,
                asked=asked,
                is_automatic=partial(self._publishes_by_itself, mode),
            )
        await self.publishing.serve(nursery)

    def _publishes_by_itself(self, mode: str) -> bool:
        """Return whether what listens inside is published without being asked for."""
        may = mode == ON or (mode == AUTO and not self.policy.is_allowlist)
        return may and self.tightening.may_publish

    def _is_own(self, address: str) -> bool:
        """Return whether an address is the host's own, and no rule speaks of names.

        Its name is then answered with it. A rule about the name would not hold for the address.
        """
        own = self.ways_in.host_addresses
        return own is not None and not self.policy.has_names and address in own

    def _is_left(self, name: str) -> bool:
        """Return whether a name is a proxy's to resolve."""
        return self.way_out is not None and self.way_out.is_left(name)

    async def serve(self) -> None:
        """Relay until cancelled; after a fault, this may be called again."""
        try:
            async with trio.open_nursery() as nursery:
                self._running = _Running(self, nursery)
                self._running.start()
                self._begun.set()
        finally:
            self._running = None
            self._begun.set()

    def live(self) -> int:
        """Return how many connections of programs live, pending ones too."""
        return len(self._running.connections) if self._running is not None else 0

    async def finish(self) -> None:
        """Relay what the command sent last before it ended, as long as it moves.

        A command may have ended before the relay's task has run at all.
        """
        await self._begun.wait()
        if self._running is not None:
            await self._running.finish()


class _Running:
    """The parts of a relay, in one nursery.

    A fault ends what it hits, barrier.py; each of the services here is started again after one.
    """

    def __init__(self, relay: Relay, nursery: trio.Nursery) -> None:
        """Make all of it; start() runs it."""
        LIMIT.raise_to_hard()
        settings, standing, record = relay.settings, relay.standing, relay.record
        self._ways_in = relay.ways_in
        self._record = record
        self._nursery = nursery
        self._names = relay.names
        self._bridges: bridges.Bridges | None = None
        self._standing = standing
        self._tightening = relay.tightening
        self._editors = [Editors(each, relay.host_ports, record) for each in relay.editors.opened]
        self._relay = relay
        network, keepalive, door = NetworkWatch(), KeepAlive.of(settings), Door(relay.policy)
        opener = Opener(
            self._dials(relay, keepalive, door),
            network,
            standing,
            record,
            patience=settings.patience,
        )
        served = _gateway(relay.prepared, opener, record, nursery, relay.policy)
        loopback = HostLoopback(relay.names.host, relay.host_ports, relay.policy, record)
        handlers = Handlers(relay.policy, relay.names.synthetic, opener, served, loopback)
        diag = relay.ways_in.diag
        programs = SocketTable(diag) if diag is not None else None
        self.connections = Connections(handlers.handler_for, standing, record, nursery, programs)
        relay.names.synthetic.live = self.connections.dialled
        self._inbound = relay.ways_in.make(programs, record, loopback)
        self._network = network
        self._pool = parse_pool(settings.dns_pool)
        self._liveness = Liveness(
            standing.connections, keepalive, network, record, SuspendDetector(time_suspended), door
        )

    def _dials(self, relay: Relay, keepalive: KeepAlive, door: Door) -> Dials:
        """Return what dials: directly, or through the session's proxies."""
        direct = Dialer(relay.names.lookup, keepalive, door)
        out = relay.way_out
        if out is None:
            return direct
        own = Dialer(proxies.resolving(out.known, relay.names.lookup), keepalive, door)
        resolve = relay.names.lookup if out.resolves_here else None
        self._bridges = bridges.Bridges(self._nursery, self._record)
        credentials = renewal.Renewal(out.command, out.why_once)
        by = proxies.Proxies(own, self._bridges, credentials, out.context)
        return dialer.ProxiedDialer(out.routes, direct, by, door, resolve)

    def start(self) -> None:
        """Start all services; they run until the nursery is cancelled."""
        dns = self._ways_in.dns
        with contained(self._record, "limits"):
            SPARE.keep()
            for udp, _tcp in dns:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DNS_BUFFER)
        with contained(self._record, "urgent data"):
            urgent.listen()
        self._run("watch of the network", self._watch_network)
        self._run("watch of connections", self._liveness.watch)
        if self._tightening.is_possible:
            self._run("watch of the settings", self._tightening.watch)
        for editors in self._editors:
            self._run("watch of editors", editors.watch)
        self._run("name server", partial(self._names.serve, *dns))
        for each in self._inbound:
            self._run("listener", partial(each.serve, self.connections.start))
        self._run("published ports", partial(self._relay.serve_published, self._nursery))

    def _run(self, where: str, service: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(kept_running, self._record, where, service)

    async def _watch_network(self) -> None:
        """Watch, and begin with a look: a change since the namespace was planned was not seen."""
        await watch(self._network_changed, self._record, again=True)

    def _network_changed(self, addresses: frozenset[str]) -> None:
        """Act on a change of the network below, where the host has these `addresses` now."""
        for each in tuple(self._standing.connections):
            with contained(self._record, "network change", each.number):
                drop_vanished(each, addresses)
        with contained(self._record, "network change"):
            self._liveness.network_changed()
        with contained(self._record, "network change"):
            self._names.network_changed()
        if (own := self._ways_in.host_addresses) is not None:
            with contained(self._record, "network change"):
                own.replace(each for each in addresses if is_shown(each, self._pool))
        self._network.notify()

    async def finish(self) -> None:
        """Relay what the command sent last before it ended, as long as it moves."""
        for each in self._inbound:
            with contained(self._record, "end"):
                each.take_waiting(self.connections.start)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._finish, self.connections.finish)
            if self._relay.publishing is not None:
                nursery.start_soon(self._finish, self._relay.publishing.finish)
        if self._bridges is not None:
            await self._finish(self._bridges.finish)

    async def _finish(self, finish: Callable[[], Awaitable[None]]) -> None:
        with contained(self._record, "end"):
            await finish()


def _gateway(
    prepared: Prepared | Without,
    opener: Opener,
    record: Callable[[Event], None],
    nursery: trio.Nursery,
    policy: CurrentPolicy,
) -> Callable[[Destination, Handler], Handler | None]:
    """Return the look-up of the session's gateway, which finds nothing where it is off."""
    if isinstance(prepared, Without):
        return Unused(record, prepared.why, by_choice=prepared.by_choice).handler_at
    served = gateway.Gateway(prepared, opener, record, nursery, policy=policy)
    if prepared.chosen.mode == "tls":
        return served.handler_at
    return Unused(record, PAST_BASE_URL, served=served.handler_at).handler_at
