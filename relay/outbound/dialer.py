"""Dials upstream over IPv4 with patience: all addresses raced, RFC 8305 within one family.

How long and how often is decided in patience.py; here are the sockets, the waits and the limits.
"""

import errno
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Protocol

import trio

from relay.host.network import Weather
from relay.outbound.patience import Failure, GiveUp, Patience
from relay.record.kinds import CausedError, Kind, of_errno
from relay.sockets import KeepAlive

STAGGER: Final = 0.25
"""Seconds before the next address is tried beside the last one, RFC 8305 section 5."""

ATTEMPT: Final = 4.0
"""Seconds for one round; then the name is asked for again and the sockets are made anew."""

IN_FLIGHT: Final = 8
"""Dials at a time to an address that has not answered; one that has is dialled freely."""


class DialError(CausedError):
    """Upstream could not be reached."""

    def __init__(self, cause: str, kind: Kind, number: int = 0) -> None:
        """Keep the cause, its kind, and its errno if it has one."""
        super().__init__(cause, kind)
        self.number = number


class Target(NamedTuple):
    """What the program wants to reach."""

    name: str | None
    """None if it used a literal address."""
    address: str
    port: int


class Lookup(Protocol):
    """Resolves a name."""

    async def __call__(self, name: str, *, fresh: bool) -> list[str]:
        """Give its IPv4 addresses, `fresh` ones past any cache; raises DialError."""


class Dialer:
    """Dials for all connections of a session."""

    def __init__(
        self,
        lookup: Lookup,
        keepalive: KeepAlive,
        weather: Weather,
        patience: float,
    ) -> None:
        """Resolve names by `lookup`, which may raise DialError; hold for `patience` seconds."""
        self._lookup = lookup
        self._keepalive = keepalive
        self._weather = weather
        self._patience = patience
        self._seen_alive: set[tuple[str, int]] = set()
        self._answering: set[str] = set()
        self._slots: dict[str, trio.CapacityLimiter] = {}

    async def dial(
        self,
        target: Target,
        *,
        held: Callable[[str, Kind], None],
        wanted: Callable[[], bool],
        avoid: str = "",
    ) -> tuple[socket.socket, int]:
        """Connect, and tell in how many rounds; raises DialError when patience ends.

        `held` is called once, with the cause and its kind, if the first round fails and is not
        the last; `wanted` is asked before each further round. The address to `avoid` is tried last.
        """
        started = trio.current_time()
        key = (target.name or target.address, target.port)
        patience = Patience(self._patience, known=key in self._seen_alive, jitter=random.random)
        while True:
            try:
                sock = await self._round(target, avoid, started, fresh=patience.rounds > 0)
            except DialError as error:
                failure = Failure(error.cause, error.kind, error.number)
            else:
                self._seen_alive.add(key)
                return sock, patience.rounds + 1
            verdict = patience.failed(failure, trio.current_time() - started)
            if isinstance(verdict, GiveUp):
                raise DialError(verdict.cause, verdict.kind)
            if patience.rounds == 1:
                held(failure.cause, failure.kind)
            with trio.move_on_after(verdict.pause):
                await self._weather.wait()
            if not wanted():
                raise DialError("the program closed the connection first", Kind.PROGRAM_GONE)

    async def _round(
        self, target: Target, avoid: str, started: float, *, fresh: bool
    ) -> socket.socket:
        """Try every address once; raises DialError with the last one's cause."""
        addresses = [target.address]
        if target.name is not None:
            addresses = await self._lookup(target.name, fresh=fresh)
            addresses.sort(key=lambda address: address == avoid)
        if not addresses:
            raise DialError("the name has no address that may be dialled", Kind.NAME_FAILURE)
        if len(addresses) == 1 and addresses[0] in self._answering:
            # The kernel ends it after as long, options.SYN_RETRIES: a scope costs a tenth more.
            return await self._connect_now(addresses[0], target.port)
        left = started + self._patience - trio.current_time()
        with trio.move_on_after(min(ATTEMPT, max(left, 0.0))):
            if len(addresses) == 1:
                return await self._connect(addresses[0], target.port)
            return await self._race(addresses, target.port)
        raise DialError("no answer", Kind.TIMEOUT, errno.ETIMEDOUT)

    async def _race(self, addresses: Sequence[str], port: int) -> socket.socket:
        """Try each address once the one before has failed or STAGGER has passed."""
        won: list[socket.socket] = []
        failures: list[DialError] = []

        async def attempt(address: str, failed: trio.Event) -> None:
            try:
                sock = await self._connect(address, port)
            except DialError as error:
                failures.append(error)
                failed.set()
                return
            won.append(sock)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(attempt, address, failed)
                with trio.move_on_after(STAGGER):
                    await failed.wait()
        for loser in won[1:]:
            loser.close()
        if not won:
            raise failures[-1]
        return won[0]

    async def _connect(self, address: str, port: int) -> socket.socket:
        """Connect to one address; raises DialError."""
        if address in self._answering:
            return await self._connect_now(address, port)
        async with self._slot(address):
            return await self._connect_now(address, port)

    @asynccontextmanager
    async def _slot(self, address: str) -> AsyncIterator[None]:
        """Be one of IN_FLIGHT at most, until the address has answered one of them."""
        limiter = self._slots.setdefault(address, trio.CapacityLimiter(IN_FLIGHT))
        holder = object()
        await limiter.acquire_on_behalf_of(holder)
        try:
            yield
        finally:
            limiter.release_on_behalf_of(holder)
            if not limiter.borrowed_tokens and self._slots.get(address) is limiter:
                del self._slots[address]

    async def _connect_now(self, address: str, port: int) -> socket.socket:
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:  # no descriptor or memory left
            number = error.errno or 0
            raise DialError(os.strerror(number), of_errno(number), number) from error
        try:
            self._keepalive.apply(sock)
            number = sock.connect_ex((address, port))
            if number == errno.EINPROGRESS:
                await trio.lowlevel.wait_writable(sock)
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except BaseException:  # cancelled: no answer in time
            self._answering.discard(address)
            sock.close()
            raise
        if number:
            self._answering.discard(address)
            sock.close()
            raise DialError(os.strerror(number), of_errno(number), number)
        self._answer_came(address)
        return sock

    def _answer_came(self, address: str) -> None:
        """Let all who wait for a slot dial freely."""
        self._answering.add(address)
        limiter = self._slots.get(address)
        if limiter is not None:
            limiter.total_tokens = float("inf")
