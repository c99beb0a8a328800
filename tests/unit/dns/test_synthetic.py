"""Synthetic addresses: one per name, both ways, never reused."""

import pytest

from relay.addresses import canonical
from relay.dns.synthetic import POOL_SIZE, Names, PoolExhaustedError


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
    names = Names()
    address = names.address_for("Example.com.")
    assert names.address_for("example.COM") == address
    assert names.name_of(address) == "example.com"
    assert len(names) == 1


def test_names_get_different_addresses() -> None:
    names = Names()
    assert names.address_for("a.example") != names.address_for("b.example")
    assert len(names) == 2


def test_an_address_never_assigned_has_no_name() -> None:
    assert Names().name_of("198.18.1.0") is None


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
    assert Names.covers(address) is covered


def test_the_whole_pool_and_no_more() -> None:
    names = Names()
    addresses = [names.address_for(f"n{i}.example") for i in range(POOL_SIZE)]
    assert len(set(addresses)) == POOL_SIZE
    assert all(map(Names.covers, addresses))
    assert not any(address.startswith("198.18.0.") for address in addresses)
    assert (addresses[0], addresses[-1]) == ("198.18.1.0", "198.19.255.255")
    with pytest.raises(PoolExhaustedError, match=str(POOL_SIZE)):
        names.address_for("one.more.example")
    assert names.address_for("n7.example") == addresses[7]
