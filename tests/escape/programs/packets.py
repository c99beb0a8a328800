"""Ways by packets: other protocols, raw sockets, devices."""

import socket
import struct
from typing import Any

from . import netlink
from .dialling import dial
from .kernel import CLONE_NEWNET, nested
from .met import attempt


def udp(facts: Any) -> None:
    """Send datagrams, connected or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in (443, 4433, 123):
            with attempt():
                sender.sendto(facts.token.encode(), (facts.server, port))
            with attempt():
                sender.connect((facts.server, port))
                sender.send(facts.token.encode())
                sender.send(facts.token.encode())


def tcp_v6(facts: Any) -> None:
    """Connect over IPv6, to a global address and to the link's."""
    for host in (facts.server_v6, facts.gateway_v6, "fe80::1%eth0"):
        with attempt():
            dial(facts, host, 80)


def udp_v6(facts: Any) -> None:
    """Send a datagram over IPv6, also to all nodes of each link."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        with attempt():
            sender.sendto(facts.token.encode(), (facts.server_v6, 443))
        for index, _name in socket.if_nameindex():
            with attempt():
                sender.sendto(facts.token.encode(), ("ff02::1", 443, 0, index))


def icmp(facts: Any) -> None:
    """Send an echo request, by a socket of ping's kind and by a raw one."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with attempt(), socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as sender:
            body = facts.token.encode()
            header = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
            packet = header + body
            packet = header[:2] + struct.pack("!H", _checksum(packet)) + header[4:] + body
            sender.sendto(packet, (facts.server, 0))


def raw(facts: Any) -> None:
    """Send a whole packet with a header of one's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        sender.sendto(_datagram(facts), (facts.server, 0))


def frames(facts: Any) -> None:
    """Send frames by a packet socket on each interface."""
    for _index, name in socket.if_nameindex():
        with attempt(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.bind((name, 0x0800))
            sender.send(b"\xff" * 6 + bytes(6) + b"\x08\x00" + _datagram(facts))


def frames_when_nested(facts: Any) -> None:
    """Do the same as root of a nested namespace of users alone, and of the network too."""
    with attempt():
        nested(0)
        frames(facts)
        raw(facts)
    with attempt():
        nested(CLONE_NEWNET)
        frames(facts)


def many(facts: Any) -> None:
    """Send to groups and to everybody."""
    for group in ("224.0.0.251", "239.255.255.250", facts.broadcast, "255.255.255.255"):
        for _index, name in [(0, ""), *socket.if_nameindex()]:
            with attempt(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                if name:
                    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
                sender.sendto(facts.token.encode(), (group, 5353))


def without_rules(facts: Any) -> None:
    """Take away the rules, the routes, and dial what is denied."""
    if facts.is_control:
        dial(facts, facts.denied, facts.port)
        return  # there is no rule, and the network is the other attempts' too
    with attempt():
        netlink.delete_table("keepline")
    with attempt():
        netlink.delete_local_route()
    with attempt():
        netlink.add_address(1, "192.0.2.77")
    dial(facts, facts.denied, facts.port)


def without_rules_when_nested(facts: Any) -> None:
    """Do the same as root of a nested user namespace."""
    nested(0)
    without_rules(facts)


def device(facts: Any) -> None:
    """Make a pair of devices, one end of which is the host's."""
    for pid in (facts.relay, facts.victim, 1):
        with attempt():
            netlink.add_veth("esc0", facts.link, pid)


def device_when_nested(facts: Any) -> None:
    """Do the same from a nested namespace, in which devices can be made."""
    nested(CLONE_NEWNET)
    device(facts)


def _datagram(facts: Any) -> bytes:
    body = facts.token.encode()
    udp_header = struct.pack("!HHHH", 4433, 4433, 8 + len(body), 0)
    total = 20 + len(udp_header) + len(body)
    header = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, 64, 17, 0)
    header += socket.inet_aton(facts.client) + socket.inet_aton(facts.server)
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return bytes(header + udp_header + body)


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
