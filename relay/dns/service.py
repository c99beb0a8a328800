"""Names for one session; dnspython, 0.06 s to import, is loaded when the first question comes."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from netns.mounts import RESOLV_CONF
from relay.addresses import is_dialable
from relay.config import Settings, nameserver
from relay.dns.synthetic import Names
from relay.outbound.dialer import DialError
from relay.policy.rules import Policy
from relay.record.events import Event

if TYPE_CHECKING:
    from relay.dns.lookup.resolver import Resolver


class NameService:
    """The name server towards the program, and the lookups of the dialer."""

    def __init__(self, settings: Settings, policy: Policy, record: Callable[[Event], None]) -> None:
        """Keep what serve() needs."""
        self.names = Names()
        self._settings = settings
        self._policy = policy
        self._record = record
        self._resolver: Resolver | None = None
        self._wanted = trio.Event()
        self._is_ready = trio.Event()

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer the program until cancelled; both sockets belong to the service from here on."""
        await self._first_question(udp, tcp)
        from relay.dns.lookup.question import Server  # noqa: PLC0415
        from relay.dns.lookup.resolver import DEFAULT_PATIENCE, Patience, Resolver  # noqa: PLC0415
        from relay.dns.nameserver import NameServer  # noqa: PLC0415
        from relay.dns.responder import Responder  # noqa: PLC0415
        from relay.host.resolvers import HostResolvers  # noqa: PLC0415

        own = tuple(Server(*nameserver(text)) for text in self._settings.nameservers)
        limit = self._settings.patience
        patience = Patience(outage=limit, failing=min(DEFAULT_PATIENCE.failing, limit))
        of_host = HostResolvers(Path(RESOLV_CONF), self._record)
        async with trio.open_nursery() as nursery:
            self._resolver = Resolver(
                lambda: own or of_host(), self._record, nursery, patience=patience
            )
            self._is_ready.set()
            responder = Responder(
                self._resolver,
                self.names,
                allow=self._policy.denied_name,
                record=self._record,
                mode=self._settings.dns,
            )
            await NameServer(udp, tcp, responder).serve()

    async def lookup(self, name: str, *, fresh: bool) -> list[str]:
        """Give the IPv4 addresses of a name that may be dialled; raises DialError.

        `fresh` asks the resolvers even if the cache knows: the addresses it gave do not answer.
        """
        if self._resolver is None:
            self._wanted.set()
            await self._is_ready.wait()
        assert self._resolver is not None
        from relay.dns.lookup.resolver import ResolverError  # noqa: PLC0415 - loaded by now

        try:
            addresses = await self._resolver.ipv4_addresses(name, fresh=fresh)
        except ResolverError as error:
            raise DialError(error.cause, error.kind) from error
        return list(filter(is_dialable, addresses))

    async def _first_question(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Wait until either socket has something to read, or a name is to be dialled."""

        async def readable(sock: socket.socket) -> None:
            await trio.lowlevel.wait_readable(sock)
            self._wanted.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(readable, udp)
            nursery.start_soon(readable, tcp)
            await self._wanted.wait()
            nursery.cancel_scope.cancel()
