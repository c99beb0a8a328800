"""Which connection carries a request: HTTP/2 is shared, idle HTTP/1.1 is reused, else a new one.

ALPN decides which of the two upstream speaks; without TLS it is HTTP/1.1.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.barrier import contained
from relay.gateway.answers.manners import Manners
from relay.gateway.http import LostError, Stream, UntrustedError
from relay.gateway.setup.choice import Origin
from relay.gateway.upstream.budget import Budget
from relay.gateway.upstream.connector import Connector, Reached
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.http2 import Http2, Http2Stream
from relay.outbound.opener import Opener
from relay.outbound.patience import DialError
from relay.record.events import Event, UpstreamClosed

IDLE_KEPT: Final = 8
"""HTTP/1.1 connections kept for reuse."""
SPOILED: Final = 1.0
"""Seconds in which a failed handshake is that of a request that comes then."""


@dataclass(slots=True, eq=False)
class _Ahead:
    """A connection that was dialled before its request has come, while TLS is agreed on."""

    agreed: trio.Event = field(default_factory=trio.Event)
    outcome: Http1 | Http2 | LostError | UntrustedError | None = None
    is_claimed: bool = False
    """Whether a request waits for it."""


@dataclass(eq=False)
class Pool:
    """The connections to one origin."""

    origin: Origin
    opener: Opener
    nursery: trio.Nursery
    """For what lives on between requests."""
    record: Callable[[Event], None]

    def __post_init__(self) -> None:
        """Start without any."""
        self.budget = Budget()
        self._connector = Connector(self.origin, self.opener, self.record)
        self.manners = Manners(is_own=self.origin.dialect.is_spoken_by(self.origin.host))
        self.shared: list[Http2] = []
        self.idle: list[Http1] = []  # kept for requests to come
        self._ahead: _Ahead | None = None
        """Until a request has claimed it, or it is one of the above."""
        self._spoiled: tuple[float, LostError | UntrustedError] | None = None
        """When what was dialled ahead failed in its handshake, and why, until a request knows."""
        self._agreeing = 0  # connections that have reached upstream, and agree on TLS
        self._connecting = trio.Lock()
        self._dials = 0
        self._failed: tuple[int, Exception] | None = None  # the last shared dial's, by number
        self._speaks_http1 = not self.origin.tls

    @property
    def _lives(self) -> bool:
        """Whether a connection can carry another request, or has just reached upstream."""
        is_shared = any(not each.engine.is_draining for each in self.shared)
        return is_shared or bool(self.idle or self._agreeing or self._ahead)

    async def reach(self) -> None:
        """Return once upstream is known to be there: one connection lives, or a dial is through.

        Raises DialError. What is dialled for it is kept for the first request; who does not agree
        with us on TLS was reached all the same, and the request is told of that. One task dials for
        all that wait, also for requests, and its failure is theirs, as in _shared().
        """
        seen = self._dials
        if self._lives:
            return
        async with self._connecting:
            failure = self._failure_since(seen)
            if self._lives or (failure is not None and not isinstance(failure, DialError)):
                return
            if failure is not None:
                raise failure
            self._dials += 1
            try:
                reached = await self._connector.dial()
            except DialError as error:
                self._failed = self._dials, error
                raise
            self._ahead = _Ahead()
            self.nursery.start_soon(self._prepare, reached, self._ahead)

    async def _prepare(self, reached: Reached, ahead: _Ahead) -> None:
        """Make a connection out of what was dialled ahead, for the request that has claimed it.

        If none has by now, it is kept for the next. So is a failure, for a moment: the request for
        which it was dialled is on its way, and would meet the same by another connection. From the
        end of the handshake on no other task runs before the connection has its place, so that a
        request finds it here or there. A request whose program goes away while it waits gives up
        its claim; it cannot go away between the end of this task and its own next step, for a wait
        that is over is not cancelled.
        """
        with contained(self.record, "upstream connection", reached.tcp.number):
            try:
                ahead.outcome = await self._agreed(reached, http2=not self._speaks_http1)
            except (LostError, UntrustedError) as error:
                ahead.outcome = error
                if not ahead.is_claimed:
                    self._spoiled = trio.current_time(), error
            finally:
                ahead.agreed.set()
                if self._ahead is ahead:
                    self._ahead = None
            if isinstance(ahead.outcome, Http2):
                self._share(ahead.outcome)
            elif isinstance(ahead.outcome, Http1) and not ahead.is_claimed:
                self._speaks_http1 = True
                await self._put_back(ahead.outcome)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        """Open a stream for one request; raises DialError, LostError or UntrustedError."""
        opened = None if self._speaks_http1 else self._roomy() or await self._shared()
        if isinstance(opened, Http2Stream):
            try:
                yield opened
            finally:
                self._speaks_http1 |= opened.is_unfit  # clients that speak no HTTP/2 meet no such
                opened.release()
                for surplus in [each for each in self.shared if each.is_idle][1:]:
                    surplus.retire()
            return
        connection = opened or await self._idle_one() or await self._new(http2=False)
        assert isinstance(connection, Http1), "HTTP/2 was not offered"
        try:
            yield connection
        finally:
            await self._put_back(connection)

    def _roomy(self) -> Http2Stream | None:
        """Open a stream on a shared connection that is known to have room; None if none has."""
        return next((each.open() for each in self.shared if each.engine.has_room), None)

    async def _shared(self) -> Http2Stream | Http1 | None:
        """Open a stream on a shared connection; None if upstream is now known to speak HTTP/1.1.

        One task dials for all that wait: fifty requests at once make one connection, whose protocol
        decides for all. The others wait for the lock meanwhile, and look again when they have it:
        the dial of the task before them has made room, has shown that upstream speaks HTTP/1.1, or
        has failed. A dial that began after a task had started to wait, which is one with a higher
        number than it saw, has failed for that task as well: else each of fifty would wait for the
        patience of all before it. If the task that dials is cancelled, its program being gone, that
        is no failure (Cancelled is no Exception), and the next in line dials.
        """
        seen = self._dials
        async with self._connecting:
            for each in self.shared.copy():
                await each.settled()
            if (shared := self._roomy()) is not None:
                return shared
            if self._speaks_http1:
                return None
            if (failure := self._failure_since(seen)) is not None:
                raise failure
            self._dials += 1
            try:
                opened = await self._new(http2=True)
            except Exception as error:
                self._failed = self._dials, error
                raise
            if isinstance(opened, Http2):
                return opened.open()
            self._speaks_http1 = True
            return opened

    def _failure_since(self, seen: int) -> Exception | None:
        """Return why the last shared dial failed, if it began after `seen` of them."""
        return self._failed[1] if self._failed is not None and self._failed[0] > seen else None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Http1]:
        """Open an HTTP/1.1 connection of its own, for an upgrade; raises like stream()."""
        connection = await self._dialled(http2=False)
        assert isinstance(connection, Http1), "HTTP/2 was not offered"
        try:
            yield connection
        finally:
            await self._close(connection)

    async def _new(self, *, http2: bool) -> Http1 | Http2:
        """Return what was dialled ahead, or a new connection."""
        spoiled, self._spoiled = self._spoiled, None
        if spoiled is not None and trio.current_time() - spoiled[0] < SPOILED:
            raise spoiled[1]
        if self._ahead is None:
            return await self._dialled(http2=http2)
        ahead, self._ahead = self._ahead, None
        ahead.is_claimed = True
        try:
            await ahead.agreed.wait()
        except trio.Cancelled:
            ahead.is_claimed = False
            self._ahead = self._ahead or ahead
            raise
        if isinstance(ahead.outcome, Exception):
            raise ahead.outcome
        return ahead.outcome or await self._dialled(http2=http2)

    async def _dialled(self, *, http2: bool) -> Http1 | Http2:
        """Make a connection; raises like stream()."""
        connection = await self._agreed(await self._connector.dial(), http2=http2)
        if isinstance(connection, Http2):
            self._share(connection)
        return connection

    async def _agreed(self, reached: Reached, *, http2: bool) -> Http1 | Http2:
        self._agreeing += 1
        try:
            return await self._connector.agree(reached, http2=http2)
        finally:
            self._agreeing -= 1

    def _share(self, connection: Http2) -> None:
        self.shared.append(connection)
        self.nursery.start_soon(self._run, connection)

    async def _run(self, connection: Http2) -> None:
        """Run a shared connection; a fault ends it, and its requests are asked again."""
        try:
            with contained(self.record, "upstream connection", connection.tcp.number):
                await connection.run()
        finally:
            self.shared.remove(connection)
            self._note_closed(connection)

    async def _idle_one(self) -> Http1 | None:
        """Take the idle connection that was used last and still stands; None if there is none.

        It is watched by a task of its own. From pop() on that task does not find it in the list any
        more, and leaves it alone whatever it reads: wake() waits until that task has let go of the
        connection, and then it is dead or this request's alone.
        """
        while self.idle:
            connection = self.idle.pop()
            await connection.wake()
            if not connection.is_dead:
                return connection
            await self._close(connection)
        return None

    async def _put_back(self, connection: Http1) -> None:
        if not connection.rest() or len(self.idle) >= IDLE_KEPT:
            await self._close(connection)
            return
        self.idle.append(connection)
        self.nursery.start_soon(self._watch, connection)

    async def _watch(self, connection: Http1) -> None:
        """Close an idle connection when upstream closes it.

        Between the read's end and the next line a request may have taken the connection out of the
        list, in _idle_one(): then it is that request that sees `is_dead` and closes it.
        """
        number = connection.tcp.number
        with contained(self.record, "close of an upstream connection", number):
            try:
                with contained(self.record, "idle upstream connection", number) as watch:
                    await connection.watch()
                connection.is_dead |= watch.failed
            except trio.Cancelled:  # the session has ended
                await self._close(connection)
                raise
            if connection.is_dead and connection in self.idle:
                self.idle.remove(connection)
                await self._close(connection)

    async def _close(self, connection: Http1) -> None:
        try:
            await connection.close()
        finally:  # the program may be gone, and what was done for it cancelled
            self._note_closed(connection)

    def _note_closed(self, connection: Http1 | Http2) -> None:
        tcp = connection.tcp
        self.record(
            UpstreamClosed(
                connection=tcp.number,
                cause=tcp.cause,
                kind=tcp.kind,
                sent=tcp.sent,
                received=tcp.received,
                seconds=trio.current_time() - tcp.opened,
            )
        )
