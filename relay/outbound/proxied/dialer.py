"""One round of dialling through a proxy: it is dialled, and asked for the destination.

The proxy itself is the relay's own destination, which policy does not judge. What is asked of it
is: a destination that is an address as ever, and a name by the rules for names alone, since what it
resolves to is the proxy's to find out.
"""

import errno
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.addresses import Destination
from relay.outbound.dialer import Denied, Dials, Reached, Resolve
from relay.outbound.door import DeniedError, Door, Own
from relay.outbound.patience import DialError, verdict_of
from relay.outbound.proxied import dialogue, socks, tunnel
from relay.outbound.proxied.answers import Answer, Through, failure_of
from relay.policy.verdicts import Deny
from relay.proxies.routes import Routes
from relay.proxies.url import Proxy
from relay.record.kinds import Kind, kind_of

ANSWER: Final = 60.0
"""Seconds for a proxy's answer: squid dials for as long before it says that nobody answers."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

_OF_THE_WEB: Final = frozenset({80, 443})


@dataclass(eq=False)
class ProxiedDialer:
    """Dials for all connections of a session, through its proxies or directly."""

    _routes: Routes
    _direct: Dials
    _own: Dials
    """Dials the proxies."""
    _door: Door
    _resolve: Resolve | None = None
    """Resolves names here, if they are not left to the proxies."""
    _seen: set[Destination] = field(default_factory=set)
    """Proxies that were reached in this session."""

    async def dial(
        self,
        destination: Destination,
        deadline: float,
        *,
        fresh: bool,
        avoid: str = "",
        denied: Denied = lambda _address, _verdict: None,
    ) -> Reached:
        """Reach a destination, as Dialer.dial() does; raises the same."""
        proxy = self._routes.proxy_for(destination)
        if proxy is None:
            return await self._direct.dial(
                destination, deadline, fresh=fresh, avoid=avoid, denied=denied
            )
        targets = await self._targets(destination, fresh=fresh, denied=denied)
        try:
            return await self._reach_one(proxy, targets, deadline, fresh=fresh)
        except DialError as error:
            if error.kind is not Kind.PROXY_DENIED or not self._may_pass(destination):
                raise
            try:
                return await self._direct.dial(
                    destination, deadline, fresh=fresh, avoid=avoid, denied=denied
                )
            except DialError:
                raise error from None

    async def _targets(
        self, destination: Destination, *, fresh: bool, denied: Denied
    ) -> list[Destination]:
        """Return what the proxy is asked for, one after the other; raises DialError.

        A name as it is; where names are resolved here, each of its addresses that may be dialled.
        """
        if destination.name is not None and self._resolve is not None:
            found = await self._resolve(destination, fresh=fresh)
            port, addresses = destination.port, self._door.among(destination, found, denied)
            return [Destination(address, port) for address in addresses]
        verdict = self._door.judge_unresolved(destination)
        if isinstance(verdict, Deny):
            raise DeniedError(verdict, "")
        return [destination]

    async def _reach_one(
        self, proxy: Proxy, targets: Sequence[Destination], deadline: float, *, fresh: bool
    ) -> Reached:
        """Reach the first of the targets that can be reached, at least one; raises DialError."""
        failures: list[DialError] = []
        for target in targets:
            try:
                return await self._through(proxy, target, deadline, fresh=fresh)
            except DialError as error:
                failures.append(error)
        raise verdict_of(failures)

    def _may_pass(self, destination: Destination) -> bool:
        """Return whether what a proxy denies is dialled directly.

        Variables name a proxy for programs that speak HTTP; others go past it without keepline, to
        a database of the company's for example.
        """
        return self._routes.is_from_variables and destination.port not in _OF_THE_WEB

    async def _through(
        self, proxy: Proxy, destination: Destination, deadline: float, *, fresh: bool
    ) -> Reached:
        if destination.name is not None and not _NAME.fullmatch(destination.host):
            cause = "the name has characters that no proxy takes"
            raise DialError(cause, Kind.NAME_FAILURE, is_final=True)
        own = Own(*proxy.destination)
        try:
            reached = await self._own.dial(own, deadline, fresh=fresh)
        except DialError as error:
            raise self._unreached(proxy, error) from None
        self._seen.add(own)
        try:
            limit = min(ANSWER, max(deadline - trio.current_time(), 0.0))
            answer = await self._asked(reached.sock, proxy, destination, limit)
            if not isinstance(answer, Through):
                raise failure_of(answer)  # noqa: TRY301 - the socket is closed for it too
        except BaseException:
            reached.sock.close()
            raise
        return Reached(reached.sock, reached.address, own)

    def _unreached(self, proxy: Proxy, error: DialError) -> DialError:
        """Return the failure to reach a proxy: one that was there before is only away for a while.

        Its refusal is none of the destination's.
        """
        cause = f"{proxy}: {error.cause}"
        if error.is_refusal and proxy.destination in self._seen:
            return DialError(cause, error.kind)
        return DialError(cause, error.kind, error.number, error.code, is_final=error.is_final)

    async def _asked(
        self, sock: socket.socket, proxy: Proxy, destination: Destination, limit: float
    ) -> Answer:
        """Ask the proxy for a destination, for `limit` seconds; raises DialError."""
        with trio.move_on_after(limit):
            try:
                if proxy.scheme == "socks5":
                    return await socks.ask(sock, proxy, destination)
                asked = dialogue.Dialogue(destination, proxy.credentials)
                return await tunnel.ask(sock, asked)
            except OSError as error:
                number, cause = error.errno or 0, error.strerror or str(error)
                raise DialError(f"{proxy}: {cause}", kind_of(error), number) from error
        raise DialError(f"{proxy} does not answer", Kind.TIMEOUT, errno.ETIMEDOUT)


def resolving(known: Mapping[str, str], resolve: Resolve) -> Resolve:
    """Return what resolves the names of proxies; those that are `known` are not asked for."""

    async def resolve_own(destination: Destination, *, fresh: bool) -> list[str]:
        address = known.get(destination.host)
        return [address] if address is not None else await resolve(destination, fresh=fresh)

    return resolve_own
