"""One round of dialling over IPv4: the addresses of a name raced, RFC 8305 within one family.

Whether a round that failed is followed by another is the opener's business, and patience.py's.
"""

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

import trio

from relay import sockets
from relay.addresses import Destination, Endpoint
from relay.outbound import icmp
from relay.outbound.door import DeniedError, Door, Own
from relay.outbound.keepalive import KeepAlive
from relay.outbound.lately import Lately
from relay.outbound.patience import DialError, verdict_of
from relay.policy.verdicts import Deny
from relay.record.kinds import Kind, kind_of_errno

STAGGER: Final = 0.25
"""Seconds before the next address is tried beside the last one, RFC 8305 section 5."""

ATTEMPT: Final = 4.0
"""Seconds for one round; then the name is asked for again and the sockets are made anew."""

IN_FLIGHT: Final = 8
"""Dials at a time to an endpoint that has not answered; one that has is dialled freely.

Another port of the same address may be silent, behind a firewall, while this one answers."""


MOST_ANSWERING: Final = 8192
"""Endpoints that are known to answer; one that is forgotten is dialled as if it never had."""

ROUNDS: Final = 128
"""Rounds a second that dials without an answer may begin: of thousands each one lasts longer, and
those that began together end apart. Meanwhile the kernel sends the SYNs again by itself."""

Denied: TypeAlias = Callable[[str, Deny], None]
"""Hears of an address that is forbidden while others are dialled, and by what."""


class Resolve(Protocol):
    """Resolves a destination's name."""

    async def __call__(self, destination: Destination, *, fresh: bool) -> list[str]:
        """Return its IPv4 addresses, `fresh` ones past any cache; raises DialError."""


class Reached(NamedTuple):
    """A connected, non-blocking socket, which whoever gets it owns, and the address it reached."""

    sock: socket.socket
    address: str
    proxy: Own | None = None
    """The proxy that it leads to, which has reached the destination, or forwards to it."""
    carrier: socket.socket | None = None
    """The socket that leads to the proxy, where the other one ends in the relay itself."""


class Dials(Protocol):
    """Makes one round of dialling."""

    async def dial(
        self,
        destination: Destination,
        deadline: float,
        *,
        fresh: bool,
        avoid: str = "",
        denied: Denied = ...,
    ) -> Reached:
        """Reach a destination, as Dialer.dial() does; raises the same."""


@dataclass(eq=False)
class Dialer:
    """Dials for all connections of a session."""

    _resolve: Resolve
    _keepalive: KeepAlive
    _door: Door
    _answering: Lately[Endpoint] = field(default_factory=lambda: Lately(MOST_ANSWERING))
    """Those whose last dial was answered."""
    _slots: dict[Endpoint, trio.CapacityLimiter] = field(default_factory=dict)
    _unanswered: int = 0
    """Rounds under way, except those to where the last dial was answered."""

    async def dial(
        self,
        destination: Destination,
        deadline: float,
        *,
        fresh: bool,
        avoid: str = "",
        denied: Denied = lambda _address, _verdict: None,
    ) -> Reached:
        """Resolve, and try every address that may be dialled once, the address to `avoid` last.

        A `fresh` name is resolved past any cache, for as long as that takes; the connects end at
        `deadline`, on trio's clock, or after ATTEMPT, or longer by ROUNDS. Addresses that policy
        forbids, while others are dialled, go to `denied`. Raises DeniedError if all are forbidden,
        else DialError, of several the one that verdict_of() chooses.
        """
        addresses = [destination.host]
        if destination.name is not None:
            addresses = await self._resolve(destination, fresh=fresh)
            addresses.sort(key=lambda address: address == avoid)
        if not addresses:
            cause = "the name has no address that may be dialled"
            raise DialError(cause, Kind.NAME_FAILURE, is_final=True)
        addresses = self._door.among(destination, addresses, denied)
        limit = max(ATTEMPT, self._unanswered / ROUNDS)
        limit = min(limit, max(deadline - trio.current_time(), 0.0))
        first = addresses[0]
        is_answering = (first, destination.port) in self._answering
        if len(addresses) == 1 and is_answering and sockets.HAS_USER_TIMEOUT:
            # No cancel scope: that costs a tenth more, and the kernel ends it after `limit` too.
            return await self._connect(destination, first, limit)
        self._unanswered += 1
        try:
            with trio.move_on_after(limit):
                if len(addresses) == 1:
                    return await self._connect_in_turn(destination, first)
                return await self._race(destination, addresses)
        finally:
            self._unanswered -= 1
        raise DialError("no answer", Kind.TIMEOUT, errno.ETIMEDOUT)

    async def _race(self, destination: Destination, addresses: Sequence[str]) -> Reached:
        """Try each address once the one before has failed or STAGGER has passed.

        More than one attempt may win: between the moment in which the first one's connect is
        through and the one in which the others learn of their cancellation, the kernel may have
        completed theirs too. And whoever waits for the race may be cancelled in the very tick in
        which it is won, which the nursery's end then raises. So every connected socket is in
        `connected` from the step in which it becomes one, only the winner that is returned is
        taken out, and all that are left are closed on every way out.
        """
        connected: list[Reached] = []
        failures: list[DialError] = []

        async def attempt(address: str, failed: trio.Event) -> None:
            try:
                connected.append(await self._connect_in_turn(destination, address))
            except DialError as error:
                failures.append(error)
                failed.set()
            else:
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                for address in addresses:
                    failed = trio.Event()
                    nursery.start_soon(attempt, address, failed)
                    with trio.move_on_after(STAGGER):
                        await failed.wait()
            if not connected:
                raise verdict_of(failures)
            return connected.pop(0)
        finally:
            for reached in connected:
                reached.sock.close()

    async def _connect_in_turn(self, destination: Destination, address: str) -> Reached:
        """Connect to one address, when it is its turn; raises DialError."""
        endpoint = address, destination.port
        if endpoint in self._answering:
            return await self._connect(destination, address)
        async with self._slot(endpoint):
            return await self._connect(destination, address)

    @asynccontextmanager
    async def _slot(self, endpoint: Endpoint) -> AsyncIterator[None]:
        """Be one of IN_FLIGHT at most, until the endpoint has answered one of them."""
        limiter = self._slots.setdefault(endpoint, trio.CapacityLimiter(IN_FLIGHT))
        holder = object()
        await limiter.acquire_on_behalf_of(holder)
        try:
            yield
        finally:
            limiter.release_on_behalf_of(holder)
            # Whoever waits was handed the released token by now, so a limiter without borrowers
            # has nobody in its queue; another one may stand in its place since it was removed.
            if not limiter.borrowed_tokens and self._slots.get(endpoint) is limiter:
                del self._slots[endpoint]

    async def _connect(
        self, destination: Destination, address: str, limit: float = ATTEMPT
    ) -> Reached:
        endpoint = address, destination.port
        try:
            sock = sockets.stream(socket.AF_INET)
        except OSError as error:  # no descriptor or memory left
            raise _failure(error.errno or 0) from error
        try:
            self._keepalive.apply(sock, limit)
            number = await self._door.connect(sock, destination, address)
            if not number:
                self._keepalive.connected(sock)
                self._note_answer(endpoint)
                return Reached(sock, address)
            failure = _failure(number, sockets.queued_error(sock))
        except OSError as error:  # setsockopt(2), or the state could not be read
            number, failure = error.errno or 0, _failure(error.errno or 0)
        except DeniedError:  # since it was chosen, the rules have become tighter
            sock.close()
            raise
        except BaseException:  # cancelled: no answer in time, another address has won, or the end
            self._answering.discard(endpoint)
            sock.close()
            raise
        sock.close()
        if number == errno.ECONNREFUSED:
            self._note_answer(endpoint)  # somebody is there
        else:
            self._answering.discard(endpoint)
        raise failure

    def _note_answer(self, endpoint: Endpoint) -> None:
        """Let all who wait for a slot dial freely."""
        self._answering.add(endpoint)
        limiter = self._slots.get(endpoint)
        if limiter is not None:
            limiter.total_tokens = float("inf")


def _failure(number: int, extended: bytes = b"") -> DialError:
    """Return what a failed connect means, by its errno and what its error queue has."""
    code = icmp.code_of(extended, number)
    if code in icmp.FORBIDDEN:
        cause = f"administratively prohibited (ICMP code {code})"
        return DialError(cause, Kind.NOT_PERMITTED, number, code)
    return DialError(os.strerror(number), kind_of_errno(number), number, code)
