"""The program's queries, read from bytes, and the answers to them, made and written; pure.

The only addresses in an answer are IPv4 ones that the caller passes in, and those of localhost.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import AAAA, AXFR, HINFO, IXFR, MAILA, MAILB, NONE, OPT, PTR, TKEY, TSIG, A
from dns.rrset import from_rdata_list

from relay.addresses import canonical, is_ipv4
from relay.dns.cleaning import cleaned
from relay.dns.framing import HEADER_SIZE, PAYLOAD
from relay.dns.lookup.cache import Lookup
from relay.dns.synthetic import SyntheticAddresses

MIN_UDP_SIZE = 512
MAX_UDP_SIZE = 65507
MAX_TCP_SIZE = 65535

MAX_RCODE = 15
"""Four bits of the header, RFC 1035 section 4.1.1."""

LOCAL_TTL = 3600
"""Seconds, for answers that do not change while the session lasts."""

LOCALHOST = {A: "127.0.0.1", AAAA: "::1"}

REFUSED_TYPES = frozenset({NONE, OPT, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA})
"""Types that no forwarder serves: transfers, and the meta types of RFC 6895 section 3.1."""


@dataclass(frozen=True, slots=True)
class Query:
    """A well-formed query of class IN with one question."""

    message: dns.message.QueryMessage
    name: str
    """In canonical form, as policy and the record see it."""
    type: dns.rdatatype.RdataType

    @property
    def owner(self) -> dns.name.Name:
        """The name as it was asked for, in the same case."""
        return self.message.question[0].name

    @property
    def type_name(self) -> str:
        """The type as people write it."""
        return dns.rdatatype.to_text(self.type)


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


def upstream_query(query: Query) -> dns.message.QueryMessage:
    """Return the same question for a resolver: a new id, and EDNS if the program's has it.

    Its options are left out: they are for one hop.
    """
    return dns.message.make_query(
        query.owner,
        query.type,
        use_edns=query.message.edns >= 0,
        payload=PAYLOAD,
        want_dnssec=_wants_dnssec(query),
        flags=query.message.flags & (dns.flags.RD | dns.flags.CD | dns.flags.AD),
    )


def local_answer(query: Query, synthetic: SyntheticAddresses) -> dns.message.Message | None:
    """Answer what no resolver is asked: localhost (RFC 6761 section 6.3), PTR of our own addresses.

    Return None for all other names.
    """
    if query.name == "localhost" or query.name.endswith(".localhost"):
        return _localhost(query)
    address = _reversed_address(query)
    if address.startswith("127."):
        return _pointer(query, "localhost")
    if is_ipv4(address) and synthetic.covers(address):
        name = synthetic.name_of(address)
        return reply(query, dns.rcode.NXDOMAIN) if name is None else _pointer(query, name)
    return None


def minimal_any(query: Query) -> dns.message.Message:
    """Answer ANY with one HINFO record, RFC 8482 section 4.2."""
    return reply(query, answer=[_local(query, HINFO, 'RFC8482 ""')])


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


def forwarded(query: Query, upstream: dns.message.Message) -> Forwarded:
    """Answer with the records of an upstream answer that the program may see.

    Whether they are authentic, the AD bit, is what the host's resolver says of all of them.
    """
    response = reply(query, upstream.rcode())
    response.sections[1:] = cleaned(upstream)
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
) -> dns.message.Message:
    """Make a response: id, question, RD and CD copied, RA set, OPT if the query has one."""
    response = dns.message.make_response(
        query.message, recursion_available=True, our_payload=PAYLOAD, pad=0
    )
    response.flags |= query.message.flags & dns.flags.CD
    response.want_dnssec(_wants_dnssec(query))  # RFC 3225 section 3: DO is copied
    response.set_rcode(rcode)
    response.answer = list(answer)
    response.authority = list(authority)
    return response


def failure(query: Query, rcode: int) -> dns.message.Message:
    """Answer with a resolver's RCODE; SERVFAIL for one that only EDNS can carry, RFC 6891."""
    return reply(query, dns.rcode.Rcode.make(rcode) if rcode <= MAX_RCODE else dns.rcode.SERVFAIL)


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


def _localhost(query: Query) -> dns.message.Message:
    if query.type == dns.rdatatype.ANY:
        return minimal_any(query)
    address = LOCALHOST.get(query.type)
    return reply(query, answer=[_local(query, query.type, address)] if address else [])


def _reversed_address(query: Query) -> str:
    """Return the address that a PTR query asks about, "" for any other query."""
    if query.type != PTR:
        return ""
    try:
        return dns.reversename.to_address(query.owner)
    except dns.exception.DNSException:
        return ""  # a zone cut, a classless delegation (RFC 2317), a service type (RFC 6763)


def _pointer(query: Query, name: str) -> dns.message.Message:
    return reply(query, answer=[_local(query, PTR, f"{name}.")])


def _local(query: Query, rdtype: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(query.owner, LOCAL_TTL, IN, rdtype, text)
