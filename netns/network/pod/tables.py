"""The rules of nf_tables in a pod's namespace: who comes to the relay, and what is refused.

One table for IPv4 and one for IPv6: the family of both at once needs a kernel with IPv6. Each rule
has a comment with a digest of what it says, by which the rules that stand can be compared with
those that should.

A connection's first packet passes nat-output, where it is led to the relay or to a port where
nobody listens, and then output, which refuses what could not be led anywhere. Of what is routed by
the usual tables, for it has chosen a source address, the old device counts until after these
chains; only postrouting sees where it leaves.
"""

import hashlib
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

from netns.network.expressions import (
    ACCEPT,
    NETWORK_HEADER,
    TRANSPORT_HEADER,
    Expression,
    expression,
    is_,
    is_not,
    masked,
    payload,
    payload_is,
    redirected,
    verdict,
)
from netns.network.nft_tables import Chain
from netns.network.nlmsg import NESTED, attribute
from netns.network.pod import DNS_PORT, TCP_PORT
from netns.network.pod.asked import Asked

TABLE: Final = "keepline_pod"

_OUTPUT = 3  # NF_INET_LOCAL_OUT
_NAT = Chain("nat-output", _OUTPUT, "nat", -110)
"""Before Docker's own rules for its name server, which stand at NF_IP_PRI_NAT_DST, -100."""
_FILTER = Chain("output", _OUTPUT, "filter", -1)
"""Before a firewall's, so that programs get the answer that they understand."""
_INPUT = Chain("input", 1, "filter", -1)
_GUARD = Chain("postrouting", 4, "filter", 300)
CHAINS: Final = (_NAT, _FILTER, _INPUT, _GUARD)

_IGMP = 2
_DISCOVERY = ((130, 136), (143, 143))
"""Types of ICMPv6 that a kernel sends by itself: multicast listeners and neighbours."""
_LO_INDEX = struct.pack("=I", 1)
_DROP = verdict(0)


class Rule(NamedTuple):
    """A rule, and what it is for."""

    chain: str
    text: str
    expressions: Sequence[Expression]

    def comment(self) -> str:
        """Return the text with a digest of the expressions."""
        return f"{self.text} #{hashlib.sha256(b''.join(self.expressions)).hexdigest()[:8]}"


class Table(NamedTuple):
    """The rules of one family."""

    family: int
    rules: Sequence[Rule]


def ipv4(asked: Asked) -> Table:
    """Return the table of IPv4."""
    own = socket.inet_aton(asked.own_address)
    here = [*_destination(own), *_TCP, *_port(TCP_PORT)]
    answers = [payload(NETWORK_HEADER, 12, 4), masked(b"\xff\0\0\0"), is_(b"\x7f\0\0\0")]
    loopback = _within(IPv4Network("127.0.0.0/8"))
    bound = [*loopback, _NEXT_HOP, masked(b"\xff\0\0\0"), is_not(b"\x7f\0\0\0")]
    multicast = _within(IPv4Network("224.0.0.0/4"))
    rules = [
        Rule(_NAT.name, "the relay is found if the rules stand", [*here, *redirected(TCP_PORT)]),
        *_left_alone(_NAT, asked, 4),
        *_questions(),
        Rule(_NAT.name, "the pod's own addresses are left alone", [*_IS_LOCAL, ACCEPT]),
        Rule(_NAT.name, "TCP goes to the relay", [*_TCP, *redirected(TCP_PORT)]),
        Rule(_NAT.name, "UDP goes where nobody listens", [*_UDP, *redirected(TCP_PORT)]),
        *_impostors(asked, answers),
        *_left_alone(_FILTER, asked, 4),
        Rule(_FILTER.name, "TCP of a device alone is reset", [*_TCP, *bound, _RESET]),
        Rule(_FILTER.name, "UDP of a device alone is refused", [*_UDP, *bound, _unreachable(3)]),
        *_not_refused(),
        _program(_protocol(_IGMP), "IGMP", _unreachable(13)),
        Rule(_FILTER.name, "IGMP is the kernel's", [*_protocol(_IGMP), *multicast, ACCEPT]),
        Rule(_FILTER.name, "TCP that no rule leads is reset", [*_TCP, _RESET]),
        Rule(_FILTER.name, "UDP that no rule leads is refused", [*_UDP, _unreachable(3)]),
        Rule(_FILTER.name, "nothing else leaves", [_unreachable(13)]),
        _nobody(_unreachable(3)),
        Rule(_GUARD.name, "what is led stays inside", [*_LEAVES, *loopback, _DROP]),
    ]
    return Table(socket.AF_INET, rules)


def ipv6(asked: Asked) -> Table:
    """Return the table of IPv6, of which DNS alone comes to the relay, and nothing else leaves."""
    loopback = [payload(NETWORK_HEADER, 24, 16), is_(bytes(15) + b"\1")]
    source = [payload(NETWORK_HEADER, 8, 16), is_(bytes(15) + b"\1")]
    discovery = [
        Rule(
            _FILTER.name,
            "neighbours and multicast are the kernel's",
            [
                *_protocol(socket.IPPROTO_ICMPV6),
                *_between(0, bytes([first]), bytes([last])),
                ACCEPT,
            ],
        )
        for first, last in _DISCOVERY
    ]
    rules = [
        *_left_alone(_NAT, asked, 6),
        *_questions(),
        Rule(_NAT.name, "the pod's own addresses are left alone", [*_IS_LOCAL, ACCEPT]),
        Rule(_NAT.name, "UDP goes where nobody listens", [*_UDP, *redirected(TCP_PORT)]),
        *_impostors(asked, source),
        *_left_alone(_FILTER, asked, 6),
        *_not_refused(),
        _program(_protocol(socket.IPPROTO_ICMPV6), "ICMPv6", _unreachable(1)),
        *discovery,
        Rule(_FILTER.name, "TCP over IPv6 is reset", [*_TCP, _RESET]),
        Rule(_FILTER.name, "UDP that no rule leads is refused", [*_UDP, _unreachable(4)]),
        Rule(_FILTER.name, "nothing else leaves", [_unreachable(1)]),
        _nobody(_unreachable(4)),
        Rule(_GUARD.name, "what is led stays inside", [*_LEAVES, *loopback, _DROP]),
    ]
    return Table(socket.AF_INET6, rules)


def _left_alone(chain: Chain, asked: Asked, version: int) -> list[Rule]:
    """Accept what other users send, or what goes to networks or ports that are left alone."""
    rules = [
        Rule(chain.name, f"user {uid} is left alone", [_USER, is_(_native(uid)), ACCEPT])
        for uid in asked.left_alone()
    ]
    for network in asked.networks:
        if network.version == version:
            to = _within(network)
            rules.append(Rule(chain.name, f"{network} is left alone", [*to, ACCEPT]))
    for network in asked.forwarders:
        if network.version == version:
            asks = [*_within(network), *_IS_ELSEWHERE, _USER, is_(_native(0))]
            rules += [
                Rule(chain.name, f"Docker asks {network} by {name}", [*asks, *to, ACCEPT])
                for name, to in (("UDP", [*_UDP, *_port(53)]), ("TCP", [*_TCP, *_port(53)]))
            ]
    for first, last in asked.ports:
        ends = struct.pack("!H", first), struct.pack("!H", last)
        for name, protocol in (("TCP", _TCP), ("UDP", _UDP)):
            to = [*protocol, *_between(2, *ends)]
            rules.append(
                Rule(chain.name, f"{name} port {first}-{last} is left alone", [*to, ACCEPT])
            )
    return rules


def _questions() -> list[Rule]:
    """Lead DNS to the relay, also what is asked of a name server on a loopback address."""
    return [
        Rule(
            _NAT.name,
            f"DNS over {name} goes to the relay",
            [*protocol, *_port(53), *redirected(DNS_PORT)],
        )
        for name, protocol in (("UDP", _UDP), ("TCP", _TCP))
    ]


def _not_refused() -> list[Rule]:
    """Accept answers to what came from outside, and what stays in the pod."""
    return [
        Rule(_FILTER.name, "answers leave", [*_IS_ANSWER, ACCEPT]),
        Rule(_FILTER.name, "the pod's own addresses are left alone", [*_IS_LOCAL, ACCEPT]),
    ]


def _impostors(asked: Asked, from_loopback: Sequence[Expression]) -> list[Rule]:
    """Drop what others than the relay answer at its ports, while it is not there.

    An answer to a SYN has the listener's user, as far as nf_tables is concerned.
    """
    not_relays = [_USER, is_not(_native(asked.relay_uid)), _DROP]
    ports = (("TCP", _TCP, TCP_PORT), ("TCP", _TCP, DNS_PORT), ("UDP", _UDP, DNS_PORT))
    return [
        Rule(
            _FILTER.name,
            f"the relay alone answers at {name} port {port}",
            [*from_loopback, *protocol, *_source_port(port), *not_relays],
        )
        for name, protocol, port in ports
    ]


def _program(protocol: Sequence[Expression], name: str, refused: Expression) -> Rule:
    """Refuse what a program sends by a raw socket; a packet of the kernel's own has no user."""
    return Rule(_FILTER.name, f"{name} of a program is refused", [*protocol, _USER, refused])


def _nobody(refused: Expression) -> Rule:
    """Refuse what is led to where nobody listens, should somebody listen there."""
    arrives = [_ARRIVES_BY, is_(_LO_INDEX)]
    return Rule(
        _INPUT.name, "UDP of the pod is refused", [*arrives, *_UDP, *_port(TCP_PORT), refused]
    )


def _native(number: int) -> bytes:
    return struct.pack("=I", number)


def _protocol(number: int) -> list[Expression]:
    return [expression("meta", (2, 16), (1, 1)), is_(bytes([number]))]  # NFT_META_L4PROTO


def _destination(address: bytes) -> list[Expression]:
    return payload_is(NETWORK_HEADER, 16, address)


def _within(network: IPv4Network | IPv6Network) -> list[Expression]:
    """Go on only if the destination is in a network."""
    mask = network.netmask.packed
    offset = 16 if network.version == 4 else 24
    address = payload(NETWORK_HEADER, offset, len(mask))
    return [address, masked(mask), is_(network.network_address.packed)]


def _port(number: int) -> list[Expression]:
    return payload_is(TRANSPORT_HEADER, 2, struct.pack("!H", number))


def _source_port(number: int) -> list[Expression]:
    return payload_is(TRANSPORT_HEADER, 0, struct.pack("!H", number))


def _between(offset: int, first: bytes, last: bytes) -> list[Expression]:
    """Go on only if the transport header has something from `first` to `last` at `offset`."""
    return [payload(TRANSPORT_HEADER, offset, len(first)), _compared(5, first), _compared(3, last)]


def _compared(operation: int, value: bytes) -> Expression:
    """Compare register 1: NFT_CMP_LTE is 3, NFT_CMP_GTE 5."""
    return expression("cmp", (1, 1), (2, operation), (3 | NESTED, attribute(1, value)))


def _unreachable(code: int) -> Expression:
    """Drop a packet, and answer with ICMP unreachable of the table's version of IP."""
    return expression("reject", (1, 0), (2, bytes([code])))  # NFT_REJECT_ICMP_UNREACH


_RESET: Final = expression("reject", (1, 1), (2, b"\0"))  # NFT_REJECT_TCP_RST
_TCP: Final = _protocol(socket.IPPROTO_TCP)
_UDP: Final = _protocol(socket.IPPROTO_UDP)
_USER: Final = expression("meta", (2, 10), (1, 1))  # NFT_META_SKUID
_ARRIVES_BY: Final = expression("meta", (2, 4), (1, 1))  # NFT_META_IIF
_LEAVES: Final = [expression("meta", (2, 5), (1, 1)), is_not(_LO_INDEX)]  # NFT_META_OIF
_KIND: Final = expression("fib", (1, 1), (2, 3), (3, 2))
_IS_LOCAL: Final = [_KIND, is_(_native(2))]
"""Its destination is of RTN_LOCAL, by the local table alone: NFT_FIB_RESULT_ADDRTYPE of DADDR."""
_NEXT_HOP: Final = expression("rt", (1, 1), (2, 1))  # NFT_RT_NEXTHOP4, of the route by now
_IS_ELSEWHERE: Final = [_KIND, is_not(_native(2))]
_IS_ANSWER: Final = [expression("ct", (2, 1), (1, 1)), is_(b"\1")]
"""Of the direction IP_CT_DIR_REPLY."""
