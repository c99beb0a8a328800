"""What is removed from an upstream answer: all that would lead a program past the relay; pure.

These are AAAA records, the address hints of HTTPS and SVCB records, and glue. An answer that has
nothing left is empty, never NXDOMAIN, which would deny the name's A records too.
"""

from collections.abc import Iterable

import dns.message
import dns.rdata
import dns.rdatatype
from dns.rdataclass import IN
from dns.rdatatype import AAAA, HTTPS, SVCB, A
from dns.rdtypes.svcbbase import ParamKey, SVCBBase
from dns.rrset import RRset, from_rdata_list

HINTS = frozenset({ParamKey.IPV4HINT, ParamKey.IPV6HINT})


def cleaned(upstream: dns.message.Message) -> list[list[RRset]]:
    """Return the answer, authority and additional sections that the program may see."""
    answer, authority, additional = map(_without_ipv6, upstream.sections[1:])
    return [answer, authority, [rrset for rrset in additional if not _is(rrset, A)]]


def _is(rrset: RRset, rdtype: dns.rdatatype.RdataType) -> bool:
    """Return whether the rrset is of the type, or is its signature."""
    return rdtype in {rrset.rdtype, rrset.covers}


def _without_ipv6(section: Iterable[RRset]) -> list[RRset]:
    """Clean a section; records of another class, which nobody asked for, are removed too."""
    return [
        _without_hints(rrset) for rrset in section if rrset.rdclass == IN and not _is(rrset, AAAA)
    ]


def _without_hints(rrset: RRset) -> RRset:
    """Remove ipv4hint and ipv6hint from HTTPS and SVCB records, RFC 9460 section 7.3."""
    if rrset.rdtype not in {HTTPS, SVCB}:
        return rrset
    return from_rdata_list(rrset.name, rrset.ttl, [_without_hint_params(rdata) for rdata in rrset])


def _without_hint_params(rdata: SVCBBase) -> dns.rdata.Rdata:
    params = {key: value for key, value in rdata.params.items() if key not in HINTS}
    mandatory = params.pop(ParamKey.MANDATORY, None)
    if mandatory is not None and (keys := [key for key in mandatory.keys if key not in HINTS]):
        params[ParamKey.MANDATORY] = type(mandatory)(keys)
    return rdata.replace(params=params)
