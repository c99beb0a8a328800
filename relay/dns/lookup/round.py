"""One round of a question: one server is asked after the other, until one of them answers.

A late answer is still an answer: the servers asked before are listened to while the next is asked,
and where the round belongs to a lookup, for a while after it.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import trio
from dns.message import QueryMessage

from relay.addresses import DNS_PORT, Destination
from relay.barrier import note
from relay.dns.lookup.edns import EdnsMemory
from relay.dns.lookup.errors import Meaning, ResolverError, UpstreamError
from relay.dns.lookup.evidence import summed_up
from relay.dns.lookup.question import How, ask
from relay.host.resolv_conf import Options
from relay.record.events import Event, ResolverSilent
from relay.record.kinds import Kind

_Outcome: TypeAlias = tuple[Destination, QueryMessage | UpstreamError]


@dataclass(eq=False)
class Late:
    """What comes of a lookup's questions after their round: libc too listens on, and asks again.

    The questions of the latest round alone go on, in the lookup's nursery. An answer wakes the
    lookup from whatever it does meanwhile. One that comes while it is about to end with a failure
    is found in `answer`.
    """

    nursery: trio.Nursery
    answer: QueryMessage | None = None
    waiting: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Around what the lookup does."""
    _race: "_Race | None" = None

    def keep(self, race: "_Race | None") -> None:
        """Let the questions of a race go on, in place of those of the one before."""
        if self._race is not None:
            self._race.cancel()
        self._race = race

    def take(self, answer: QueryMessage) -> None:
        """Have the lookup end with an answer."""
        self.answer = answer
        self.waiting.cancel()


@dataclass(eq=False)
class _Race:
    """The questions of one round."""

    report: trio.MemorySendChannel[_Outcome]
    late: Late | None
    is_over: bool = False
    """Whether nobody reads reports any more."""
    _is_cancelled: bool = False
    _scopes: list[trio.CancelScope] = field(default_factory=list)

    def scope(self) -> trio.CancelScope:
        """Return a scope for one more question; it is cancelled if the race was meanwhile."""
        scope = trio.CancelScope()
        self._scopes.append(scope)
        if self._is_cancelled:
            scope.cancel()
        return scope

    def cancel(self) -> None:
        """Ask no more."""
        self._is_cancelled = True
        for scope in self._scopes:
            scope.cancel()


@dataclass(eq=False)
class Rounds:
    """Asks servers, and remembers which of them answer."""

    _record: Callable[[Event], None]
    _interval: float
    """Seconds for one server, before the next is asked too, or the same once more."""
    _options: Callable[[], Options] = Options
    edns: EdnsMemory = field(default_factory=EdnsMemory)
    answers: int = 0
    """Usable answers so far, whatever the question was."""
    _silent: set[Destination] = field(default_factory=set)
    """Servers that have failed since they last answered."""
    _turns: int = 0

    async def ask(
        self,
        message: QueryMessage,
        servers: tuple[Destination, ...],
        patience: float,
        late: Late | None = None,
    ) -> QueryMessage:
        """Return the first usable answer (NOERROR or NXDOMAIN); raises ResolverError.

        `patience`: seconds for the server that is asked last.
        """
        if not servers:
            cause = "no IPv4 name server is configured"
            raise ResolverError(cause, Kind.NO_RESOLVER, Meaning.SILENT)
        options = self._options()
        if options.rotate:
            self._turns += 1
            first = self._turns % len(servers)
            servers = servers[first:] + servers[:first]
        how = How(min(self._interval, options.timeout), self.edns, options.use_vc)
        failures = dict.fromkeys(servers, _silence(patience))
        answer = await self._race(message, failures, patience, how, late)
        if answer is None:
            raise summed_up({_text(server): failure for server, failure in failures.items()})
        return answer

    async def _race(
        self,
        message: QueryMessage,
        failures: dict[Destination, UpstreamError],
        patience: float,
        how: How,
        late: Late | None,
    ) -> QueryMessage | None:
        """Ask one server after the other, while those before it may still answer.

        Return None if all have failed; `failures` then holds how each one did.

        The first usable answer cancels the questions to all other servers. Several outcomes may
        come at once: the channel has room for one of each server, so that no task waits to report,
        and outcomes that nobody reads any more are dropped with the channel. An outcome that comes
        just as the wait for it times out is not lost: receive() either returns it or leaves it in
        the channel for the next turn; after the last turn, when the time is up, the channel is
        looked at once more, and what comes then is late. No other task runs between the two.
        """
        report, outcomes = trio.open_memory_channel[_Outcome](len(failures))
        race = _Race(report, late)
        async with trio.open_nursery() as nursery:
            tasks = nursery if late is None else late.nursery

            def begin(server: Destination) -> None:
                tasks.start_soon(self._ask, race, server, message, how)

            try:
                answer = await self._first(outcomes, failures, patience, how.interval, begin)
            except BaseException:
                race.cancel()
                raise
            race.is_over = True
            if late is not None:
                late.keep(race if answer is None else None)
            if answer is not None or late is None:
                race.cancel()
        return answer

    async def _first(
        self,
        outcomes: trio.MemoryReceiveChannel[_Outcome],
        failures: dict[Destination, UpstreamError],
        patience: float,
        interval: float,
        begin: Callable[[Destination], None],
    ) -> QueryMessage | None:
        """Return the first usable answer, None when there is none and the time is up."""
        waiting = deque(failures)
        running, until = 0, math.inf
        while waiting or running:
            if waiting:
                latest = waiting.popleft()
                begin(latest)
                running += 1
                until = trio.current_time() + (interval if waiting else patience)
            outcome = None
            with trio.move_on_at(until):
                server, outcome = await outcomes.receive()
            if outcome is None and not waiting:
                try:
                    server, outcome = outcomes.receive_nowait()
                except trio.WouldBlock:
                    self._note_silence(latest, _silence(patience))
                    return None
            if outcome is None:
                self._note_silence(latest, _silence(interval))
            elif isinstance(outcome, UpstreamError):
                running -= 1
                failures[server] = outcome
                self._note_silence(server, outcome)
            else:
                return outcome
        return None

    async def _ask(self, race: _Race, server: Destination, message: QueryMessage, how: How) -> None:
        outcome: QueryMessage | UpstreamError
        with race.scope():
            try:
                outcome = await ask(server, message, how)
            except UpstreamError as error:
                outcome = error
            except Exception as error:  # noqa: BLE001 - it costs this server's answer
                note(self._record, "question to a resolver", error)
                outcome = UpstreamError(f"a defect: {type(error).__name__}", Kind.DEFECT)
            if isinstance(outcome, QueryMessage):
                self.answers += 1
                self._silent.discard(server)
            if not race.is_over:
                race.report.send_nowait((server, outcome))
            elif race.late is not None and isinstance(outcome, QueryMessage):
                race.late.take(outcome)

    def _note_silence(self, server: Destination, error: UpstreamError) -> None:
        """Record a server's first failure since it last answered: an outage has thousands."""
        if server not in self._silent:
            self._silent.add(server)
            kind, cause = error.kind, error.cause
            self._record(ResolverSilent(server=_text(server), kind=kind, cause=cause))


def _silence(seconds: float) -> UpstreamError:
    return UpstreamError(f"no answer in {seconds:g} s", Kind.TIMEOUT)


def _text(server: Destination) -> str:
    return server.without_port(DNS_PORT)
