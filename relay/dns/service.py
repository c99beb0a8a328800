"""Names for one session; dnspython, 0.06 s to import, is loaded when the first question comes."""

import socket
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import trio

from netns.mounts import RESOLV_CONF
from relay.addresses import Destination, parse_pool
from relay.config import Settings, parse_nameserver
from relay.descriptors import LIMIT
from relay.dns import gate, nameserver, responder
from relay.dns.bounds import tally
from relay.dns.bounds.places import MOST
from relay.dns.lookup import evidence, resolver
from relay.dns.lookup.errors import Meaning, ResolverError
from relay.dns.synthetic import SyntheticAddresses
from relay.host.itself import host_itself
from relay.host.resolvers import HostResolvers
from relay.outbound.door import DeniedError, Own
from relay.outbound.patience import DialError
from relay.policy.policy import Policy
from relay.record.events import Event
from relay.record.kinds import Kind

DnsSockets: TypeAlias = tuple[socket.socket, socket.socket]
"""A UDP socket, with IP_PKTINFO if it has more than one address, and a TCP listener."""


class NameService:
    """The name server for the program, and the lookups of the dialer.

    The first question may be a datagram, a TCP connection, or a name to be dialled, and several may
    come while dnspython is imported. None is lost: what the program sends is not read before the
    name server is there and waits in the sockets; a dial waits until the resolver is there, which
    is set before those who wait are woken. If the session ends first, they are all cancelled.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        record: Callable[[Event], None],
        is_own: Callable[[str], bool] = lambda _address: False,
        is_left: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        """Take what the session has.

        `is_own` returns whether an address is the host's own, `is_left` whether a name is left to a
        proxy, so that nobody is asked for it.
        """
        self._is_own = is_own
        self._is_left = is_left
        self.host = host_itself(parse_pool(settings.dns_pool))
        pool = parse_pool(settings.dns_pool) if settings.dns == "synthetic" else None
        self.synthetic = SyntheticAddresses(pool)
        self._settings = settings
        self._policy = policy
        self._record = record
        self._gate: gate.Gate | None = None
        """Made once: what has left is counted for the whole session, whatever fails meanwhile."""
        self._resolver: resolver.Resolver | None = None
        self._is_wanted = trio.Event()
        self._is_ready = trio.Event()

    async def serve(self, *sockets: DnsSockets) -> None:
        """Answer the program until cancelled; after a fault, this may be called again.

        Whoever owns the sockets closes them. Without any, names are resolved for the dialer alone.
        """
        await self._first_question(sockets)
        try:
            await self._answer(sockets)
        finally:  # who looks a name up now waits for the next resolver
            self._resolver, self._is_ready = None, trio.Event()

    async def _answer(self, sockets: Sequence[DnsSockets]) -> None:
        configured = tuple(map(parse_nameserver, self._settings.nameservers))
        of_host = HostResolvers(Path(RESOLV_CONF), self._record)
        if self._gate is None:
            self._record = tally.Tally(self._record)
            self._gate = gate.Gate(self._policy, self._record)
        async with trio.open_nursery() as nursery:
            self._resolver = resolver.Resolver(
                lambda: configured or of_host(),
                self._record,
                nursery,
                evidence.ResolverTimeouts(
                    outage=self._settings.patience, options=lambda: of_host.options
                ),
                self._gate,
            )
            self._is_ready.set()
            answers = responder.Responder(
                self._resolver,
                self.synthetic,
                self._policy,
                self._record,
                self._settings.dns,
                self.host,
                is_own=self._is_own,
                is_left=self._is_left,
            )
            served = nameserver.NameServer(answers, self._record, LIMIT.share(4, MOST))
            for udp, tcp in sockets:
                nursery.start_soon(served.serve, udp, tcp)
            await trio.sleep_forever()

    async def lookup(self, destination: Destination, *, fresh: bool) -> list[str]:
        """Return the IPv4 addresses of a destination's name, at least one; raises DialError.

        The name itself was judged before, and its addresses are when they are dialled; each alias
        that its chain leads through is judged here, at each round, as it may lead elsewhere.

        `fresh` asks the resolvers even if the cache has an answer, whose addresses do not respond.
        The error is final if no outage is its reason: a name that is gone, or has no address, is
        not dialled however long the program waits, and what this host lacks is kept by all that
        wait.
        """
        if self._resolver is None:
            self._is_wanted.set()
            await self._is_ready.wait()
        assert self._resolver is not None
        try:
            found = await self._resolver.addresses(destination.host, fresh=fresh)
        except ResolverError as error:
            is_final = error.meaning in {Meaning.VERDICT, Meaning.LOCAL}
            raise DialError(error.cause, error.kind, is_final=is_final) from error
        denial = self._policy.denied_alias(found.aliases, destination.port)
        if denial and not isinstance(destination, Own):
            raise DeniedError(*denial)
        if not found.addresses:
            cause = "the name has no IPv4 address, or does not exist any more"
            raise DialError(cause, Kind.NAME_FAILURE, is_final=True)
        return list(found.addresses)

    def network_changed(self) -> None:
        """Forget what was true of the resolvers on the network before."""
        if self._resolver is not None:
            self._resolver.network_changed()

    async def _first_question(self, sockets: Sequence[DnsSockets]) -> None:
        """Wait until one of the sockets has something to read, or a name is to be dialled."""

        async def readable(sock: socket.socket) -> None:
            await trio.lowlevel.wait_readable(sock)
            self._is_wanted.set()

        async with trio.open_nursery() as nursery:
            for sock in chain.from_iterable(sockets):
                nursery.start_soon(readable, sock)
            await self._is_wanted.wait()
            nursery.cancel_scope.cancel()
