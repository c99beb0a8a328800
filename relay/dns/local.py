"""Answers for which no resolver is asked: localhost, the host, our addresses' names, ANY; pure."""

from collections.abc import Mapping

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.PTR
import dns.reversename
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import AAAA, HINFO, PTR, A
from dns.rrset import from_rdata_list

from relay.addresses import is_ipv4
from relay.dns.messages import Query, reply
from relay.dns.synthetic import SyntheticAddresses
from relay.policy.host_ports import HostItself

LOCAL_TTL = 3600
"""Seconds, for answers that do not change while the session lasts."""

LOCALHOST = {A: "127.0.0.1", AAAA: "::1"}


def local_answer(
    query: Query, synthetic: SyntheticAddresses, host: HostItself
) -> dns.message.Message | None:
    """Answer what no resolver is asked: localhost (RFC 6761 section 6.3), the host by its names.

    And PTR of our own addresses. Return None for all other names.
    """
    if query.name == "localhost" or query.name.endswith(".localhost"):
        return _known(query, LOCALHOST)
    if query.name in host.names:
        return _known(query, {A: host.address})
    address = _reversed_address(query)
    if address.startswith("127."):
        return _pointer(query, "localhost")
    if address == host.address:
        return _pointer(query, host.names[0])
    if is_ipv4(address) and synthetic.covers(address):
        name = synthetic.name_of(address)
        return reply(query, dns.rcode.NXDOMAIN) if name is None else _pointer(query, name)
    return None


def minimal_any(query: Query) -> dns.message.Message:
    """Answer ANY with one HINFO record, RFC 8482 section 4.2."""
    return reply(query, answer=[_local(query, HINFO, 'RFC8482 ""')])


def _known(query: Query, addresses: Mapping[dns.rdatatype.RdataType, str]) -> dns.message.Message:
    if query.type == dns.rdatatype.ANY:
        return minimal_any(query)
    address = addresses.get(query.type)
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
    target = dns.name.from_text(name.encode())  # as bytes: the rules for Unicode are not for it
    pointer = dns.rdtypes.ANY.PTR.PTR(IN, PTR, target)  # type: ignore[no-untyped-call]
    return reply(query, answer=[from_rdata_list(query.owner, LOCAL_TTL, [pointer])])


def _local(query: Query, rdtype: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(query.owner, LOCAL_TTL, IN, rdtype, text)
