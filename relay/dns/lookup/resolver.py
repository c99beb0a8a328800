"""Lookups at the host's resolvers: a cache, old answers in an outage, and patience in a new one.

One round of a question is round.py's; what its failure means is judged in evidence.py.
"""

import contextlib
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

import dns.exception
import dns.message
import dns.rdatatype
import trio
from dns.message import QueryMessage

from relay.addresses import Destination, canonical
from relay.barrier import note
from relay.dns.lookup.account import Account
from relay.dns.lookup.cache import Cache, CacheEntry, Failures, Lookup, from_answer, joined
from relay.dns.lookup.errors import Meaning, ResolverError
from relay.dns.lookup.evidence import Hold, Limits, LookInto, PassOn, ResolverTimeouts, is_verdict
from relay.dns.lookup.probe import Prober, address_query
from relay.dns.lookup.round import Late, Rounds
from relay.host.resolv_conf import Options
from relay.record.events import Event, LookupHeld, ServedStale
from relay.record.kinds import Kind

STALE_TTL = 30
"""Seconds that a program may keep an expired answer; RFC 8767 section 4."""

RECHECK = 30.0
"""Seconds after a failed refresh in which nobody waits for the next one; RFC 8767 section 5."""

MAX_FURTHER = 64
"""Questions about the rest of a chain of CNAMEs."""


@dataclass(slots=True)
class _SharedLookup:
    """A lookup under way: all who ask for the name meanwhile wait for it."""

    began: float
    done: trio.Event = field(default_factory=trio.Event)
    lookup: Lookup | None = None
    error: ResolverError = field(
        default_factory=lambda: ResolverError("no answer yet", Kind.TIMEOUT)
    )
    """The latest failure."""


class Gate(Protocol):
    """Is asked before a question leaves."""

    def pass_(self, name: str, rdtype: str) -> None:
        """Let a question leave; raises ResolverError if it may not."""

    def may_follow(self, alias: str) -> bool:
        """Return whether the rest of a chain of CNAMEs may be asked for at this name."""


class Resolver:
    """Asks the host's resolvers, over IPv4 only."""

    def __init__(  # noqa: PLR0913 - what a session has, and for tests its time
        self,
        servers: Callable[[], tuple[Destination, ...]],
        record: Callable[[Event], None],
        nursery: trio.Nursery,
        timeouts: ResolverTimeouts,
        gate: Gate,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Lookups of addresses run in the nursery; `servers` returns those to ask now."""
        self._servers = servers
        self._gate = gate
        self._record = record
        self._nursery = nursery
        self._timeouts = timeouts
        self._clock = clock
        self._rounds = Rounds(record, timeouts.server, timeouts.options)
        self._prober = Prober(self._rounds, servers, self._patience)
        self._cache = Cache()
        self._failures = Failures()
        self._lookups: dict[str, _SharedLookup] = {}
        self._account = Account(record)

    async def query(self, message: QueryMessage) -> QueryMessage:
        """Return the first usable answer (NOERROR or NXDOMAIN); raises ResolverError.

        It is not held in an outage, as a program can mostly do without: of a name that is only
        shown, of a service's other records.
        """
        [question], servers = message.question, self._servers()
        name, rdtype = canonical(question.name.to_text()), dns.rdatatype.to_text(question.rdtype)
        self._gate.pass_(name, rdtype)
        key = (name, rdtype, int(message.flags), int(message.ednsflags))
        if (failure := self._failures.fresh(key, servers, self._clock())) is not None:
            raise failure
        try:
            return await self._rounds.ask(message, servers, 2 * self._patience())
        except ResolverError as error:
            self._keep_failure(key, error)
            self._note(name, rdtype, error)
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
        failure = self._failures.fresh(name, self._servers(), self._clock())
        if failure is not None:
            raise failure
        old = self._cache.last_known(name)
        try:
            shared = self._lookups.get(name) or self._start(name)
        except ResolverError as error:
            if old is None:
                raise
            return self._stale(name, old, error)
        wait = math.inf
        if old is not None:
            wait = self._timeouts.stale if self._clock() - old.failed_at > RECHECK else 0
        with trio.move_on_after(wait):
            await shared.done.wait()
        if shared.lookup is not None:
            return shared.lookup
        if old is not None:
            return self._stale(name, old, shared.error)
        raise shared.error.copy()

    def last_known(self, name: str) -> Lookup | None:
        """Return the last answer with addresses, however old, for whom no resolver can be asked."""
        old = self._cache.last_known(canonical(name))
        return None if old is None else replace(old.lookup, ttl=STALE_TTL)

    def cached(self, name: str) -> Lookup | None:
        """Return the cache's answer for a name in canonical form, None unless it is fresh."""
        return self._cache.fresh(name, self._servers(), self._clock())

    def _start(self, name: str) -> _SharedLookup:
        try:
            query = address_query(name)
        except dns.exception.DNSException as error:
            cause = f"not a name: {error}"
            raise ResolverError(cause, Kind.NAME_FAILURE, Meaning.VERDICT) from error
        self._gate.pass_(name, "A")
        shared = self._lookups[name] = _SharedLookup(self._clock())
        self._nursery.start_soon(self._look_up, name, query, shared)
        return shared

    def _patience(self) -> float:
        """Return the seconds for the server that is asked last, by the host's resolv.conf."""
        return self._timeouts.last * self._timeouts.options().seconds / Options().seconds

    async def _look_up(self, name: str, query: QueryMessage, shared: _SharedLookup) -> None:
        """Ask until there is an answer or a verdict; whoever waits learns of it in any case."""
        try:
            async with trio.open_nursery() as nursery:
                await self._ask_on(name, query, shared, Late(nursery))
                nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - what nobody expected ends this lookup alone
            note(self._record, "lookup", error)
            cause = f"a defect: {type(error).__name__}"
            shared.error = ResolverError(cause, Kind.DEFECT, Meaning.LOCAL)
            self._account.failed(name, "A", shared.error, verdict=False)
        except BaseException:  # cancelled, alone or in a group: the session ends
            self._account.unanswered(name, shared.error, self._clock() - shared.began)
            raise
        finally:
            del self._lookups[name]
            shared.done.set()

    async def _ask_on(
        self, name: str, query: QueryMessage, shared: _SharedLookup, late: Late
    ) -> None:
        """Ask round after round; a late answer to one ends the next, and the wait for it."""
        limits = Limits(self._timeouts.outage, self._timeouts.failing, self._timeouts.restart)
        hold, first = Hold(limits, shared.began), ""
        while shared.lookup is None:
            servers, is_asked_again = self._servers(), True
            with trio.CancelScope() as late.waiting:
                try:
                    shared.lookup = await self._ask(query, servers, late)
                except ResolverError as error:
                    shared.error, first = error, first or error.cause
                    is_asked_again = await self._is_asked_again(name, hold, shared)
            if not is_asked_again and late.answer is None:
                return
        self._keep(name, shared.lookup, servers)
        if first:
            kind, seconds = shared.error.kind, self._clock() - shared.began
            self._record(LookupHeld(name=name, kind=kind, cause=first, seconds=seconds))

    async def _ask(
        self, query: QueryMessage, servers: tuple[Destination, ...], late: Late
    ) -> Lookup:
        """Ask for a name's addresses, and for the rest of a chain that was cut short.

        Some resolvers follow a long chain for a while alone. Where they do not answer about its
        rest, what they did say counts, as it does for libc. A denied name is not asked for: who
        gets the answer sees that the chain leads there.
        """
        patience = self._patience()
        answer, late.answer = late.answer, None
        answer = answer or await self._rounds.ask(query, servers, patience, late)
        found = end = from_answer(answer)
        with contextlib.suppress(ResolverError):
            for _ in range(MAX_FURTHER):
                if not found.is_cut_short or not end.chain:
                    break
                if not self._gate.may_follow(canonical(found.owner.to_text())):
                    break
                further = address_query(found.owner)
                end = from_answer(await self._rounds.ask(further, servers, patience))
                found = joined(found, end)
        return found

    def network_changed(self) -> None:
        """Forget what was true of the network's ways."""
        self._rounds.edns.forget()

    async def _is_asked_again(self, name: str, hold: Hold, shared: _SharedLookup) -> bool:
        """Return, when it is time, whether to ask for a name once more after a failed round."""
        old = self._cache.last_known(name)
        if old is not None:
            old.failed_at = self._clock()
            return False
        has_answered = self._rounds.answers > 0
        judged = hold.failed(shared.error, self._clock(), has_answered=has_answered)
        match judged:
            case PassOn(error):
                shared.error = error
                self._keep_failure(name, error)
                verdict = error.meaning is Meaning.VERDICT
                self._account.failed(name, "A", error, verdict=verdict)
                return False
            case LookInto():
                is_answered = await self._prober.is_anything_answered()
                if not hold.looked_into(self._clock(), is_answered=is_answered):
                    await trio.sleep(self._timeouts.pause)
                return True
            case _:
                assert_never(judged)

    def _keep_failure(self, question: Hashable, error: ResolverError) -> None:
        """Remember what the resolvers are to blame for; what this host lacks may be there soon."""
        if error.meaning is not Meaning.LOCAL:
            self._failures.keep(question, error, self._servers(), self._clock())

    def _note(self, name: str, rdtype: str, error: ResolverError) -> None:
        """Record a failure, later if it is not yet known whose fault it is."""
        verdict = is_verdict(error, has_answered=self._rounds.answers > 0)
        if verdict or error.meaning is Meaning.LOCAL:
            self._account.failed(name, rdtype, error, verdict=verdict)
        else:
            self._nursery.start_soon(self._note_judged, name, rdtype, error)

    async def _note_judged(self, name: str, rdtype: str, error: ResolverError) -> None:
        """Record a failure: an outage's if nothing else is answered either."""
        verdict = False
        try:
            verdict = await self._prober.is_anything_answered()
        finally:
            self._account.failed(name, rdtype, error, verdict=verdict)

    def _keep(self, name: str, lookup: Lookup, servers: tuple[Destination, ...]) -> None:
        self._cache.keep(name, lookup, servers, self._clock())
        if lookup.addresses:
            self._prober.last_good = name

    def _stale(self, name: str, entry: CacheEntry, error: ResolverError) -> Lookup:
        if not entry.reported:
            entry.reported = True
            self._record(ServedStale(name=name, kind=error.kind, cause=error.cause))
        return replace(entry.lookup, ttl=STALE_TTL)
