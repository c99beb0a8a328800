"""The session's proxies: dialled as anything is, and then asked for a destination.

What leads on over more than TCP (TLS with the proxy, a request that is forwarded) ends in a bridge.
"""

import contextlib
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias

import trio

from relay.addresses import Destination
from relay.outbound.dialer import Dials, Reached, Resolve
from relay.outbound.door import Own
from relay.outbound.patience import DialError
from relay.outbound.proxied import bridges, dialogue, forwarding, secured, socks, tunnel
from relay.outbound.proxied.answers import Answer, Cut, Through, failure_of
from relay.outbound.proxied.renewal import NoOthersError, Renewal
from relay.proxies.url import Proxy
from relay.record.kinds import Kind, kind_of

ANSWER: Final = 60.0
"""Seconds for a proxy's answer: squid dials for as long before it says that nobody answers."""

Talk: TypeAlias = "Callable[[socket.socket], Awaitable[bridges.Join | None]]"
"""Comes to terms with a proxy, and returns what serves a bridge to it, if it needs one."""


@dataclass(eq=False)
class Proxies:
    """Reaches destinations by the proxies of a session."""

    _own: Dials
    """Dials the proxies."""
    _bridges: "bridges.Bridges"
    _credentials: Renewal
    _context: "ssl.SSLContext | None"
    """For TLS with proxies; there is one if any is `https`."""
    _seen: set[Destination] = field(default_factory=set)
    """Those that were reached in this session."""

    async def tunnel(
        self, proxy: Proxy, target: Destination, deadline: float, *, fresh: bool
    ) -> Reached:
        """Reach a destination, which the proxy is asked for as it is; raises DialError.

        It is asked once more if it does not take our credentials and there are others by then.
        """
        known = self._known(proxy)
        talk = partial(self._ask, known, target)
        try:
            return await self._reach(proxy, deadline, talk, fresh=fresh)
        except DialError as error:
            if error.kind is not Kind.PROXY_CREDENTIALS:
                raise
            await self._renew(proxy, known, error)
        talk = partial(self._ask, self._known(proxy), target)
        return await self._reach(proxy, deadline, talk, fresh=fresh)

    async def _renew(self, proxy: Proxy, refused: Proxy, error: DialError) -> None:
        """Have other credentials than those refused; raises the failure, and why there are none."""
        try:
            await self._credentials.renew(proxy, refused.credentials)
        except NoOthersError as why:
            cause = f"{error.cause}; {why}" if str(why) else error.cause
            code, is_final = error.code, error.is_final
            raise DialError(cause, error.kind, error.number, code, is_final=is_final) from None

    async def forward(
        self, proxy: Proxy, target: Destination, deadline: float, *, fresh: bool
    ) -> Reached:
        """Reach a proxy that is given a request of plain HTTP; raises DialError."""
        talk = partial(self._forward, self._known(proxy), target)
        return await self._reach(proxy, deadline, talk, fresh=fresh)

    async def _reach(self, proxy: Proxy, deadline: float, talk: Talk, *, fresh: bool) -> Reached:
        own = Own(*proxy.destination)
        try:
            reached = await self._own.dial(own, deadline, fresh=fresh)
        except DialError as error:
            raise self._unreached(proxy, error) from None
        self._seen.add(own)
        reached = reached._replace(proxy=own)
        try:
            with _limited(proxy, deadline):
                join = await talk(reached.sock)
            if join is None:
                return reached
            return reached._replace(sock=await self._bridge(join), carrier=reached.sock)
        except BaseException:
            reached.sock.close()
            raise

    def _unreached(self, proxy: Proxy, error: DialError) -> DialError:
        """Return the failure to reach a proxy: one that was there before is only away for a while.

        Its refusal is none of the destination's.
        """
        cause = f"{proxy}: {error.cause}"
        if error.is_refusal and proxy.destination in self._seen:
            return DialError(cause, error.kind)
        return DialError(cause, error.kind, error.number, error.code, is_final=error.is_final)

    async def _ask(
        self, proxy: Proxy, target: Destination, sock: socket.socket
    ) -> "bridges.Join | None":
        """Ask for a destination; raises DialError."""
        try:
            answer, join = await self._answered(proxy, target, sock)
        except trio.BrokenResourceError:
            answer, join = Cut(), None
        except OSError as error:
            number, cause = error.errno or 0, error.strerror or str(error)
            raise DialError(f"{proxy}: {cause}", kind_of(error), number) from error
        if not isinstance(answer, Through):
            raise failure_of(answer)
        return join

    async def _answered(
        self, proxy: Proxy, target: Destination, sock: socket.socket
    ) -> "tuple[Answer, bridges.Join | None]":
        if proxy.scheme == "socks5":
            return await socks.ask(sock, proxy, target), None
        asked = dialogue.Dialogue(target, proxy.credentials)
        if proxy.scheme == "http":
            return await tunnel.ask(sock, asked), None
        stream = await secured.handshake(sock, proxy, self._context)
        answer, first = await secured.ask(stream, asked)
        return answer, partial(secured.join, stream, first)

    async def _forward(
        self, proxy: Proxy, target: Destination, sock: socket.socket
    ) -> "bridges.Join":
        """Agree on TLS, if the proxy wants that; raises DialError."""
        stream: trio.abc.Stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        if proxy.scheme == "https":
            stream = await secured.handshake(sock, proxy, self._context)
        return partial(self._pass_on, proxy, target, stream)

    async def _pass_on(
        self,
        proxy: Proxy,
        target: Destination,
        stream: trio.abc.Stream,
        program: trio.SocketStream,
    ) -> None:
        """Pass a request on; have other credentials for the next one if the proxy refuses these.

        This one has been told of that by then: what has passed cannot be asked again.
        """
        request = forwarding.Forwarding(target, proxy.credentials)
        await bridges.forward(stream, request, program)
        if request.is_unauthenticated:
            with contextlib.suppress(NoOthersError):
                await self._credentials.renew(proxy, proxy.credentials)

    async def _bridge(self, join: "bridges.Join") -> socket.socket:
        """Return the near end of a bridge, to whose task the proxy's socket is given."""
        try:
            return await self._bridges.to(join)
        except OSError as error:
            raise DialError(str(error), kind_of(error), error.errno or 0) from error

    def _known(self, proxy: Proxy) -> Proxy:
        """Return a proxy with the credentials by which it knows us now."""
        return replace(proxy, credentials=self._credentials.of(proxy))


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
