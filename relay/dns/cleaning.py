"""What is removed from an upstream answer: all that would lead a program past the relay; pure.

These are AAAA records, the address hints of HTTPS and SVCB records, and glue; where the names in
ClientHellos are judged, also `ech`: what it encrypts could not be, and the outer name that would be
read in its place is not among those allowed. An answer that has nothing left is empty, never
NXDOMAIN, which would deny the name's A records too.
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

HINTS_AND_ECH = HINTS | {ParamKey.ECH}
"""ech: RFC 9849, of Encrypted ClientHello."""


def cleaned(upstream: dns.message.Message, *, without_ech: bool = False) -> list[list[RRset]]:
    """Return the answer, authority and additional sections that the program may see."""
    params = HINTS_AND_ECH if without_ech else HINTS
    answer, authority, additional = (_clean(section, params) for section in upstream.sections[1:])
    return [answer, authority, [rrset for rrset in additional if not _is(rrset, A)]]


def _is(rrset: RRset, rdtype: dns.rdatatype.RdataType) -> bool:
    """Return whether the rrset is of the type, or is its signature."""
    return rdtype in {rrset.rdtype, rrset.covers}


def _clean(section: Iterable[RRset], removed: frozenset[ParamKey]) -> list[RRset]:
    """Clean a section; records of another class, which nobody asked for, are removed too."""
    return [
        _without_params(rrset, removed)
        for rrset in section
        if rrset.rdclass == IN and not _is(rrset, AAAA)
    ]


def _without_params(rrset: RRset, removed: frozenset[ParamKey]) -> RRset:
    """Remove parameters from HTTPS and SVCB records, RFC 9460 section 7; all others stay."""
    if rrset.rdtype not in {HTTPS, SVCB}:
        return rrset
    return from_rdata_list(rrset.name, rrset.ttl, [_without(rdata, removed) for rdata in rrset])


def _without(rdata: SVCBBase, removed: frozenset[ParamKey]) -> dns.rdata.Rdata:
    """Remove parameters, and their keys from the list of those that are mandatory.

    A key that is mandatory has to be there, RFC 9460 section 8, and an empty list is none.
    """
    params = {key: value for key, value in rdata.params.items() if key not in removed}
    mandatory = params.pop(ParamKey.MANDATORY, None)
    if mandatory is not None and (keys := [key for key in mandatory.keys if key not in removed]):
        params[ParamKey.MANDATORY] = type(mandatory)(keys)
    return rdata.replace(params=params)
