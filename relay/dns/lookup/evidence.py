"""When a failed lookup is an outage, which is held, and when it is a verdict, passed on; pure.

A failure is an outage only while nothing has been answered after it. Rules, in order:

1. What the resolvers say of the question itself (REFUSED, NOTIMP, FORMERR) is a verdict at once, as
   NXDOMAIN is, which is an answer. Only SERVFAIL may come from an outage behind a resolver.
2. Where nobody listens, or a firewall forbids to ask, is a verdict at once if no resolver has
   answered in this session: it does not run, and a program alone would fail at once too. If one
   has, it may be starting anew, and is waited for: `restart` seconds.
3. What this host lacks is passed on at once: a lookup that waits keeps what all of them lack.
4. Everything else leaves a doubt, and something else is asked for: the name that resolved last, or
   the root before there is one. If nothing else is answered either, that is an outage: held for
   `outage` seconds, or for `failing` while resolvers answer SERVFAIL.
5. If something is answered, the name is asked for once more, for it may have been the moment in
   which the outage ended. If it fails again, that is the verdict. After an outage that was seen it
   is asked for a while, `restart` seconds, as resolvers remember their own failures: RFC 9520.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.dns.lookup.errors import (
    SERVFAIL,
    FailureAnswerError,
    Meaning,
    RejectedError,
    ResolverError,
    UpstreamError,
)
from relay.host.resolv_conf import Options
from relay.record.kinds import Kind


def summed_up(failures: Mapping[str, UpstreamError]) -> ResolverError:
    """Return what the failures of all servers, by their names, come to; there is at least one.

    A server that said something counts for more than one that did not, and an earlier one for more
    than a later one.
    """
    cause = "; ".join(f"{server}: {failure}" for server, failure in failures.items())
    said = [error for error in failures.values() if isinstance(error, FailureAnswerError)]
    verdicts = [error for error in said if error.rcode != SERVFAIL]
    first = next(iter(verdicts or said or failures.values()))
    return ResolverError(
        cause, first.kind, _meaning(failures), verdicts[0].rcode if verdicts else SERVFAIL
    )


def _meaning(failures: Mapping[str, UpstreamError]) -> Meaning:
    meanings = set(map(_meaning_of_one, failures.values()))
    if Meaning.LOCAL in meanings:
        return Meaning.LOCAL
    if meanings == {Meaning.REJECTED}:
        return Meaning.REJECTED
    if meanings <= {Meaning.VERDICT, Meaning.REJECTED}:
        return Meaning.VERDICT
    return Meaning.SILENT if meanings <= {Meaning.SILENT, Meaning.REJECTED} else Meaning.FAILING


def _meaning_of_one(failure: UpstreamError) -> Meaning:
    match failure:
        case FailureAnswerError():
            return Meaning.FAILING if failure.rcode == SERVFAIL else Meaning.VERDICT
        case RejectedError():
            return Meaning.REJECTED
        case UpstreamError(kind=Kind.RESOURCES | Kind.OTHER):
            return Meaning.LOCAL
        case UpstreamError(kind=Kind.MALFORMED | Kind.CLOSED):
            return Meaning.FAILING  # it has answered
        case _:
            return Meaning.SILENT


@dataclass(frozen=True, slots=True)
class ResolverTimeouts:
    """How long to wait for resolvers, in seconds."""

    server: float = 2.0
    """For one server, before the next is asked too; also between two datagrams to the same one."""
    last: float = 5.0
    """For the last of them: they are asked twice, or once for twice as long, which is as long as
    libc asks by itself. Where resolv.conf(5) has other numbers, it is their part of its 10 s."""
    options: Callable[[], Options] = Options
    """Returns how the host's libc asks now."""
    outage: float = 300.0
    """For the addresses of a name never seen, while nothing is answered: a program copes better
    with a slow answer than with a failure."""
    failing: float = 30.0
    """For the same, while the resolvers answer SERVFAIL to all that is asked."""
    restart: float = 5.0
    """For the same, while nobody listens where a resolver has answered before: as long as it may
    take to start again. A program alone would fail at once."""
    pause: float = 1.0
    """Before all of them are asked again."""
    stale: float = 0.5
    """Before an expired answer is served, while the lookup goes on. RFC 8767 section 5 waits for
    1.8; a dial to an address that does not answer looks the name up again, so this risks little."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a lookup is held, in seconds."""

    outage: float
    failing: float
    restart: float


@dataclass(frozen=True, slots=True)
class PassOn:
    """The program gets the failure."""

    error: ResolverError


@dataclass(frozen=True, slots=True)
class LookInto:
    """Something else is to be asked for; `Hold.looked_into` then takes whether it was answered."""


def is_verdict(error: ResolverError, *, has_answered: bool) -> bool:
    """Return whether a failure needs no further evidence (rules 1 and 2).

    `has_answered`: some resolver has, at any time in this session.
    """
    is_dead = error.meaning is Meaning.REJECTED and not has_answered
    return is_dead or error.meaning is Meaning.VERDICT


class Hold:
    """One lookup that goes on until it has an answer or a verdict."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._held_for = {
            Meaning.LOCAL: 0.0,
            Meaning.REJECTED: limits.restart,
            Meaning.FAILING: limits.failing,
            Meaning.SILENT: limits.outage,
        }
        self._began = now
        self._meaning: Meaning | None = None
        self._since = now
        """When failures of the latest meaning began."""
        self._was_held = False
        self._cleared_at = math.inf
        """When something else was first answered after a failure."""

    def failed(self, error: ResolverError, now: float, *, has_answered: bool) -> PassOn | LookInto:
        """Judge a failed round; `has_answered` as above."""
        if self._meaning not in {None, error.meaning}:
            self._since = now
        self._meaning = error.meaning
        if is_verdict(error, has_answered=has_answered):
            return PassOn(ResolverError(error.cause, error.kind, Meaning.VERDICT, error.rcode))
        if now - self._cleared_at >= (self._limits.restart if self._was_held else 0):
            cause = f"{error.cause}, while other names are answered"
            return PassOn(ResolverError(cause, Kind.NAME_FAILURE, Meaning.VERDICT, error.rcode))
        limit = self._held_for[error.meaning]
        if now - self._since >= limit or now - self._began >= self._limits.outage:
            return PassOn(error)
        return LookInto()

    def looked_into(self, now: float, *, is_answered: bool) -> bool:
        """Return whether to ask for the name again at once, or else after a pause."""
        if not is_answered:
            self._was_held = True
            self._cleared_at = math.inf
            return False
        self._cleared_at = min(self._cleared_at, now)
        return not self._was_held
