"""The routes of a pod: whoever has not chosen a source address finds every IPv4 address on lo.

So a connection comes to the relay also where a link or the default route is lost, and a firewall
sees that it stays on lo. The rules of routing lead into a table of their own; what they are not
for goes to rule END, behind them, and from there on as without them.

`from 0.0.0.0/32` is what a socket asks for that has no source address. Without it the kernel's
check of the sources of packets that arrive, which looks the way back up as user 0 on lo, would
meet the rules too. TCP and DNS are named, so that other UDP has the routes, and the source address,
that it has without the rules: programs learn their own address by that.
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

from netns.network.netlink import dump
from netns.network.nlmsg import (
    ACK,
    APPEND,
    CREATE,
    EXCLUSIVE,
    attribute,
    attributes,
    message,
)
from netns.network.pod.asked import Asked

TABLE: Final = 15001
PROTOCOL: Final = 107
"""Whose the rules and routes are, rtnetlink(7) rtm_protocol: nobody else has this number."""
END: Final = 111
LABEL: Final = "lo:keepline"
"""Of the relay's own address, by which it is known as such."""

_FIRST: Final = 107
_LO: Final = 1
_LOOKUP, _GOTO, _NOP = 1, 2, 3  # FR_ACT_*
_DNS: Final = (53, 53)
_ROUTE_LOCAL: Final = 2  # RTN_LOCAL
_SCOPE_HOST: Final = 254
_KIND_ADDRESS, _KIND_ROUTE, _KIND_RULE = 20, 24, 32  # RTM_NEW*; RTM_DEL* is one more, RTM_GET* two
_UNCHOSEN: Final = IPv4Network("0.0.0.0/32")


class Rule(NamedTuple):
    """A rule of routing of the pod."""

    priority: int
    action: int
    target: int = 0
    """The table of a look-up, or the priority to go on at."""
    source: IPv4Network | None = _UNCHOSEN
    destination: IPv4Network | None = None
    uids: tuple[int, int] | None = None
    protocol: int = 0
    ports: tuple[int, int] | None = None
    """Of the destination, first and last."""

    def __str__(self) -> str:
        """Return it about as ip(8) has it."""
        words = [f"ip rule {self.priority}: from {self.source or 'all'}"]
        words += [f"to {self.destination}"] if self.destination else []
        words += ["uidrange {}-{}".format(*self.uids)] if self.uids else []
        words += [f"ipproto {self.protocol}"] if self.protocol else []
        words += ["dport {}-{}".format(*self.ports)] if self.ports else []
        words.append(
            {_LOOKUP: "lookup {}", _GOTO: "goto {}"}.get(self.action, "nop").format(self.target)
        )
        return " ".join(words)

    def message(self, *, deleted: bool = False) -> bytes:
        """Write the message that makes, or deletes it; FRA_* of <linux/fib_rules.h>."""
        lengths = [
            network.prefixlen if network else 0 for network in (self.destination, self.source)
        ]
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, *lengths, 0, 0, 0, 0, self.action, 0)
        body += attribute(6, struct.pack("=I", self.priority)) + attribute(21, bytes([PROTOCOL]))
        if self.action != _NOP:
            body += attribute(3, b"lo\0")
            body += attribute(15 if self.action == _LOOKUP else 4, struct.pack("=I", self.target))
        for kind, network in ((1, self.destination), (2, self.source)):
            body += attribute(kind, network.network_address.packed) if network else b""
        body += attribute(20, struct.pack("=II", *self.uids)) if self.uids else b""
        body += attribute(22, bytes([self.protocol])) if self.protocol else b""
        body += attribute(24, struct.pack("=HH", *self.ports)) if self.ports else b""
        return message(_KIND_RULE + deleted, ACK if deleted else ACK | CREATE | EXCLUSIVE, body)


@dataclass(frozen=True)
class Route:
    """The route that has every IPv4 address on lo."""

    source: str

    def __str__(self) -> str:
        """Return it about as ip(8) has it."""
        return f"ip route local default dev lo table {TABLE} src {self.source}"

    def message(self, *, deleted: bool = False) -> bytes:
        """Write the message that makes, or deletes it; RTA_* of <linux/rtnetlink.h>."""
        head = (socket.AF_INET, 0, 0, 0, 0, PROTOCOL, _SCOPE_HOST, _ROUTE_LOCAL, 0)
        body = struct.pack("=BBBBBBBBI", *head)
        body += attribute(15, struct.pack("=I", TABLE)) + attribute(4, struct.pack("=I", _LO))
        body += attribute(7, socket.inet_aton(self.source))
        return message(_KIND_ROUTE + deleted, ACK if deleted else ACK | CREATE | APPEND, body)


@dataclass(frozen=True)
class Address:
    """The relay's own address, on lo, of no use outside."""

    address: str

    def __str__(self) -> str:
        """Return it about as ip(8) has it."""
        return f"ip address {self.address}/32 dev lo label {LABEL}"

    def message(self, *, deleted: bool = False) -> bytes:
        """Write the message that makes, or deletes it; IFA_* of <linux/if_addr.h>."""
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, _SCOPE_HOST, _LO)
        for kind in (1, 2):  # peer and own address
            body += attribute(kind, socket.inet_aton(self.address))
        body += attribute(3, LABEL.encode() + b"\0")
        return message(_KIND_ADDRESS + deleted, ACK if deleted else ACK | CREATE | EXCLUSIVE, body)


Part = Address | Route | Rule


def wanted(asked: Asked) -> list[Part]:
    """Return all parts, in the order in which they can be made."""
    return [
        Address(asked.own_address),
        Route(asked.own_address),
        Rule(END, _NOP, source=None),
        *_past(asked),
        Rule(_FIRST, _LOOKUP, TABLE, source=IPv4Network(asked.own_address)),
        Rule(_FIRST + 2, _LOOKUP, TABLE, protocol=socket.IPPROTO_TCP),
        Rule(_FIRST + 2, _LOOKUP, TABLE, protocol=socket.IPPROTO_UDP, ports=_DNS),
    ]


def _past(asked: Asked) -> list[Rule]:
    """Return the rules for what is left alone, which go on behind the others."""
    both = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    past = partial(Rule, _FIRST + 1, _GOTO, END)
    return [
        *(past(uids=(uid, uid)) for uid in asked.left_alone()),
        *(past(destination=network) for network in _ipv4(asked.networks)),
        *(past(protocol=each, ports=ports) for ports in asked.ports for each in both),
        *(
            past(destination=network, uids=(0, 0), protocol=each, ports=_DNS)
            for network in _ipv4(asked.forwarders)
            for each in both
        ),
    ]


def _ipv4(networks: Sequence[IPv4Network | IPv6Network]) -> list[IPv4Network | None]:
    """Return those of IPv4 as destinations of rules: to everywhere is None."""
    of_ipv4 = (network for network in networks if isinstance(network, IPv4Network))
    return [network if network.prefixlen else None for network in of_ipv4]


def standing(sock: socket.socket) -> list[Part]:
    """Return the parts that are there, in the same order; `sock` is of NETLINK_ROUTE."""
    parts: list[Part] = []
    head = bytes([socket.AF_INET])
    for body in dump(sock, _KIND_ADDRESS + 2, head + bytes(7)):
        found = attributes(body[8:])
        if found.get(3, b"").rstrip(b"\0").decode() == LABEL:
            parts.append(Address(socket.inet_ntoa(found[2])))
    for body in dump(sock, _KIND_ROUTE + 2, head + bytes(11)):
        found = attributes(body[12:])
        if _number(found, 15) == TABLE and body[5] == PROTOCOL and 7 in found:
            parts.append(Route(socket.inet_ntoa(found[7])))
    rules = [_rule(body) for body in dump(sock, _KIND_RULE + 2, head + bytes(11))]
    return [*parts, *sorted((rule for rule in rules if rule), key=lambda rule: -rule.priority)]


def has_address(sock: socket.socket, address: str) -> bool:
    """Return whether this namespace has an address already, whoever gave it."""
    bodies = dump(sock, _KIND_ADDRESS + 2, bytes([socket.AF_INET]) + bytes(7))
    return any(attributes(body[8:]).get(2) == socket.inet_aton(address) for body in bodies)


def _rule(body: bytes) -> Rule | None:
    """Read a rule, or None if it is not one of the pod's."""
    found = attributes(body[12:])
    if found.get(21) != bytes([PROTOCOL]):
        return None
    action = body[7]
    return Rule(
        _number(found, 6),
        action,
        _number(found, 15 if action == _LOOKUP else 4) if action != _NOP else 0,
        _network(found, 2, body[2]),
        _network(found, 1, body[1]),
        _pair(found.get(20), "=II"),
        found.get(22, b"\0")[0],
        _pair(found.get(24), "=HH"),
    )


def _network(found: dict[int, bytes], kind: int, length: int) -> IPv4Network | None:
    """Read a network; 0.0.0.0/32 may come without its address."""
    if not length:
        return None
    return IPv4Network((found.get(kind, bytes(4)), length))


def _pair(data: bytes | None, layout: str) -> tuple[int, int] | None:
    """Read two numbers."""
    if data is None:
        return None
    first, last = struct.unpack(layout, data)
    return first, last


def _number(found: dict[int, bytes], kind: int) -> int:
    """Read a number of 32 bits; 0 where there is none."""
    number: int = struct.unpack("=I", found.get(kind, bytes(4)))[0]
    return number
