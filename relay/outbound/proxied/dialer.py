"""One round of dialling through a proxy: it is dialled, and asked for the destination.

The proxy itself is the relay's own destination, which policy does not judge. What is asked of it
is: a destination that is an address as ever, and a name by the rules for names alone, since what it
resolves to is the proxy's to find out.
"""

import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from relay.addresses import Destination, is_ipv4, numbers_and_dots
from relay.outbound.dialer import ATTEMPT, Denied, Dials, Reached, Resolve
from relay.outbound.door import DeniedError, Door, Own
from relay.outbound.patience import DialError, verdict_of
from relay.outbound.proxied import bridges, dialogue, forwarding, secured, socks, tunnel
from relay.outbound.proxied.answers import Answer, Cut, Through, failure_of
from relay.policy.verdicts import Deny
from relay.proxies.routes import HTTP_PORT, Routes
from relay.proxies.url import Proxy
from relay.record.kinds import Kind, kind_of

ANSWER: Final = 60.0
"""Seconds for a proxy's answer: squid dials for as long before it says that nobody answers."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

_OF_THE_WEB: Final = frozenset({80, 443})
_PASSED: Final = frozenset({Kind.PROXY_DENIED, Kind.PROXY_FAILED, Kind.NAME_FAILURE})


@dataclass(eq=False)
class ProxiedDialer:
    """Dials for all connections of a session, through its proxies or directly."""

    _routes: Routes
    _direct: Dials
    _own: Dials
    """Dials the proxies."""
    _door: Door
    _bridges: "bridges.Bridges"
    context: "ssl.SSLContext | None" = None
    """For TLS with proxies; there is one if any is `https`."""
    resolve: Resolve | None = None
    """Resolves names here, if they are not left to the proxies."""
    _seen: set[Destination] = field(default_factory=set)
    """Proxies that were reached in this session."""
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
            return await self._forwarded(proxy, targets[0], deadline, fresh=fresh)
        try:
            return await self._reach_one(proxy, targets, deadline, fresh=fresh)
        except DialError as error:
            if error.kind is Kind.PROXY_DENIED and forwards:
                self._forwarding.add(proxy)
                return await self._forwarded(proxy, targets[0], deadline, fresh=fresh)
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
        if destination.name is not None and self.resolve is not None:
            found = await self.resolve(destination, fresh=fresh)
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
                return await self._through(proxy, target, deadline, fresh=fresh)
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

    async def _forwarded(
        self, proxy: Proxy, target: Destination, deadline: float, *, fresh: bool
    ) -> Reached:
        """Reach a proxy that forwards a request of plain HTTP; raises DialError."""
        reached = await self._proxy(proxy, deadline, fresh=fresh)
        request = forwarding.Forwarding(target, proxy.credentials)
        try:
            with _limited(proxy, deadline):
                stream = await self._stream(reached.sock, proxy)
        except BaseException:
            reached.sock.close()
            raise
        return await self._bridged(reached, partial(bridges.forward, stream, request))

    async def _stream(self, sock: socket.socket, proxy: Proxy) -> trio.abc.Stream:
        """Return what the proxy reads; raises DialError."""
        if proxy.scheme == "https":
            return await secured.handshake(sock, proxy, self.context)
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    async def _bridged(self, reached: Reached, join: "bridges.Join") -> Reached:
        """Return a socket that leads over a bridge, to whose task the proxy's is given."""
        try:
            near = await self._bridges.to(join)
        except BaseException as error:
            reached.sock.close()
            if isinstance(error, OSError):
                raise DialError(str(error), kind_of(error), error.errno or 0) from error
            raise
        return reached._replace(sock=near, carrier=reached.sock)

    async def _through(
        self, proxy: Proxy, destination: Destination, deadline: float, *, fresh: bool
    ) -> Reached:
        reached = await self._proxy(proxy, deadline, fresh=fresh)
        try:
            with _limited(proxy, deadline):
                answer, join = await self._asked(reached.sock, proxy, destination)
            if not isinstance(answer, Through):
                raise failure_of(answer)  # noqa: TRY301 - the socket is closed for it too
        except BaseException:
            reached.sock.close()
            raise
        return reached if join is None else await self._bridged(reached, join)

    async def _proxy(self, proxy: Proxy, deadline: float, *, fresh: bool) -> Reached:
        """Reach the proxy itself; raises DialError."""
        own = Own(*proxy.destination)
        try:
            reached = await self._own.dial(own, deadline, fresh=fresh)
        except DialError as error:
            raise self._unreached(proxy, error) from None
        self._seen.add(own)
        return reached._replace(proxy=own)

    def _unreached(self, proxy: Proxy, error: DialError) -> DialError:
        """Return the failure to reach a proxy: one that was there before is only away for a while.

        Its refusal is none of the destination's.
        """
        cause = f"{proxy}: {error.cause}"
        if error.is_refusal and proxy.destination in self._seen:
            return DialError(cause, error.kind)
        return DialError(cause, error.kind, error.number, error.code, is_final=error.is_final)

    async def _asked(
        self, sock: socket.socket, proxy: Proxy, destination: Destination
    ) -> "tuple[Answer, bridges.Join | None]":
        """Ask the proxy for a destination, and return what serves a bridge to it if it needs one.

        Raises DialError.
        """
        try:
            if proxy.scheme == "socks5":
                return await socks.ask(sock, proxy, destination), None
            asked = dialogue.Dialogue(destination, proxy.credentials)
            if proxy.scheme == "http":
                return await tunnel.ask(sock, asked), None
            stream = await secured.handshake(sock, proxy, self.context)
            answer, first = await secured.ask(stream, asked)
            return answer, partial(secured.join, stream, first)
        except trio.BrokenResourceError:
            return Cut(), None
        except OSError as error:
            number, cause = error.errno or 0, error.strerror or str(error)
            raise DialError(f"{proxy}: {cause}", kind_of(error), number) from error


@contextlib.contextmanager
def _limited(proxy: Proxy, deadline: float) -> Iterator[None]:
    """Give a proxy ANSWER seconds, or what is left until the deadline; raises DialError."""
    with trio.move_on_after(min(ANSWER, max(deadline - trio.current_time(), 0.0))) as scope:
        yield
    if scope.cancelled_caught:
        raise DialError(f"{proxy} does not answer", Kind.TIMEOUT, errno.ETIMEDOUT)


def resolving(known: Mapping[str, str], resolve: Resolve) -> Resolve:
    """Return what resolves the names of proxies; those that are `known` are not asked for."""

    async def resolve_own(destination: Destination, *, fresh: bool) -> list[str]:
        address = known.get(destination.host)
        return [address] if address is not None else await resolve(destination, fresh=fresh)

    return resolve_own
