"""A router that masquerades IPv4, and forgets: a forgotten flow gets silence, never an RST.

Packets that belong to no flow the router knows are dropped as they come in, as home routers
and carriers do. IPv6 is forwarded as it is.
"""

import socket
from typing import Final

from pyroute2 import NFCTSocket
from pyroute2.nftables.expressions import masq, verdict
from pyroute2.nftables.main import NFTables

from .hosts import Host
from .patterns import Expressions, conntrack_state, leaving_by

_DROP: Final = 0
_STATE_INVALID: Final = 1
_AFTER_CONNTRACK: Final = -150
_SOURCE_NAT: Final = 100


class Nat:
    """Connection tracking and masquerading in a router."""

    def __init__(self, router: Host, outside: str) -> None:
        """Masquerade what leaves `router` by the interface called `outside`."""
        self._router = router
        with router, NFTables() as nft:
            nft.table("add", name="nat")
            _add_chain(nft, "nat", "postrouting", _SOURCE_NAT, [*leaving_by(outside), *masq()])
            silence = [*conntrack_state(_STATE_INVALID), *verdict(_DROP)]
            _add_chain(nft, "filter", "prerouting", _AFTER_CONNTRACK, silence)
        # A packet from the middle of a flow must not start a new entry: that would heal it.
        router.set_sysctl("net.netfilter.nf_conntrack_tcp_loose", "0")
        router.set_sysctl("net.ipv4.ip_forward", "1")
        router.set_sysctl("net.ipv6.conf.all.forwarding", "1")

    def forget_after(self, seconds: int) -> None:
        """Forget TCP flows that are idle for so long; it counts from each flow's next packet."""
        self._router.set_sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", str(seconds))

    def forget(self) -> None:
        """Forget every flow now, as a router that restarts does."""
        with self._router, NFCTSocket() as table:
            table.flush()

    def flows(self) -> int:
        """Return how many TCP flows it remembers."""
        with self._router, NFCTSocket() as table:
            return sum(_is_tcp(entry) for entry in table.dump())


def _is_tcp(entry: object) -> bool:
    protocol = entry.get_nested("CTA_TUPLE_ORIG", "CTA_TUPLE_PROTO", "CTA_PROTO_NUM")  # type: ignore[attr-defined]
    return bool(protocol == socket.IPPROTO_TCP)


def _add_chain(
    nft: NFTables, kind: str, hook: str, priority: int, expressions: Expressions
) -> None:
    """Add a chain of one rule."""
    nft.chain("add", table="nat", name=hook, type=kind, hook=hook, priority=priority)
    nft.rule("add", table="nat", chain=hook, expressions=(expressions,))
