"""Special-purpose addresses: the standard library has the same registry, older or newer."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.special import BLOCKS, block_of


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_ends_where_it_ends(block: object) -> None:
    network = next(known.network for known in BLOCKS if known is block)
    assert block_of(str(network[0])) is block
    assert block_of(str(network[-1])) is block
    if network[0] != IPv4Address("0.0.0.0"):
        assert block_of(str(network[0] - 1)) is not block
    if network[-1] != IPv4Address("255.255.255.255"):
        assert block_of(str(network[-1] + 1)) is not block


@given(st.integers(0, (1 << 32) - 1).map(IPv4Address))
def test_the_standard_library_agrees(address: IPv4Address) -> None:
    """It calls multicast global, and older versions call 192.0.0.0/24 so, 6to4's relays always."""
    block = block_of(str(address))
    if not address.is_global or address.is_multicast:
        assert block is not None
    elif block is not None:
        assert block.name in {"deprecated 6to4 relay anycast", "IETF protocol assignments"}


def test_anycast_addresses_within_a_block_are_hosts_of_the_internet() -> None:
    assert block_of("192.0.0.9") is block_of("192.0.0.10") is block_of("8.8.8.8") is None
    assert str(block_of("10.1.2.3")) == (
        "an address in 10.0.0.0/8 is special (private use, RFC 1918)"
    )
