"""What is taken out of HTTPS and SVCB records, and that all else stays octet by octet."""

import struct

import dns.message
import dns.rdata
import pytest
from dns.rdataclass import IN
from dns.rdatatype import HTTPS, SVCB
from dns.rrset import from_rdata_list
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dns.cleaning import cleaned

MANDATORY, ALPN, NO_DEFAULT_ALPN, PORT, IPV4HINT, ECH, IPV6HINT, OHTTP = 0, 1, 2, 3, 4, 5, 6, 8

VALUES = {
    ALPN: st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=4).map(
        lambda names: b"".join(bytes([len(name)]) + name for name in names)
    ),
    NO_DEFAULT_ALPN: st.just(b""),
    PORT: st.binary(min_size=2, max_size=2),
    IPV4HINT: st.integers(1, 4).map(lambda count: bytes(4 * count)),
    ECH: st.binary(min_size=4, max_size=40).map(
        lambda configs: len(configs).to_bytes(2, "big") + configs
    ),
    IPV6HINT: st.integers(1, 4).map(lambda count: bytes(16 * count)),
    OHTTP: st.just(b""),
    65280: st.binary(max_size=40),
    65281: st.binary(max_size=40),
}
PARAMS = st.fixed_dictionaries({}, optional=dict(VALUES.items())).filter(
    lambda params: NO_DEFAULT_ALPN not in params or ALPN in params
)


def written(params: dict[int, bytes], mandatory: list[int]) -> bytes:
    """Return the data of a record: priority, target `.`, and parameters (RFC 9460 section 2.2)."""
    if mandatory:
        keys = b"".join(key.to_bytes(2, "big") for key in sorted(mandatory))
        params = {MANDATORY: keys, **params}
    pieces = [struct.pack("!HH", key, len(params[key])) + params[key] for key in sorted(params)]
    return b"\x00\x01\x00" + b"".join(pieces)


@pytest.mark.parametrize("rdtype", [HTTPS, SVCB])
@pytest.mark.parametrize("without_ech", [False, True])
@settings(max_examples=300)
@given(params=PARAMS, data=st.data())
def test_what_is_not_removed_stays_octet_by_octet(
    rdtype: dns.rdatatype.RdataType,
    without_ech: bool,
    params: dict[int, bytes],
    data: st.DataObject,
) -> None:
    mandatory = data.draw(st.lists(st.sampled_from(sorted(params)), unique=True)) if params else []
    before = written(params, mandatory)
    rdata = dns.rdata.from_wire(IN, rdtype, before, 0, len(before))
    upstream = dns.message.make_query("www.example", rdtype)
    upstream.answer = [from_rdata_list(upstream.question[0].name, 60, [rdata])]
    [[rrset], _, _] = cleaned(upstream, without_ech=without_ech)
    removed = {IPV4HINT, IPV6HINT} | ({ECH} if without_ech else set())
    kept = {key: value for key, value in params.items() if key not in removed}
    after = written(kept, [key for key in mandatory if key not in removed])
    assert rrset[0].to_wire() == after
