"""One round of dialling: through a proxy, which is asked for the destination, or directly.

The proxy itself is the relay's own destination, which policy does not judge. What is asked of it
is: a destination that is an address as ever, and a name by the rules for names alone, since what it
resolves to is the proxy's to find out.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.addresses import Destination, is_ipv4, numbers_and_dots
from relay.outbound.dialer import ATTEMPT, Denied, Dials, Reached, Resolve
from relay.outbound.door import DeniedError, Door
from relay.outbound.patience import DialError, verdict_of
from relay.outbound.proxied.proxies import Proxies
from relay.policy.verdicts import Deny
from relay.proxies.routes import HTTP_PORT, Routes
from relay.proxies.url import Proxy
from relay.record.kinds import Kind

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

_OF_THE_WEB: Final = frozenset({80, 443})
_PASSED: Final = frozenset({Kind.PROXY_DENIED, Kind.PROXY_FAILED, Kind.NAME_FAILURE})


@dataclass(eq=False)
class ProxiedDialer:
    """Dials for all connections of a session, through its proxies or directly."""

    _routes: Routes
    _direct: Dials
    _proxies: Proxies
    _door: Door
    _resolve: Resolve | None = None
    """Resolves names here, if they are not left to the proxies."""
    _forwarding: set[Proxy] = field(default_factory=set)
    """Proxies that do not allow CONNECT to port 80."""

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
        forwards = destination.port == HTTP_PORT and proxy.scheme != "socks5"
        if forwards and proxy in self._forwarding:
            return await self._proxies.forward(proxy, targets[0], deadline, fresh=fresh)
        try:
            return await self._reach_one(proxy, targets, deadline, fresh=fresh)
        except DialError as error:
            if error.kind is Kind.PROXY_DENIED and forwards:
                self._forwarding.add(proxy)
                return await self._proxies.forward(proxy, targets[0], deadline, fresh=fresh)
            if not self._may_pass(error, destination):
                raise
            with trio.move_on_after(ATTEMPT), contextlib.suppress(DialError):
                return await self._direct.dial(
                    destination, deadline, fresh=fresh, avoid=avoid, denied=denied
                )
            raise

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
        host = destination.host
        is_name = _NAME.fullmatch(host) is not None and numbers_and_dots(host) is None
        if not (is_name or is_ipv4(host)):  # 127.1 would be an address to the proxy
            cause = "the name has characters that no proxy takes, or is a number"
            raise DialError(cause, Kind.NAME_FAILURE, is_final=True)
        return [destination]

    async def _reach_one(
        self, proxy: Proxy, targets: Sequence[Destination], deadline: float, *, fresh: bool
    ) -> Reached:
        """Reach the first of the targets that can be reached, at least one; raises DialError."""
        failures: list[DialError] = []
        for target in targets:
            try:
                return await self._proxies.tunnel(proxy, target, deadline, fresh=fresh)
            except DialError as error:
                failures.append(error)
        raise verdict_of(failures)

    def _may_pass(self, error: DialError, destination: Destination) -> bool:
        """Return whether what a proxy denies, or does not find, is dialled directly.

        Variables name a proxy for programs that speak HTTP; others go past it without keepline, to
        a database of the company's for example.
        """
        is_of_web = destination.port in _OF_THE_WEB
        return self._routes.is_from_variables and not is_of_web and error.kind in _PASSED
