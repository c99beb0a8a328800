"""One round of a question: one server is asked after the other, until one of them answers.

A late answer is still an answer: the servers asked before are listened to while the next is asked.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import trio
from dns.message import QueryMessage

from relay.addresses import Destination
from relay.barrier import note
from relay.config import DNS_PORT
from relay.dns.lookup.edns import EdnsMemory
from relay.dns.lookup.errors import Meaning, ResolverError, UpstreamError
from relay.dns.lookup.evidence import summed_up
from relay.dns.lookup.question import How, ask
from relay.record.events import Event, ResolverSilent
from relay.record.kinds import Kind

_Outcome: TypeAlias = tuple[Destination, QueryMessage | UpstreamError]


@dataclass(eq=False)
class Rounds:
    """Asks servers, and remembers which of them answer."""

    _record: Callable[[Event], None]
    _interval: float
    """Seconds for one server, before the next is asked too, or the same once more."""
    edns: EdnsMemory = field(default_factory=EdnsMemory)
    answers: int = 0
    """Usable answers so far, whatever the question was."""
    _silent: set[Destination] = field(default_factory=set)
    """Servers that have failed since they last answered."""

    async def ask(
        self, message: QueryMessage, servers: tuple[Destination, ...], patience: float
    ) -> QueryMessage:
        """Return the first usable answer (NOERROR or NXDOMAIN); raises ResolverError.

        `patience`: seconds for the server that is asked last.
        """
        if not servers:
            cause = "no IPv4 name server is configured"
            raise ResolverError(cause, Kind.NO_RESOLVER, Meaning.SILENT)
        failures = dict.fromkeys(servers, _silence(patience))
        answer = await self._race(message, failures, patience)
        if answer is None:
            raise summed_up({_text(server): failure for server, failure in failures.items()})
        self.answers += 1
        return answer

    async def _race(
        self, message: QueryMessage, failures: dict[Destination, UpstreamError], patience: float
    ) -> QueryMessage | None:
        """Ask one server after the other, while those before it may still answer.

        Return None if all have failed; `failures` then holds how each one did.

        The first usable answer cancels the questions to all other servers. Several outcomes may
        come at once: the channel has room for one of each server, so that no task waits to report,
        and outcomes that nobody reads any more are dropped with the channel. An outcome that comes
        just as the wait for it times out is not lost: receive() either returns it or leaves it in
        the channel for the next turn, but after the last turn, when the time is up.
        """
        waiting = deque(failures)
        running, until = 0, math.inf
        report, outcomes = trio.open_memory_channel[_Outcome](len(failures))
        async with trio.open_nursery() as nursery:
            while waiting or running:
                if waiting:
                    latest = waiting.popleft()
                    nursery.start_soon(self._ask, latest, message, report)
                    running += 1
                    until = trio.current_time() + (self._interval if waiting else patience)
                outcome = None
                with trio.move_on_at(until):
                    server, outcome = await outcomes.receive()
                if outcome is None:
                    self._note_silence(latest, _silence(self._interval if waiting else patience))
                    if not waiting:
                        break
                elif isinstance(outcome, UpstreamError):
                    running -= 1
                    failures[server] = outcome
                    self._note_silence(server, outcome)
                else:
                    self._silent.discard(server)
                    nursery.cancel_scope.cancel()
                    return outcome
            nursery.cancel_scope.cancel()
        return None

    async def _ask(
        self, server: Destination, message: QueryMessage, report: trio.MemorySendChannel[_Outcome]
    ) -> None:
        try:
            outcome = await ask(server, message, How(self._interval, self.edns))
        except UpstreamError as error:
            report.send_nowait((server, error))
        except Exception as error:  # noqa: BLE001 - it costs this server's answer
            note(self._record, "question to a resolver", error)
            defect = UpstreamError(f"a defect: {type(error).__name__}", Kind.DEFECT)
            report.send_nowait((server, defect))
        else:
            report.send_nowait((server, outcome))

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
