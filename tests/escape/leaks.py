"""What the outer wire has shown of all attempts together: nothing that is denied, nothing but TCP.

Each row looks for its own token. This looks for all that no row looks for: a packet to the denied
network, a question for a denied name, a protocol that is not the relay's.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.internet.world import CLIENT, NAMES

from .arena import DENIED_NETWORK, Arena


@dataclass(frozen=True)
class Leaks:
    """Packets that the host has sent, by what is wrong with them; empty if nothing is."""

    packets: int
    """All that it has sent."""
    wrong: dict[str, int]


def leaks(arena: Arena) -> Leaks:
    """Count them, on the wire between the host and its router, as scapy decodes them."""
    packets = arena.capture.packets(_is_sent)
    wrong: Counter[str] = Counter()
    for packet in packets:
        wrong.update(_wrong(packet))
    zones = (arena.internet.zone, arena.internet.zone_of_other)
    for query in (query for zone in zones for query in zone.queries):
        if _is_denied(query.name):
            wrong[f"asked for a denied name: {query.name}"] += 1
    return Leaks(len(packets), dict(wrong))


def _is_sent(packet: Any) -> bool:
    from scapy.layers.inet6 import ICMPv6MLReport2, IPv6, _ICMPv6

    if "IP" in packet:
        return bool(packet["IP"].src == CLIENT)
    if IPv6 not in packet:
        return False
    # The interface's own kernel tells which groups it listens to, and looks for its neighbours.
    told = packet.getlayer(ICMPv6MLReport2) or packet.getlayer(_ICMPv6)
    return told is None or told.type not in _OF_THE_KERNEL


_OF_THE_KERNEL = frozenset({130, 131, 132, 133, 134, 135, 136, 143})


def _wrong(packet: Any) -> Iterator[str]:
    if "IP" not in packet:
        yield f"not IPv4: {packet.summary()}"
        return
    ip = packet["IP"]
    if ipaddress.ip_address(ip.dst) in ipaddress.ip_network(DENIED_NETWORK):
        yield f"to the denied network: {packet.summary()}"
    if ip.options:
        yield f"options of IP: {packet.summary()}"
    if "TCP" in packet:
        return
    if "UDP" in packet and (ip.dst, packet["UDP"].dport) == (NAMES, 53):
        if "DNS" in packet and packet["DNS"].qdcount:
            for question in packet["DNS"].qd:
                name = question.qname.decode(errors="replace")
                if _is_denied(name):
                    yield f"asks for a denied name: {name}"
        return
    yield f"neither TCP nor the relay's own DNS: {packet.summary()}"


def _is_denied(name: str) -> bool:
    return f".{name.lower().rstrip('.')}".endswith(".denied.test")
