"""Hands that break a host's network: each fault is an nftables table of its own, until removed.

Faults act on packets as they come *in* (prerouting, before connection tracking): a drop in the
sender's own output hook would look like congestion to its TCP, not like loss. So put a fault
on the router, or on the host that is to miss the packets.
"""

import itertools
from typing import Any, Final, Self

from pyroute2.netlink.nfnetlink.nftsocket import NFPROTO_INET
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

from .hosts import Host
from .patterns import Expressions, Packets, at_random

_BEFORE_CONNTRACK: Final = -300
_DROP: Final = 0
_REJECT_BY_RST: Final = 1
_REJECT_BY_ICMP: Final = 0
_REJECT_BY_EITHER_ICMP: Final = 2
_PORT_UNREACHABLE: Final = 1

_ALL: Final = Packets()
_numbers = itertools.count(1)


class Fault:
    """One thing that is broken in a host, until `remove()` or the end of a with statement."""

    def __init__(self, host: Host, expressions: Expressions) -> None:
        self._host = host
        self._table = f"fault{next(_numbers)}"
        with host, NFTables(nfgen_family=NFPROTO_INET) as nft:
            nft.table("add", name=self._table)
            nft.chain(
                "add",
                table=self._table,
                name="incoming",
                type="filter",
                hook="prerouting",
                priority=_BEFORE_CONNTRACK,
            )
            nft.rule("add", table=self._table, chain="incoming", expressions=(expressions,))

    def remove(self) -> None:
        """Heal it."""
        with self._host, NFTables(nfgen_family=NFPROTO_INET) as nft:
            nft.table("del", name=self._table)

    def hits(self) -> int:
        """Return how many packets it has met."""
        with self._host, NFTables(nfgen_family=NFPROTO_INET) as nft:
            for rule in nft.get_rules():
                if rule.get_attr("NFTA_RULE_TABLE") == self._table:
                    return _counted(rule)
        raise LookupError("a removed fault counts nothing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.remove()


def drop(host: Host, packets: Packets) -> Fault:
    """Swallow these packets as they come in to `host`, without a word."""
    return Fault(host, [*packets.expressions(), _counter(), *verdict(_DROP)])


def lose(host: Host, fraction: float, packets: Packets = _ALL) -> Fault:
    """Swallow a random fraction of these packets, as a bad line does."""
    rule = [*packets.expressions(), *at_random(fraction), _counter(), *verdict(_DROP)]
    return Fault(host, rule)


def reset(host: Host, packets: Packets) -> Fault:
    """Answer these TCP packets with RST, as a firewall or a closed port does."""
    return Fault(host, [*packets.expressions(), _counter(), _reject(_REJECT_BY_RST)])


def unreachable(host: Host, packets: Packets) -> Fault:
    """Answer these packets with ICMP port unreachable.

    A TCP may learn it only from its second SYN, a second later: the first answer comes back
    while connect(2) is still running.
    """
    return Fault(host, [*packets.expressions(), _counter(), _reject(_REJECT_BY_EITHER_ICMP)])


def unreachable_by(code: int, host: Host, packets: Packets) -> Fault:
    """Answer these IPv4 packets with ICMP destination unreachable of this code, RFC 792.

    The router sends six at once to each host, and then one a second.
    """
    return Fault(host, [*packets.expressions(), _counter(), _reject(_REJECT_BY_ICMP, code)])


def _reject(how: int, code: int = _PORT_UNREACHABLE) -> Any:
    return genex("reject", {"type": how, "icmp_code": code})


def _counter() -> Any:
    return genex("counter", {"bytes": 0, "packets": 0})


def _counted(rule: Any) -> int:
    for expression in rule.get_attr("NFTA_RULE_EXPRESSIONS"):
        if expression.get_attr("NFTA_EXPR_NAME") == "counter":
            packets: int = expression.get_attr("NFTA_EXPR_DATA").get_attr("NFTA_COUNTER_PACKETS")
            return packets
    raise LookupError("the rule counts nothing")
