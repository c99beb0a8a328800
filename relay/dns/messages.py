"""The program's queries, read from bytes, and the answers to them, made and written; pure.

The only addresses in an answer are IPv4 ones that the caller passes in.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import (
    AXFR,
    CNAME,
    HTTPS,
    IXFR,
    MAILA,
    MAILB,
    NONE,
    OPT,
    SVCB,
    TKEY,
    TSIG,
    A,
)
from dns.rrset import from_rdata_list

from relay.addresses import canonical
from relay.dns.cleaning import cleaned
from relay.dns.framing import HEADER_SIZE, PAYLOAD
from relay.dns.lookup.cache import Lookup

MIN_UDP_SIZE = 512
MAX_UDP_SIZE = 65507
MAX_TCP_SIZE = 65535

MAX_RCODE = 15
"""Four bits of the header, RFC 1035 section 4.1.1."""

MAX_EXPLANATION: Final = 160
"""Octets of an explanation: with the longest name it has room in a datagram of 512."""

REFUSED_TYPES = frozenset({NONE, OPT, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA})
"""Types that no forwarder serves: transfers, and the meta types of RFC 6895 section 3.1."""


@dataclass(frozen=True, slots=True)
class Query:
    """A well-formed query of class IN with one question."""

    message: dns.message.QueryMessage
    name: str
    """In canonical form, as policy and the record see it.

    It is RFC 1035's text form: dnspython escapes each octet that would end a label, or could not be
    printed, so that the text has the labels of the wire, and address_query() makes them of it.
    """
    type: dns.rdatatype.RdataType

    @property
    def owner(self) -> dns.name.Name:
        """The name as it was asked for, in the same case."""
        return self.message.question[0].name

    @property
    def type_name(self) -> str:
        """The type as people write it."""
        return dns.rdatatype.to_text(self.type)


class Explanation(NamedTuple):
    """Why a name is refused: an Extended DNS Error, RFC 8914."""

    code: dns.edns.EDECode
    text: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An upstream answer as the program may see it."""

    response: dns.message.Message
    withheld: bool
    """Whether anything was removed from it."""


class QueryError(Exception):
    """The query cannot be served; `response` is the error message for the program."""

    def __init__(self, rcode: dns.rcode.Rcode, response: bytes) -> None:
        super().__init__(dns.rcode.to_text(rcode))
        self.response = response


def parse(wire: bytes) -> Query | None:
    """Read a query; None for what gets no answer at all: no header, or a response itself.

    Raises QueryError for everything else that is not one question of class IN.
    """
    if len(wire) < HEADER_SIZE or wire[2] & 0x80:
        return None
    flags, questions = struct.unpack_from("!HH", wire, 2)
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        raise _unread(wire, dns.rcode.NOTIMP)
    if questions != 1:
        raise _unread(wire, dns.rcode.FORMERR)  # RFC 9619
    try:
        # TSIG and SIG(0) are not checked: the relay has no keys, and the server meant is another.
        message = dns.message.from_wire(wire, keyring=False)
    except dns.exception.DNSException:
        raise _unread(wire, dns.rcode.FORMERR) from None
    assert isinstance(message, dns.message.QueryMessage)
    question = message.question[0]
    query = Query(message, canonical(question.name.to_text()), question.rdtype)
    if message.edns > 0:
        raise _refusal(query, dns.rcode.BADVERS)  # RFC 6891 section 6.1.3
    if question.rdclass != IN or query.type in REFUSED_TYPES:
        raise _refusal(query, dns.rcode.REFUSED)
    return query


def upstream_query(query: Query, *, in_lower_case: bool = False) -> dns.message.QueryMessage:
    """Return the same question for a resolver: a new id, and EDNS if the program's has it.

    Its options are left out: they are for one hop. Upper case is, where it could carry something.
    """
    owner = query.owner.canonicalize() if in_lower_case else query.owner
    return dns.message.make_query(
        owner,
        query.type,
        use_edns=query.message.edns >= 0,
        payload=PAYLOAD,
        want_dnssec=_wants_dnssec(query),
        flags=query.message.flags & (dns.flags.RD | dns.flags.CD | dns.flags.AD),
    )


def addresses(query: Query, lookup: Lookup, given: Sequence[str]) -> dns.message.Message:
    """Answer A: the chain of CNAMEs as upstream gave it, and at its end the given addresses.

    All records get the least TTL among them, as the chain is of no use without its end.
    """
    answer = [from_rdata_list(cname.name, lookup.ttl, list(cname)) for cname in lookup.chain]
    if not given:
        return reply(query, lookup.rcode, answer, _authority(lookup))
    answer.append(dns.rrset.from_text(lookup.owner, lookup.ttl, IN, A, *given))
    return reply(query, answer=answer)


def no_addresses(query: Query, lookup: Lookup) -> dns.message.Message:
    """Answer AAAA with no address; the A lookup has shown whether the name exists."""
    return reply(query, lookup.rcode, authority=_authority(lookup))


def aliases(upstream: dns.message.Message) -> Iterator[str]:
    """Yield the names to which an upstream answer leads in place of the one that was asked for.

    These are the targets of CNAMEs, and of HTTPS and SVCB records in alias mode (RFC 9460 section
    2.4.2). All other names in an answer (mail servers, targets of SRV, HTTPS in service mode) are
    data: a program has to look them up, which is judged then.
    """
    for rrset in upstream.answer:
        for rdata in rrset:
            if rrset.rdtype == CNAME or (rrset.rdtype in {HTTPS, SVCB} and not rdata.priority):
                yield canonical(rdata.target.to_text())


def forwarded(
    query: Query, upstream: dns.message.Message, *, without_ech: bool = False
) -> Forwarded:
    """Answer with the records of an upstream answer that the program may see.

    Whether they are authentic, the AD bit, is what the host's resolver says of all of them.
    """
    response = reply(query, upstream.rcode())
    response.sections[1:] = cleaned(upstream, without_ech=without_ech)
    withheld = response.sections[1:] != upstream.sections[1:]
    asks_for_ad = _wants_dnssec(query) or query.message.flags & dns.flags.AD
    if asks_for_ad and not withheld:  # RFC 6840 section 5.8
        response.flags |= upstream.flags & dns.flags.AD
    return Forwarded(response, withheld)


def reply(
    query: Query,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    answer: Iterable[dns.rrset.RRset] = (),
    authority: Iterable[dns.rrset.RRset] = (),
    why: Explanation | None = None,
) -> dns.message.Message:
    """Make a response: id, question, RD and CD copied, RA set, OPT if the query has one.

    An explanation is an option of OPT, RFC 8914, so that none is given to a query without.
    """
    response = dns.message.make_response(
        query.message, recursion_available=True, our_payload=PAYLOAD, pad=0
    )
    response.flags |= query.message.flags & dns.flags.CD
    response.want_dnssec(_wants_dnssec(query))  # RFC 3225 section 3: DO is copied
    if why is not None and response.edns >= 0:
        text = why.text.encode()[:MAX_EXPLANATION].decode(errors="ignore")
        option = dns.edns.EDEOption(why.code, text)
        response.use_edns(0, response.ednsflags, PAYLOAD, options=[option])
    response.set_rcode(rcode)
    response.answer = list(answer)
    response.authority = list(authority)
    return response


def failure(query: Query, rcode: int, why: Explanation | None = None) -> dns.message.Message:
    """Answer with a resolver's RCODE; SERVFAIL for one that only EDNS can carry, RFC 6891."""
    fitting = dns.rcode.Rcode.make(rcode) if rcode <= MAX_RCODE else dns.rcode.SERVFAIL
    return reply(query, fitting, why=why)


def to_wire(query: Query, response: dns.message.Message, *, tcp: bool) -> bytes:
    """Write the response, within the size that the program accepts.

    A response that does not fit has the TC flag and no records: those that would fit must not be
    used anyway, RFC 2181 section 9.
    """
    limit = MAX_TCP_SIZE if tcp else min(max(MIN_UDP_SIZE, query.message.payload), MAX_UDP_SIZE)
    try:
        return response.to_wire(max_size=limit, want_shuffle=False)
    except dns.exception.TooBig:
        truncated = reply(query, response.rcode())
        truncated.flags |= dns.flags.TC
        return truncated.to_wire(max_size=limit)


def _unread(wire: bytes, rcode: dns.rcode.Rcode) -> QueryError:
    """Make an error response from the header alone: the rest was not understood or not read."""
    number, flags = struct.unpack_from("!HH", wire)
    response = dns.message.Message(number)
    response.flags = dns.flags.QR | dns.flags.RA | (flags & (dns.flags.RD | dns.flags.CD))
    response.set_opcode(dns.opcode.from_flags(flags))
    response.set_rcode(rcode)
    return QueryError(rcode, response.to_wire())


def _refusal(query: Query, rcode: dns.rcode.Rcode) -> QueryError:
    return QueryError(rcode, to_wire(query, reply(query, rcode), tcp=False))


def _wants_dnssec(query: Query) -> bool:
    return bool(query.message.ednsflags & dns.flags.DO)


def _authority(lookup: Lookup) -> list[dns.rrset.RRset]:
    soa = lookup.soa
    return [] if soa is None else [from_rdata_list(soa.name, lookup.ttl, list(soa))]
