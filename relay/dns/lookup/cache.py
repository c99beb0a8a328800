"""Answers about IPv4 addresses, and for how long they are cached; pure.

An answer is fresh only for the servers that gave it: other servers may see another network.
Expired answers are kept for an outage, RFC 8767.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import dns.message
import dns.name
import dns.rcode
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import CNAME, SOA, A

from relay.addresses import canonical, is_dialable
from relay.dns.lookup.errors import ResolverError

MAX_TTL = 3600
"""Seconds. Longer than most TTLs, short enough for a session of weeks to follow a service."""

MAX_NEGATIVE_TTL = 300
"""Seconds. A name that was missing before the VPN came up must not stay missing for hours."""

MAX_ENTRIES = 10_000
"""Names. The one refreshed longest ago makes room for a new one."""

FAILURE_TTL = 1.0
"""Seconds for which a failure is cached, the least that RFC 9520 section 3.2 allows.

libc asks five times in a row; a program that tries again later gets the answer of that moment."""

MAX_FAILURES = 1024
"""Questions whose failure is cached."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to an A query, with the CNAME chain that led to it."""

    rcode: dns.rcode.Rcode
    """NOERROR or NXDOMAIN."""
    owner: dns.name.Name
    """The end of the chain: the name that owns the addresses, or would."""
    addresses: tuple[str, ...]
    ttl: int
    """Seconds for which the answer may be kept; 0: not at all."""
    chain: tuple[dns.rrset.RRset, ...] = ()
    soa: dns.rrset.RRset | None = None
    """The zone's SOA from a negative answer, if it was given: RFC 2308 section 3."""

    @property
    def is_cut_short(self) -> bool:
        """Whether the answer ends with an alias and says nothing of the name that it leads to."""
        if self.rcode != dns.rcode.NOERROR or self.addresses or self.soa is not None:
            return False
        return bool(self.chain) and self.owner not in {alias.name for alias in self.chain}

    @property
    def aliases(self) -> tuple[str, ...]:
        """The names that the chain leads through and to, in canonical form, as policy sees them."""
        if not self.chain:
            return ()
        names = [alias.name for alias in self.chain[1:]] + [self.owner]
        return tuple(dict.fromkeys(canonical(name.to_text()) for name in names))

    @property
    def is_dialable(self) -> bool:
        """Whether the relay may dial one of the addresses for the program."""
        return any(map(is_dialable, self.addresses))


def from_answer(answer: dns.message.QueryMessage) -> Lookup:
    """Read the answer to an A query, however long its chain of CNAMEs is.

    As with libc, an alias of itself is a name without addresses, and an NXDOMAIN has none.
    """
    owner, chain = answer.question[0].name, list[dns.rrset.RRset]()
    records = {(each.name, each.rdtype): each for each in answer.answer if each.rdclass == IN}
    while (found := records.get((owner, A))) is None:
        alias = records.pop((owner, CNAME), None)
        if alias is None:
            break
        chain.append(alias)
        owner = alias[0].target
    if answer.rcode() == dns.rcode.NXDOMAIN:
        found = None
    soa = next((rrset for rrset in answer.authority if rrset.rdtype == SOA), None)
    return Lookup(
        rcode=answer.rcode(),
        owner=owner,
        addresses=tuple(rdata.address for rdata in found or ()),
        ttl=_ttl(chain, found, soa),
        chain=tuple(chain),
        soa=soa,
    )


def joined(first: Lookup, second: Lookup) -> Lookup:
    """Return what a chain that was cut short and the answer about its end say together."""
    known = {alias.name for alias in first.chain}
    chain = (*first.chain, *(alias for alias in second.chain if alias.name not in known))
    ttl = min(second.ttl, *(alias.ttl for alias in first.chain))
    return replace(second, chain=chain, ttl=ttl)


@dataclass(slots=True)
class CacheEntry:
    """A name's last known answer."""

    lookup: Lookup
    servers: Hashable
    expires: float
    reported: bool = False
    """Whether its use after expiry has been recorded, which is done once."""
    failed_at: float = -math.inf
    """When a lookup last failed to replace it."""


class Cache:
    """Names in canonical form and their last known answers."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: dict[str, CacheEntry] = {}

    def keep(self, name: str, lookup: Lookup, servers: Hashable, now: float) -> None:
        """Replace the answer for a name."""
        self._entries.pop(name, None)  # so that the name goes to the end of the queue
        self._entries[name] = CacheEntry(lookup, servers, now + lookup.ttl)
        if len(self._entries) > self._max_entries:
            del self._entries[next(iter(self._entries))]

    def fresh(self, name: str, servers: Hashable, now: float) -> Lookup | None:
        """Return the answer unless it has expired, with what is left of its TTL."""
        entry = self._entries.get(name)
        if entry is None or entry.servers != servers or entry.expires <= now:
            return None
        return replace(entry.lookup, ttl=math.ceil(entry.expires - now))

    def last_known(self, name: str) -> CacheEntry | None:
        """Return the last answer, fresh or not, None if it had no addresses to serve."""
        entry = self._entries.get(name)
        return entry if entry is not None and entry.lookup.addresses else None


class Failures:
    """Questions and how they failed last, for a moment and for the servers that were asked."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, tuple[float, Hashable, ResolverError]] = {}

    def keep(self, question: Hashable, error: ResolverError, servers: Hashable, now: float) -> None:
        """Remember a failure; the oldest one makes room for it."""
        self._failures.pop(question, None)
        if len(self._failures) == MAX_FAILURES:
            del self._failures[next(iter(self._failures))]
        self._failures[question] = (now + FAILURE_TTL, servers, error.copy())

    def fresh(self, question: Hashable, servers: Hashable, now: float) -> ResolverError | None:
        """Return the failure, to be raised, unless its time is over."""
        if question not in self._failures:
            return None
        expires, asked, error = self._failures[question]
        if now < expires and servers == asked:
            return error.copy()
        del self._failures[question]
        return None


def _ttl(
    chain: Sequence[dns.rrset.RRset], found: dns.rrset.RRset | None, soa: dns.rrset.RRset | None
) -> int:
    """Return the least TTL; a negative answer without SOA is not kept, RFC 2308 section 5."""
    least = min((alias.ttl for alias in chain), default=MAX_TTL)
    if found is not None:
        return min(least, found.ttl, MAX_TTL)
    if soa is None:
        return 0
    minimum: int = soa[0].minimum
    return min(least, soa.ttl, minimum, MAX_NEGATIVE_TTL)
