"""How a query is answered: by policy first, then from the cache, then by the resolvers.

A denied name is refused before any query leaves the host, as a name can itself carry secrets. So is
an answer that leads through a denied name, whenever it does: each answer is judged anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, assert_never

import dns.message
import dns.rcode
import dns.rdatatype
import trio
from dns.edns import EDECode

from relay.addresses import is_ipv4
from relay.dns import messages
from relay.dns.bounds.zones import zone_of
from relay.dns.local import LOCAL_TTL, local_answer, minimal_any
from relay.dns.lookup.cache import Lookup
from relay.dns.lookup.errors import ResolverError
from relay.dns.lookup.resolver import Resolver
from relay.dns.messages import Explanation, Query
from relay.dns.synthetic import PoolExhaustedError, SyntheticAddresses
from relay.policy.host_ports import HostItself
from relay.policy.policy import Policy
from relay.policy.verdicts import NOT_ALLOWED, UNRESOLVED, Allow, ByAddress, Deny
from relay.record.events import (
    AnswerWithheld,
    Event,
    LookupFailed,
    NameAssigned,
    NameForwarded,
    NameRefused,
    NamesBounded,
)
from relay.record.kinds import Kind

ADDRESS_TYPES: Final = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA})


@dataclass(eq=False)
class Responder:
    """Makes the name server's answers, and records what was refused, assigned or withheld."""

    _resolver: Resolver
    _synthetic: SyntheticAddresses
    _policy: Policy
    """Whose rules may change in place: CurrentPolicy."""
    _record: Callable[[Event], None]
    _mode: Literal["synthetic", "real"]
    _host: HostItself
    """How programs know the host."""
    _clock: Callable[[], float] = trio.current_time
    is_own: Callable[[str], bool] = lambda _address: False
    """Returns whether an address is the host's own, which the namespace shows as its own too."""
    is_left: Callable[[str], bool] = lambda _name: False
    """Returns whether a name is left to a proxy: nobody here knows what it resolves to."""

    def at_once(self, query: Query) -> dns.message.Message | None:
        """Answer without asking a resolver; None if one has to be asked."""
        denied = self._denied_host(query)
        if denied is None:
            local = local_answer(query, self._synthetic, self._host)
            if local is not None:
                return local
            denied = self._denied(query)
        if denied is not None:
            return self._refuse(query, denied)
        if query.type == dns.rdatatype.ANY:
            return minimal_any(query)
        if self.is_left(query.name):
            return self._left(query)
        if query.type not in ADDRESS_TYPES:
            return None
        known = self._resolver.cached(query.name)
        return None if known is None else self._addresses(query, known)

    def last_known(self, query: Query) -> dns.message.Message | None:
        """Answer with the last known addresses, RFC 8767, for whom no resolver can be asked."""
        known = self._resolver.last_known(query.name) if query.type in ADDRESS_TYPES else None
        return None if known is None else self._addresses(query, known)

    async def ask(self, query: Query) -> dns.message.Message:
        """Answer a query for which at_once() returned None.

        An error is passed on with the code that the resolvers gave, so that the program does what
        it does alone: each C library, and each language's own, has rules by code. SERVFAIL if no
        resolver answers.
        """
        is_allowlist = self._policy.is_allowlist
        try:
            if query.type in ADDRESS_TYPES:
                return self._addresses(query, await self._resolver.addresses(query.name))
            question = messages.upstream_query(query, in_lower_case=is_allowlist)
            upstream = await self._resolver.query(question)
        except ResolverError as error:
            return self._failure(query, error)
        if denial := self._policy.denied_alias(messages.aliases(upstream)):
            return self._refuse(query, *denial)
        forwarded = messages.forwarded(query, upstream, without_ech=is_allowlist)
        if forwarded.withheld:
            ech = ", ech" if is_allowlist else ""
            self._note_withheld(query, f"IPv6 addresses, address hints{ech} or glue removed")
        return forwarded.response

    def _failure(self, query: Query, error: ResolverError) -> dns.message.Message:
        """Pass a failure on. The resolver has recorded it, but for what it was not let ask."""
        if error.kind is not Kind.CHANNEL:
            return messages.failure(query, error.rcode)
        self._record(NamesBounded(zone=zone_of(query.name), kind=error.kind, cause=error.cause))
        return messages.failure(query, error.rcode, Explanation(EDECode.FILTERED, error.cause))

    def _denied_host(self, query: Query) -> Deny | None:
        """Return the deny rule about one of the host's names, which need no allow rule."""
        if query.name not in self._host.names:
            return None
        verdict = self._policy.judge_alias(query.name)
        return verdict if isinstance(verdict, Deny) else None

    def _denied(self, query: Query) -> Deny | None:
        """Return why a query may not leave, None if it may.

        Where addresses decide, no rule speaks of the name: nothing but its addresses is of use.
        """
        verdict = self._policy.judge_name(query.name)
        match verdict:
            case Deny():
                return verdict
            case ByAddress() if self.is_left(query.name):
                return Deny(UNRESOLVED)
            case ByAddress():
                return None if query.type in ADDRESS_TYPES else Deny(NOT_ALLOWED)
            case Allow():
                return None
            case _:
                assert_never(verdict)

    def _refuse(self, query: Query, denied: Deny, alias: str = "") -> dns.message.Message:
        """Refuse a name, or an answer that leads through a denied alias; say why, RFC 8914."""
        event = NameRefused(
            name=query.name,
            type=query.type_name,
            kind=Kind.POLICY,
            rule=denied.rule,
            reason=denied.reason,
            alias=alias,
        )
        self._record(event)
        code = EDECode.BLOCKED if denied.is_by_rule else EDECode.FILTERED
        return messages.reply(query, dns.rcode.REFUSED, why=Explanation(code, denied.told))

    def _addresses(self, query: Query, lookup: Lookup) -> dns.message.Message:
        if denial := self._policy.denied_alias(lookup.aliases):
            return self._refuse(query, *denial)
        if not lookup.addresses:
            self._record(NameForwarded(name=query.name, type="A"))
        if query.type == dns.rdatatype.AAAA:
            if lookup.rcode == dns.rcode.NOERROR:
                self._note_withheld(query, "IPv4 only")
            return messages.no_addresses(query, lookup)
        try:
            return messages.addresses(query, lookup, self._given(query, lookup))
        except PoolExhaustedError as error:
            return self._exhausted(query, error)

    def _given(self, query: Query, lookup: Lookup) -> Sequence[str]:
        """Return the addresses for the program: a synthetic one in place of the real ones.

        Addresses that the relay may not dial stay as they are, and mean what they mean where they
        are written as such: loopback the program's own, for example. So do those of the host's own
        name, for at them servers of the namespace are found, and those of a name that is written
        like an address, for a synthetic one could not tell the two apart.
        """
        is_real = self._mode == "real" or not lookup.is_dialable or is_ipv4(query.name)
        if is_real or any(map(self.is_own, lookup.addresses)):
            self._record(NameForwarded(name=query.name, type="A"))
            return lookup.addresses
        return [self._assigned(query)]

    def _left(self, query: Query) -> dns.message.Message:
        """Answer for a name that a proxy resolves: it has a synthetic address, and nothing else.

        Whether it exists shows when it is dialled. An address that is asked for as if it were a
        name has no other.
        """
        if query.type != dns.rdatatype.A or is_ipv4(query.name):
            return messages.reply(query)
        nothing_known = Lookup(dns.rcode.NOERROR, query.owner, (), LOCAL_TTL)
        try:
            given = [self._assigned(query)]
        except PoolExhaustedError as error:
            return self._exhausted(query, error)
        return messages.addresses(query, nothing_known, given)

    def _assigned(self, query: Query) -> str:
        """Return the address that stands for a name; raises PoolExhaustedError."""
        address, is_new, displaced = self._synthetic.assign(query.name, self._clock())
        if is_new:
            self._record(NameAssigned(name=query.name, address=address, displaced=displaced))
        return address

    def _exhausted(self, query: Query, error: PoolExhaustedError) -> dns.message.Message:
        kind, cause = Kind.RESOURCES, str(error)
        self._record(LookupFailed(name=query.name, type="A", kind=kind, cause=cause))
        return messages.reply(query, dns.rcode.SERVFAIL)

    def _note_withheld(self, query: Query, why: str) -> None:
        self._record(AnswerWithheld(name=query.name, type=query.type_name, why=why))
