"""DNS answers for the namespace: from a query's bytes and what the resolvers said; no I/O.

Addresses are given as synthetic or checked IPv4 addresses only; whatever else would let a program
find another way (AAAA, address hints, glue) is removed, and never by NXDOMAIN, which would poison
the name's A records too.
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
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import AAAA, HINFO, HTTPS, PTR, SVCB, A
from dns.rdtypes.svcbbase import ParamKey, SVCBBase

from relay.addresses import canonical
from relay.dns.framing import HEADER_SIZE
from relay.dns.lookup.cache import Lookup
from relay.dns.synthetic import Names

PAYLOAD = 1232
"""Bytes of a UDP message that cross any path unfragmented; the DNS flag day of 2020."""

MIN_UDP_SIZE = 512
MAX_UDP_SIZE = 65507
MAX_TCP_SIZE = 65535

LOCAL_TTL = 3600
"""Seconds, for answers that cannot change while the session lasts."""

REFUSED_TYPES = frozenset(
    {
        dns.rdatatype.NONE,
        dns.rdatatype.OPT,
        dns.rdatatype.TKEY,
        dns.rdatatype.TSIG,
        dns.rdatatype.IXFR,
        dns.rdatatype.AXFR,
        dns.rdatatype.MAILB,
        dns.rdatatype.MAILA,
    }
)
"""Types nobody can ask a forwarder for: transfers, and the meta types of RFC 6895 section 3.1."""

HINTS = frozenset({ParamKey.IPV4HINT, ParamKey.IPV6HINT})


@dataclass(frozen=True, slots=True)
class Query:
    """A well-formed query of class IN with one question."""

    message: dns.message.QueryMessage
    name: str
    """In canonical form, as policy and records see it."""
    type: dns.rdatatype.RdataType

    @property
    def owner(self) -> dns.name.Name:
        """The name as it was asked, letter case and all."""
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
    """The query cannot be served; `response` says so to the program."""

    def __init__(self, rcode: dns.rcode.Rcode, response: bytes) -> None:
        """Keep the whole response message, ready to be sent."""
        super().__init__(dns.rcode.to_text(rcode))
        self.response = response


def parse(wire: bytes) -> Query | None:
    """Read a query; None if not even an error may be sent back: no header, or itself a response.

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
        # TSIG and SIG(0) are between the program and the server it believes in: not checked.
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
    """Ask the same of a resolver: an id of our own, and no options, which concern one hop only."""
    return dns.message.make_query(
        query.owner,
        query.type,
        use_edns=0,
        payload=PAYLOAD,
        want_dnssec=_wants_dnssec(query),
        flags=query.message.flags & (dns.flags.RD | dns.flags.CD),
    )


def local_answer(query: Query, names: Names) -> dns.message.Message | None:
    """Answer what no resolver is asked: localhost (RFC 6761 section 6.3) and PTR of our own.

    None for all other names.
    """
    if query.name == "localhost" or query.name.endswith(".localhost"):
        return _localhost(query)
    address = _reversed_address(query)
    if address.startswith("127."):
        return _pointer(query, "localhost")
    if Names.covers(address):
        name = names.name_of(address)
        return failure(query, dns.rcode.NXDOMAIN) if name is None else _pointer(query, name)
    return None


def minimal_any(query: Query) -> dns.message.Message:
    """Answer ANY with one record that says why, RFC 8482 section 4.2."""
    return _reply(query, answer=[_local(query, HINFO, 'RFC8482 ""')])


def addresses(query: Query, lookup: Lookup, given: Sequence[str]) -> dns.message.Message:
    """Answer A: the chain as upstream gave it, and at its end the given addresses, if any.

    All records get the chain's least TTL, as the chain is worth nothing without its end.
    """
    answer = [_records(cname.name, lookup.ttl, cname) for cname in lookup.chain]
    if not given:
        return _reply(query, lookup.rcode, answer, _authority(lookup))
    answer.append(dns.rrset.from_text(lookup.owner, lookup.ttl, IN, A, *given))
    return _reply(query, answer=answer)


def no_addresses(query: Query, lookup: Lookup) -> dns.message.Message:
    """Answer AAAA: there are none. The name exists or not, as its A lookup says."""
    return _reply(query, lookup.rcode, authority=_authority(lookup))


def forwarded(query: Query, upstream: dns.message.Message) -> Forwarded:
    """Pass an upstream answer on, without AAAA, address hints, and glue."""
    response = _reply(query, upstream.rcode())
    response.answer = _without_ipv6(upstream.answer)
    response.authority = _without_ipv6(upstream.authority)
    response.additional = [
        rrset for rrset in _without_ipv6(upstream.additional) if not _is(rrset, A)
    ]
    withheld = response.sections[1:] != upstream.sections[1:]
    return Forwarded(response, withheld)


def failure(query: Query, rcode: dns.rcode.Rcode) -> dns.message.Message:
    """Answer with an rcode alone."""
    return _reply(query, rcode)


def to_wire(query: Query, response: dns.message.Message, *, tcp: bool) -> bytes:
    """Write the response in the size that the program can take.

    What does not fit is sent with TC and no records, rather than with some of them: RFC 2181
    section 9 lets nobody use those anyway.
    """
    limit = MAX_TCP_SIZE if tcp else min(max(MIN_UDP_SIZE, query.message.payload), MAX_UDP_SIZE)
    try:
        return response.to_wire(max_size=limit, want_shuffle=False)
    except dns.exception.TooBig:
        truncated = _reply(query, response.rcode())
        truncated.flags |= dns.flags.TC
        return truncated.to_wire(max_size=limit)


def _unread(wire: bytes, rcode: dns.rcode.Rcode) -> QueryError:
    """Make an answer from the header alone: the rest was not understood, or not even read."""
    number, flags = struct.unpack_from("!HH", wire)
    response = dns.message.Message(number)
    response.flags = dns.flags.QR | dns.flags.RA | (flags & (dns.flags.RD | dns.flags.CD))
    response.set_opcode(dns.opcode.from_flags(flags))
    response.set_rcode(rcode)
    return QueryError(rcode, response.to_wire())


def _refusal(query: Query, rcode: dns.rcode.Rcode) -> QueryError:
    return QueryError(rcode, to_wire(query, _reply(query, rcode), tcp=False))


def _reply(
    query: Query,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    answer: Iterable[dns.rrset.RRset] = (),
    authority: Iterable[dns.rrset.RRset] = (),
) -> dns.message.Message:
    """Make every response: id, question, RD and CD echoed, RA set, OPT if the query has one."""
    response = dns.message.make_response(
        query.message, recursion_available=True, our_payload=PAYLOAD, pad=0
    )
    response.flags |= query.message.flags & dns.flags.CD
    response.want_dnssec(_wants_dnssec(query))  # RFC 3225 section 3: DO is copied
    response.set_rcode(rcode)
    response.answer = list(answer)
    response.authority = list(authority)
    return response


def _wants_dnssec(query: Query) -> bool:
    return bool(query.message.ednsflags & dns.flags.DO)


def _records(owner: dns.name.Name, ttl: int, rdatas: Iterable[dns.rdata.Rdata]) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(owner, ttl, list(rdatas))


def _authority(lookup: Lookup) -> list[dns.rrset.RRset]:
    return [_records(lookup.soa.name, lookup.ttl, lookup.soa)] if lookup.soa is not None else []


def _localhost(query: Query) -> dns.message.Message:
    match query.type:
        case dns.rdatatype.A:
            return _reply(query, answer=[_local(query, A, "127.0.0.1")])
        case dns.rdatatype.AAAA:
            return _reply(query, answer=[_local(query, AAAA, "::1")])
        case dns.rdatatype.ANY:
            return minimal_any(query)
        case _:
            return _reply(query)


def _reversed_address(query: Query) -> str:
    """Give the address that a PTR query asks about, "" if it asks for anything else."""
    if query.type != PTR:
        return ""
    try:
        return dns.reversename.to_address(query.owner)
    except dns.exception.DNSException:
        return ""  # a zone cut, a classless delegation (RFC 2317), a service type (RFC 6763)


def _pointer(query: Query, name: str) -> dns.message.Message:
    return _reply(query, answer=[_local(query, PTR, f"{name}.")])


def _local(query: Query, rdtype: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(query.owner, LOCAL_TTL, IN, rdtype, text)


def _is(rrset: dns.rrset.RRset, rdtype: dns.rdatatype.RdataType) -> bool:
    """Whether the rrset is of the type, or is its signature."""
    return rdtype in {rrset.rdtype, rrset.covers}


def _without_ipv6(section: Iterable[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
    """Clean a section; records of another class, which nobody asked for, go too."""
    return [
        _without_hints(rrset) for rrset in section if rrset.rdclass == IN and not _is(rrset, AAAA)
    ]


def _without_hints(rrset: dns.rrset.RRset) -> dns.rrset.RRset:
    """Take ipv4hint and ipv6hint out of HTTPS and SVCB records, RFC 9460 section 7.3."""
    if rrset.rdtype not in {HTTPS, SVCB}:
        return rrset
    return _records(rrset.name, rrset.ttl, map(_without_hint_params, rrset))


def _without_hint_params(rdata: SVCBBase) -> dns.rdata.Rdata:
    params = {key: value for key, value in rdata.params.items() if key not in HINTS}
    mandatory = params.pop(ParamKey.MANDATORY, None)
    if mandatory is not None and (keys := [key for key in mandatory.keys if key not in HINTS]):
        params[ParamKey.MANDATORY] = type(mandatory)(keys)
    return rdata.replace(params=params)
