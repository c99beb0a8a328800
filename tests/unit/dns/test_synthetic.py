"""Synthetic addresses: one per name, both ways, never reused."""

import pytest

from relay.addresses import canonical
from relay.dns.synthetic import POOL_SIZE, PoolExhaustedError, SyntheticAddresses


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("", ""),
        (".", ""),
        (r"dot\.", r"dot\."),
        (r"dot\..", r"dot\."),
        (r"backslash\\.", r"backslash\\"),
    ],
)
def test_canonical(name: str, expected: str) -> None:
    assert canonical(name) == expected
    assert canonical(expected) == expected


def test_a_name_keeps_its_address_and_the_address_its_name() -> None:
    synthetic = SyntheticAddresses()
    address = synthetic.address_for("Example.com.")
    assert synthetic.address_for("example.COM") == address
    assert synthetic.name_of(address) == "example.com"
    assert len(synthetic) == 1


def test_names_get_different_addresses() -> None:
    synthetic = SyntheticAddresses()
    assert synthetic.address_for("a.example") != synthetic.address_for("b.example")
    assert len(synthetic) == 2


def test_an_address_never_assigned_has_no_name() -> None:
    assert SyntheticAddresses().name_of("198.18.1.0") is None


@pytest.mark.parametrize(
    ("address", "covered"),
    [
        ("198.17.255.255", False),
        ("198.18.0.0", True),
        ("198.18.0.1", True),
        ("198.19.255.255", True),
        ("198.20.0.0", False),
        ("198.180.0.1", False),
        ("127.0.0.1", False),
    ],
)
def test_covers(address: str, covered: bool) -> None:
    assert SyntheticAddresses.covers(address) is covered


def test_the_whole_pool_and_no_more() -> None:
    synthetic = SyntheticAddresses()
    addresses = [synthetic.address_for(f"n{i}.example") for i in range(POOL_SIZE)]
    assert len(set(addresses)) == POOL_SIZE
    assert all(map(SyntheticAddresses.covers, addresses))
    assert not any(address.startswith("198.18.0.") for address in addresses)
    assert (addresses[0], addresses[-1]) == ("198.18.1.0", "198.19.255.255")
    with pytest.raises(PoolExhaustedError, match=str(POOL_SIZE)):
        synthetic.address_for("one.more.example")
    assert synthetic.address_for("n7.example") == addresses[7]
