"""Lookups at the host's resolvers: several servers, a cache, and old answers in an outage.

A late answer is still an answer: the servers asked before are listened to while the next is asked.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import dns.exception
import dns.message
import dns.rdatatype
import trio
from dns.message import QueryMessage

from relay.addresses import Destination, canonical
from relay.barrier import note
from relay.config import DNS_PORT
from relay.dns.framing import PAYLOAD
from relay.dns.lookup.cache import Cache, CacheEntry, Lookup, from_answer
from relay.dns.lookup.errors import FailureAnswerError, OutageError, ResolverError, UpstreamError
from relay.dns.lookup.question import ask
from relay.record.events import Event, LookupFailed, ResolverSilent, ServedStale
from relay.record.kinds import Kind

STALE_TTL = 30
"""Seconds that a program may keep an expired answer; RFC 8767 section 4."""

RECHECK = 30.0
"""Seconds after a failed refresh in which nobody waits for the next one; RFC 8767 section 5."""

FAILURE_TTL = 5.0
"""Seconds for which a failure is cached, RFC 9520 section 3.2: libc asks five times in a row."""

MAX_FAILURES = 1024
"""Names whose failure is cached."""


@dataclass(frozen=True, slots=True)
class ResolverTimeouts:
    """How long to wait for resolvers, in seconds."""

    server: float = 2.0
    """For one server, before the next is asked too; also between two datagrams to the same one."""
    query: float = 10.0
    """For all of them."""
    outage: float = 300.0
    """For the addresses of a name never seen, while no resolver can be reached: a program copes
    better with a slow answer than with a failure."""
    failing: float = 30.0
    """For the same, while the resolvers answer SERVFAIL or the like: the name may be the cause.
    Never longer than `outage`."""
    pause: float = 1.0
    """Before all of them are asked again."""
    stale: float = 0.5
    """Before an expired answer is served, while the lookup goes on. RFC 8767 section 5 waits for
    1.8; a dial to an address that does not answer looks the name up again, so this risks little."""


_OWN = frozenset({Kind.RESOURCES, Kind.DEFECT})
"""Failures of this host alone: while a lookup waits, it keeps what all of them lack."""

_Outcome = tuple[Destination, QueryMessage | UpstreamError]
_Failure = tuple[float, tuple[Destination, ...], str, Kind]
"""When it expires, for which servers it holds, and its cause and kind."""


@dataclass(slots=True)
class _SharedLookup:
    """A lookup under way: all who ask for the name meanwhile wait for it."""

    done: trio.Event = field(default_factory=trio.Event)
    lookup: Lookup | None = None
    error: ResolverError = field(
        default_factory=lambda: ResolverError("no answer yet", Kind.TIMEOUT)
    )
    """The latest failure."""


@dataclass(eq=False)
class Resolver:
    """Asks the host's resolvers, over IPv4 only.

    A lookup of addresses is shared by all tasks that ask for the name while it runs. No task can
    run between the search in `_lookups` and the start of a new lookup, so a name never has two. A
    task that waits may be cancelled at any time; the lookup then goes on, because it runs in
    `_nursery`, the session's: others may wait for it, and its answer still refreshes the cache. It
    ends by itself, soon after `_timeouts.outage` at the latest. At its end it keeps its answer or
    its failure, leaves `_lookups` and wakes those who wait, without a checkpoint in between: so
    whoever asks finds either the lookup or what came of it.
    """

    _servers: Callable[[], tuple[Destination, ...]]
    """Called anew for each lookup."""
    _record: Callable[[Event], None]
    _nursery: trio.Nursery
    """Lookups of addresses run in it."""
    _timeouts: ResolverTimeouts
    _clock: Callable[[], float] = trio.current_time
    _cache: Cache = field(default_factory=Cache)
    _lookups: dict[str, _SharedLookup] = field(default_factory=dict)
    _failures: dict[str, _Failure] = field(default_factory=dict)
    _silent: set[Destination] = field(default_factory=set)
    """Servers that have failed since they last answered."""

    async def query(self, message: QueryMessage) -> QueryMessage:
        """Return the first usable answer (NOERROR or NXDOMAIN); raises ResolverError."""
        try:
            return await self._query(message, self._servers())
        except ResolverError as error:
            question = message.question[0]
            name = canonical(question.name.to_text())
            rdtype = dns.rdatatype.to_text(question.rdtype)
            self._record(LookupFailed(name=name, type=rdtype, kind=error.kind, cause=error.cause))
            raise

    async def addresses(self, name: str, *, fresh: bool = False) -> Lookup:
        """Look up the name's A records; `fresh` asks the resolvers even if the cache has an answer.

        If they do not answer, the last known addresses are returned; without any, ResolverError is
        raised. The lookup may end just as the wait for it times out: its answer is looked at
        however the wait ended, so that no old one is served beside a new one.
        """
        name = canonical(name)
        if not fresh and (known := self.cached(name)) is not None:
            return known
        self._raise_failure(name)
        shared = self._lookups.get(name) or self._start(name)
        old = self._cache.last_known(name)
        wait = math.inf
        if old is not None:
            wait = self._timeouts.stale if self._clock() - old.failed_at > RECHECK else 0
        with trio.move_on_after(wait):
            await shared.done.wait()
        if shared.lookup is not None:
            return shared.lookup
        if old is not None:
            return self._stale(name, old, shared.error)
        raise ResolverError(shared.error.cause, shared.error.kind)

    def cached(self, name: str) -> Lookup | None:
        """Return the cache's answer for a name in canonical form, None unless it is fresh."""
        return self._cache.fresh(name, self._servers(), self._clock())

    def _start(self, name: str) -> _SharedLookup:
        try:
            query = dns.message.make_query(name, dns.rdatatype.A, use_edns=0, payload=PAYLOAD)
        except dns.exception.DNSException as error:
            raise ResolverError(f"not a name: {error}", Kind.NAME_FAILURE) from error
        shared = self._lookups[name] = _SharedLookup()
        self._nursery.start_soon(self._look_up, name, query, shared)
        return shared

    async def _look_up(self, name: str, query: QueryMessage, shared: _SharedLookup) -> None:
        began = self._clock()
        try:
            while shared.lookup is None:
                servers = self._servers()
                try:
                    shared.lookup = from_answer(await self._query(query, servers))
                except ResolverError as error:
                    shared.error = error
                except dns.exception.DNSException as error:  # it contradicts itself
                    shared.error = ResolverError(str(error), Kind.MALFORMED)
                except Exception as error:  # noqa: BLE001 - a fault ends this lookup alone
                    note(self._record, "lookup", error)
                    shared.error = ResolverError(f"a defect: {type(error).__name__}", Kind.DEFECT)
                if shared.lookup is None:
                    if self._is_over(name, shared.error, self._clock() - began):
                        return
                    await trio.sleep(self._timeouts.pause)
            self._cache.keep(name, shared.lookup, servers, self._clock())
        finally:
            del self._lookups[name]
            shared.done.set()

    def _is_over(self, name: str, error: ResolverError, elapsed: float) -> bool:
        """Return whether to give up: at once if there is an old answer, else when time is up."""
        old = self._cache.last_known(name)
        if old is not None:
            old.failed_at = self._clock()
            return True
        limit = self._timeouts.outage
        if not isinstance(error, OutageError):
            limit = min(limit, self._timeouts.failing)
        if elapsed < limit and error.kind not in _OWN:
            return False
        self._record(LookupFailed(name=name, type="A", kind=error.kind, cause=error.cause))
        if error.kind not in _OWN:
            self._keep_failure(name, error)
        return True

    def _keep_failure(self, name: str, error: ResolverError) -> None:
        """Cache a failure for FAILURE_TTL, or until the resolvers change."""
        if len(self._failures) == MAX_FAILURES:
            del self._failures[next(iter(self._failures))]
        # Not the error: an exception that was raised keeps its frames.
        expires = self._clock() + FAILURE_TTL
        self._failures[name] = (expires, self._servers(), error.cause, error.kind)

    def _raise_failure(self, name: str) -> None:
        """Raise the failure that is cached for the name, if any."""
        if name not in self._failures:
            return
        expires, servers, cause, kind = self._failures[name]
        if self._clock() < expires and servers == self._servers():
            raise ResolverError(cause, kind)
        del self._failures[name]

    def _stale(self, name: str, entry: CacheEntry, error: ResolverError) -> Lookup:
        if not entry.reported:
            entry.reported = True
            self._record(ServedStale(name=name, kind=error.kind, cause=error.cause))
        return replace(entry.lookup, ttl=STALE_TTL)

    async def _query(self, message: QueryMessage, servers: tuple[Destination, ...]) -> QueryMessage:
        if not servers:
            raise OutageError("no IPv4 name server is configured", Kind.NO_RESOLVER)
        silent = UpstreamError(f"no answer in {self._timeouts.query:g} s", Kind.TIMEOUT)
        causes: dict[Destination, UpstreamError] = dict.fromkeys(servers, silent)
        with trio.move_on_after(self._timeouts.query):
            answer = await self._race(message, causes)
            if answer is not None:
                return answer
        # The kind is that of a server that answered, or else of the one that is asked first.
        answers = [cause for cause in causes.values() if isinstance(cause, FailureAnswerError)]
        kind = next(iter(answers or causes.values())).kind
        cause = "; ".join(f"{_text(server)}: {cause}" for server, cause in causes.items())
        raise (ResolverError if answers else OutageError)(cause, kind)

    async def _race(
        self, message: QueryMessage, causes: dict[Destination, UpstreamError]
    ) -> QueryMessage | None:
        """Ask one server after the other, while those before it may still answer.

        Return None if all have failed; `causes` then holds how each one failed.

        The first usable answer cancels the questions to all other servers. Several outcomes may
        come at once: the channel has room for one of each server, so that no task waits to report,
        and outcomes that nobody reads any more are dropped with the channel. An outcome that comes
        just as the wait for it times out is not lost: receive() either returns it or leaves it in
        the channel for the next round.
        """
        waiting = deque(causes)
        running = 0
        report, outcomes = trio.open_memory_channel[_Outcome](len(causes))
        async with trio.open_nursery() as nursery:
            while waiting or running:
                if waiting:
                    latest = waiting.popleft()
                    nursery.start_soon(self._ask, latest, message, report)
                    running += 1
                outcome = None
                with trio.move_on_after(self._timeouts.server if waiting else math.inf):
                    server, outcome = await outcomes.receive()
                if outcome is None:
                    cause = f"no answer in {self._timeouts.server:g} s"
                    self._note_silence(latest, UpstreamError(cause, Kind.TIMEOUT))
                elif isinstance(outcome, UpstreamError):
                    running -= 1
                    causes[server] = outcome
                    self._note_silence(server, outcome)
                else:
                    self._silent.discard(server)
                    nursery.cancel_scope.cancel()
                    return outcome
        return None

    async def _ask(
        self, server: Destination, message: QueryMessage, report: trio.MemorySendChannel[_Outcome]
    ) -> None:
        try:
            outcome = await ask(server, message, interval=self._timeouts.server)
        except UpstreamError as error:
            report.send_nowait((server, error))
        except Exception as error:  # noqa: BLE001 - it costs this server's answer
            note(self._record, "question to a resolver", error)
            cause = f"a defect: {type(error).__name__}"
            report.send_nowait((server, UpstreamError(cause, Kind.DEFECT)))
        else:
            report.send_nowait((server, outcome))

    def _note_silence(self, server: Destination, error: UpstreamError) -> None:
        """Record a server's first failure since it last answered: an outage has thousands."""
        if server not in self._silent:
            self._silent.add(server)
            kind, cause = error.kind, error.cause
            self._record(ResolverSilent(server=_text(server), kind=kind, cause=cause))


def _text(server: Destination) -> str:
    return server.without_port(DNS_PORT)
