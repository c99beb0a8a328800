"""How a query is answered: by policy first, then from the cache, then by the resolvers.

A denied name is refused before any query leaves the host, as a name can itself carry secrets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import dns.message
import dns.rcode
import dns.rdatatype
import trio

from relay.addresses import is_ipv4
from relay.dns import messages
from relay.dns.lookup.cache import Lookup
from relay.dns.lookup.errors import ResolverError
from relay.dns.lookup.resolver import Resolver
from relay.dns.messages import Query
from relay.dns.synthetic import PoolExhaustedError, SyntheticAddresses
from relay.record.events import AnswerWithheld, Event, LookupFailed, NameAssigned, NameRefused
from relay.record.kinds import Kind

MAX_WITHHELD = 10_000
"""Names and types that are recorded as withheld; further ones are not recorded."""

ADDRESS_TYPES = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA})


@dataclass(eq=False)
class Responder:
    """Makes the name server's answers, and records what was refused, assigned or withheld."""

    _resolver: Resolver
    _synthetic: SyntheticAddresses
    _denied: Callable[[str], str | None]
    """Returns the rule that denies a name, None if it may be looked up."""
    _record: Callable[[Event], None]
    _mode: Literal["synthetic", "real"]
    _clock: Callable[[], float] = trio.current_time
    is_own: Callable[[str], bool] = lambda _address: False
    """Returns whether an address is the host's own, which the namespace shows as its own too."""
    _withheld: set[tuple[str, str]] = field(default_factory=set)

    def at_once(self, query: Query) -> dns.message.Message | None:
        """Answer without asking a resolver; None if one has to be asked."""
        local = messages.local_answer(query, self._synthetic)
        if local is not None:
            return local
        rule = self._denied(query.name)
        if rule is not None:
            kind = Kind.POLICY
            self._record(NameRefused(name=query.name, type=query.type_name, kind=kind, rule=rule))
            return messages.reply(query, dns.rcode.REFUSED)
        if query.type == dns.rdatatype.ANY:
            return messages.minimal_any(query)
        if query.type not in ADDRESS_TYPES:
            return None
        known = self._resolver.cached(query.name)
        return None if known is None else self._addresses(query, known)

    async def ask(self, query: Query) -> dns.message.Message:
        """Answer a query for which at_once() returned None.

        An error is passed on with the code that the resolvers gave, so that the program does what
        it does alone: each C library, and each language's own, has rules by code. SERVFAIL if no
        resolver answers.
        """
        try:
            if query.type in ADDRESS_TYPES:
                return self._addresses(query, await self._resolver.addresses(query.name))
            upstream = await self._resolver.query(messages.upstream_query(query))
        except ResolverError as error:  # the resolver has recorded it
            return messages.failure(query, error.rcode)
        forwarded = messages.forwarded(query, upstream)
        if forwarded.withheld:
            self._note_withheld(query, "IPv6 addresses, address hints or glue removed")
        return forwarded.response

    def _addresses(self, query: Query, lookup: Lookup) -> dns.message.Message:
        if query.type == dns.rdatatype.AAAA:
            if lookup.rcode == dns.rcode.NOERROR:
                self._note_withheld(query, "IPv4 only")
            return messages.no_addresses(query, lookup)
        try:
            return messages.addresses(query, lookup, self._given(query, lookup))
        except PoolExhaustedError as error:
            kind, cause = Kind.RESOURCES, str(error)
            self._record(LookupFailed(name=query.name, type="A", kind=kind, cause=cause))
            return messages.reply(query, dns.rcode.SERVFAIL)

    def _given(self, query: Query, lookup: Lookup) -> Sequence[str]:
        """Return the addresses for the program: a synthetic one in place of the real ones.

        Addresses that the relay may not dial stay as they are, and mean what they mean where they
        are written as such: loopback the program's own, for example. So do those of the host's own
        name, for at them servers of the namespace are found, and those of a name that is written
        like an address, for a synthetic one could not tell the two apart.
        """
        if self._mode == "real" or not lookup.is_dialable or is_ipv4(query.name):
            return lookup.addresses
        if any(map(self.is_own, lookup.addresses)):
            return lookup.addresses
        address, is_new, displaced = self._synthetic.assign(query.name, self._clock())
        if is_new:
            self._record(NameAssigned(name=query.name, address=address, displaced=displaced))
        return [address]

    def _note_withheld(self, query: Query, why: str) -> None:
        key = (query.name, query.type_name)
        if key not in self._withheld and len(self._withheld) < MAX_WITHHELD:
            self._withheld.add(key)
            self._record(AnswerWithheld(name=query.name, type=query.type_name, why=why))
