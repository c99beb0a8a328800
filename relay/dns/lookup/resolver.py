"""The relay's way to the host's resolvers: several servers, a cache, and old answers in an outage.

A late answer is still an answer: asking the next server never gives up on the one before.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import dns.exception
import dns.message
import dns.rdatatype
import trio

from relay.addresses import canonical
from relay.dns.lookup.cache import Cache, Entry, Lookup, from_answer
from relay.dns.lookup.question import FailureAnswerError, Server, UpstreamError, ask
from relay.dns.messages import PAYLOAD
from relay.record.events import Event, LookupFailed, ResolverSilent, ServedStale
from relay.record.kinds import CausedError, Kind

STALE_TTL = 30
"""Seconds; RFC 8767 section 4."""


RECHECK = 30.0
"""Seconds after a failed refresh in which nobody waits for the next one; RFC 8767 section 5."""

FAILURE_TTL = 5.0
"""Seconds for which a failure is told again at once; RFC 9520 section 3.2. libc asks five times."""

MAX_FAILURES = 1024
"""Names whose failure is remembered."""


class ResolverError(CausedError):
    """No resolver gave a usable answer; the cause says why, server by server."""

    def __init__(self, cause: str, kind: Kind, *, is_outage: bool) -> None:
        """`is_outage`: no resolver was reached at all, so that asking again may help."""
        super().__init__(cause, kind)
        self.is_outage = is_outage


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for resolvers, in seconds."""

    server: float = 2.0
    """For one server, before the next is asked too; also between two datagrams to the same one."""
    query: float = 10.0
    """For all of them."""
    outage: float = 300.0
    """For the addresses of a name never seen, while no resolver can be reached: no program minds
    a slow answer as much as a failure."""
    failing: float = 30.0
    """For the same, while the resolvers answer SERVFAIL or the like: it may be the name's fault."""
    pause: float = 1.0
    """Before all of them are asked again."""
    stale: float = 0.5
    """Before an expired answer is given and the lookup goes on unseen. RFC 8767 section 5 waits for
    1.8; a dial to an address that does not answer asks again, so that little is risked here."""


DEFAULT_PATIENCE = Patience()

_Report = tuple[Server, dns.message.QueryMessage | UpstreamError]


@dataclass(slots=True)
class _Flight:
    """A lookup under way, shared by all who ask for the name meanwhile."""

    landed: trio.Event = field(default_factory=trio.Event)
    lookup: Lookup | None = None
    error: ResolverError = field(
        default_factory=lambda: ResolverError("no answer yet", Kind.TIMEOUT, is_outage=False)
    )
    """The latest failure."""


class Resolver:
    """Asks the host's resolvers, over IPv4 only."""

    def __init__(
        self,
        servers: Callable[[], Sequence[Server]],
        record: Callable[[Event], None],
        nursery: trio.Nursery,
        *,
        patience: Patience = DEFAULT_PATIENCE,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Ask `servers()` anew for each lookup; run lookups in `nursery`.

        A lookup outlives the task that asked first, so that others may wait for it too and a
        late answer still refreshes the cache; it ends within `patience.query`.
        """
        self._servers = servers
        self._record = record
        self._nursery = nursery
        self._patience = patience
        self._clock = clock
        self._cache = Cache()
        self._flights: dict[str, _Flight] = {}
        self._failures: dict[str, tuple[float, tuple[Server, ...], ResolverError]] = {}
        self._silent: set[Server] = set()

    async def query(self, message: dns.message.QueryMessage) -> dns.message.QueryMessage:
        """Give the first usable answer (NOERROR or NXDOMAIN); raises ResolverError."""
        try:
            return await self._query(message, self._current_servers())
        except ResolverError as error:
            question = message.question[0]
            name = canonical(question.name.to_text())
            rdtype = dns.rdatatype.to_text(question.rdtype)
            self._record(LookupFailed(name=name, type=rdtype, kind=error.kind, cause=error.cause))
            raise

    async def addresses(self, name: str, *, fresh: bool = False) -> Lookup:
        """Look up the name's A records; `fresh` asks the resolvers even if the cache knows.

        If they do not answer, the last known addresses are given; without any: ResolverError.
        """
        name = canonical(name)
        if not fresh and (known := self.cached(name)) is not None:
            return known
        self._raise_failure(name)
        flight = self._flights.get(name) or self._start(name)
        old = self._cache.last_known(name)
        wait = math.inf
        if old is not None:
            wait = self._patience.stale if self._clock() - old.failed_at > RECHECK else 0
        with trio.move_on_after(wait):
            await flight.landed.wait()
        if flight.lookup is not None:
            return flight.lookup
        if old is not None:
            return self._stale(name, old, flight.error)
        raise ResolverError(flight.error.cause, flight.error.kind, is_outage=False)

    async def ipv4_addresses(self, name: str, *, fresh: bool = False) -> list[str]:
        """Give the name's IPv4 addresses in the resolver's order; none if it has none.

        Raises ResolverError like `addresses`.
        """
        return list((await self.addresses(name, fresh=fresh)).addresses)

    def cached(self, name: str) -> Lookup | None:
        """Give what the cache knows of a name in canonical form, without asking anybody."""
        return self._cache.fresh(name, self._current_servers(), self._clock())

    def _current_servers(self) -> tuple[Server, ...]:
        return tuple(self._servers())

    def _start(self, name: str) -> _Flight:
        try:
            query = dns.message.make_query(name, dns.rdatatype.A, use_edns=0, payload=PAYLOAD)
        except dns.exception.DNSException as error:
            cause = f"not a name: {error}"
            raise ResolverError(cause, Kind.NAME_FAILURE, is_outage=False) from error
        flight = self._flights[name] = _Flight()
        self._nursery.start_soon(self._fly, name, query, flight)
        return flight

    async def _fly(self, name: str, query: dns.message.QueryMessage, flight: _Flight) -> None:
        began = self._clock()
        try:
            while flight.lookup is None:
                servers = self._current_servers()
                try:
                    flight.lookup = from_answer(await self._query(query, servers))
                except ResolverError as error:
                    flight.error = error
                except dns.exception.DNSException as error:  # it contradicts itself
                    flight.error = ResolverError(str(error), Kind.MALFORMED, is_outage=False)
                if flight.lookup is None:
                    if self._is_over(name, flight.error, self._clock() - began):
                        return
                    await trio.sleep(self._patience.pause)
            self._cache.keep(name, flight.lookup, servers, self._clock())
        finally:
            del self._flights[name]
            flight.landed.set()

    def _is_over(self, name: str, error: ResolverError, elapsed: float) -> bool:
        """Give up on a lookup: at once if an old answer can serve, else after some patience."""
        old = self._cache.last_known(name)
        if old is not None:
            old.failed_at = self._clock()
            return True
        if elapsed < (self._patience.outage if error.is_outage else self._patience.failing):
            return False
        self._record(LookupFailed(name=name, type="A", kind=error.kind, cause=error.cause))
        self._keep_failure(name, error)
        return True

    def _keep_failure(self, name: str, error: ResolverError) -> None:
        """Remember a failure for FAILURE_TTL, or until the resolvers change."""
        if len(self._failures) == MAX_FAILURES:
            del self._failures[next(iter(self._failures))]
        # A copy, for an exception that was raised keeps its frames.
        kept = ResolverError(error.cause, error.kind, is_outage=error.is_outage)
        self._failures[name] = (self._clock() + FAILURE_TTL, self._current_servers(), kept)

    def _raise_failure(self, name: str) -> None:
        """Raise a failure that is remembered."""
        expires, servers, error = self._failures.get(name, (0.0, (), None))
        if error is None:
            return
        if self._clock() < expires and servers == self._current_servers():
            raise ResolverError(error.cause, error.kind, is_outage=error.is_outage)
        del self._failures[name]

    def _stale(self, name: str, entry: Entry, error: ResolverError) -> Lookup:
        if not entry.reported:
            entry.reported = True
            self._record(ServedStale(name=name, kind=error.kind, cause=error.cause))
        return replace(entry.lookup, ttl=STALE_TTL)

    async def _query(
        self, message: dns.message.QueryMessage, servers: tuple[Server, ...]
    ) -> dns.message.QueryMessage:
        if not servers:
            lack = "no IPv4 name server is configured"
            raise ResolverError(lack, Kind.NO_RESOLVER, is_outage=True)
        silent = UpstreamError(f"no answer in {self._patience.query:g} s", Kind.TIMEOUT)
        causes: dict[Server, UpstreamError] = dict.fromkeys(servers, silent)
        with trio.move_on_after(self._patience.query):
            answer = await self._race(message, causes)
            if answer is not None:
                return answer
        # The kind is that of who is there, or else of the server that is asked first.
        answers = [cause for cause in causes.values() if isinstance(cause, FailureAnswerError)]
        raise ResolverError(
            "; ".join(f"{server}: {cause}" for server, cause in causes.items()),
            next(iter(answers or causes.values())).kind,
            is_outage=not answers,
        )

    async def _race(
        self, message: dns.message.QueryMessage, causes: dict[Server, UpstreamError]
    ) -> dns.message.QueryMessage | None:
        """Ask one server after the other, while those before it may still answer.

        None if all have failed; `causes` says how each did.
        """
        waiting = deque(causes)
        running = 0
        report, reports = trio.open_memory_channel[_Report](len(causes))
        async with trio.open_nursery() as nursery:
            while waiting or running:
                if waiting:
                    latest = waiting.popleft()
                    nursery.start_soon(self._ask, latest, message, report)
                    running += 1
                outcome = None
                with trio.move_on_after(self._patience.server if waiting else math.inf):
                    server, outcome = await reports.receive()
                if outcome is None:
                    cause = f"no answer in {self._patience.server:g} s"
                    self._note_silence(latest, cause, Kind.TIMEOUT)
                elif isinstance(outcome, UpstreamError):
                    running -= 1
                    causes[server] = outcome
                    self._note_silence(server, outcome.cause, outcome.kind)
                else:
                    self._silent.discard(server)
                    nursery.cancel_scope.cancel()
                    return outcome
        return None

    async def _ask(
        self,
        server: Server,
        message: dns.message.QueryMessage,
        report: trio.MemorySendChannel[_Report],
    ) -> None:
        try:
            outcome = await ask(server, message, resend=self._patience.server)
        except UpstreamError as error:
            report.send_nowait((server, error))
        else:
            report.send_nowait((server, outcome))

    def _note_silence(self, server: Server, cause: str, kind: Kind) -> None:
        """Record the first failure of a server since it last answered: an outage has thousands."""
        if server not in self._silent:
            self._silent.add(server)
            self._record(ResolverSilent(server=str(server), kind=kind, cause=cause))
