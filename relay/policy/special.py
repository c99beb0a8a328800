"""Addresses that are no host's of the internet: IANA's registry of special-purpose ones; pure.

IPv4 Special-Purpose Address Registry, RFC 6890 and its updates, as of 2025-10. Blocks that the
registry calls globally reachable are left out, and multicast (RFC 5771) is added.
"""

from ipaddress import IPv4Network
from typing import Final, NamedTuple

from relay.addresses import ipv4_number


class Block(NamedTuple):
    """A block of the registry."""

    network: IPv4Network
    name: str
    rfc: str

    def __str__(self) -> str:
        """Return the sentence about an address in it."""
        return f"an address in {self.network} is special ({self.name}, {self.rfc})"


_REACHABLE: Final = frozenset(
    map(ipv4_number, ("192.0.0.9", "192.0.0.10"))  # PCP and TURN anycast, RFC 7723, RFC 8155
)
"""Addresses within a block that are globally reachable."""

BLOCKS: Final = tuple(
    Block(IPv4Network(network), name, rfc)
    for network, name, rfc in (
        ("0.0.0.0/8", "this network", "RFC 791"),
        ("10.0.0.0/8", "private use", "RFC 1918"),
        ("100.64.0.0/10", "shared address space", "RFC 6598"),
        ("127.0.0.0/8", "loopback", "RFC 1122"),
        ("169.254.0.0/16", "link-local", "RFC 3927"),
        ("172.16.0.0/12", "private use", "RFC 1918"),
        ("192.0.0.0/24", "IETF protocol assignments", "RFC 6890"),
        ("192.0.2.0/24", "documentation", "RFC 5737"),
        ("192.88.99.0/24", "deprecated 6to4 relay anycast", "RFC 7526"),
        ("192.168.0.0/16", "private use", "RFC 1918"),
        ("198.18.0.0/15", "benchmarking", "RFC 2544"),
        ("198.51.100.0/24", "documentation", "RFC 5737"),
        ("203.0.113.0/24", "documentation", "RFC 5737"),
        ("224.0.0.0/4", "multicast", "RFC 5771"),
        ("240.0.0.0/4", "reserved", "RFC 1112"),
    )
)

LINK_LOCAL: Final = IPv4Network("169.254.0.0/16")
"""Where cloud machines have their metadata: credentials for whoever asks."""


def block_of(address: str) -> Block | None:
    """Return the block of an IPv4 address, None if it may be any host's."""
    number = ipv4_number(address)
    if number in _REACHABLE:
        return None
    for network, mask, block in _MASKED:
        if number & mask == network:
            return block
    return None


_MASKED: Final = tuple(
    (int(block.network.network_address), int(block.network.netmask), block) for block in BLOCKS
)
