"""The rules that send every TCP connection to one listener, by tproxy or else by nat redirect.

With tproxy they can also drop SYNs and log them, to be held until the destination is reached.

The rules live in one table of the namespace's own nf_tables, so nothing is shared with the host.
"""

import contextlib
import socket
import struct
from typing import Final, Literal

from netns.network import host_addresses, host_ports, netlink, nft_tables, nlmsg
from netns.network.expressions import (
    ACCEPT,
    HAS_RELAYS,
    HAS_SERVER,
    IS_NO_SYN,
    IS_OURS,
    IS_PROGRAMS,
    IS_SENT_AGAIN,
    IS_SYN,
    IS_TCP,
    LOG,
    LOG_AND_DROP,
    NETWORK_HEADER,
    TRANSPORT_HEADER,
    Expression,
    at_most,
    is_,
    is_in,
    is_not,
    masked,
    payload,
    payload_is,
    put_into,
    redirected,
    to_listener,
)
from netns.network.holding import BURST_BIT, BURST_MARK, BURST_SECONDS, MARK, PUBLISHED_MARK
from netns.network.nft_tables import SET_EVAL, SET_INTERVAL, SET_TIMEOUT, Chain, NftSet

TABLE: Final = "keepline"
_DNS_PORT = 53
_REGISTER_AFTER_4 = 9
"""NFT_REG32_01: the second word of register 1."""
_BURSTS = "bursts"
_CHAINS: Final = {
    "tproxy": Chain("prerouting", 0, "filter", -150),  # NF_IP_PRI_MANGLE
    "redirect": Chain("output", 3, "nat", -100),  # NF_IP_PRI_NAT_DST
}


def install(
    way: Literal["tproxy", "redirect"],
    own_address: str,
    port: int,
    *,
    held: bool = False,
    servers: bool = False,
) -> None:
    """Send every TCP connection but DNS, loopback's and our own address's to `port`.

    With tproxy there is no NAT and no conntrack, and getsockname() of an accepted socket is the
    original destination; prerouting sees everything, for everything comes back in through lo. If
    SYNs are `held`, those without a mark of holding.py are dropped there, but for bursts: a drop
    in the output hook would look like congestion to the program's kernel. The tproxy expression
    before the drop ends that rule once the listener is gone, and the relay with it: then nobody
    would answer what is held, and the kernel refuses it.
    If `servers` are to be found, what goes to an address of host_addresses.py, at whose port a
    socket of the namespace listens, stays in the namespace, as it would stay on the host. Only so:
    one that listens at all addresses would otherwise have the whole internet's port. The relay's
    own sockets are transparent, those of programs cannot be. What goes to one of them and is no
    SYN, as most is, ends at a rule of its own, which needs the same look-up.
    What bears PUBLISHED_MARK stays in the namespace, whether or not anybody listens.
    Where both are so, a connection to loopback that no socket of the namespace takes is held too,
    at the ports of host_ports.py; at all others the kernel refuses it, as it does anyway.
    With redirect, SO_ORIGINAL_DST returns the destination. Raises OSError.
    """
    sets = [*([_BURST_SET] if held else []), *([_HOST_SET] if servers else [])]
    if held and servers:
        sets.append(_PORT_SET)
    rules = _rules(way, own_address, port, held=held, servers=servers)
    nft_tables.make(socket.AF_INET, TABLE, _CHAINS[way], sets, rules)


def install_ipv6(port: int) -> None:
    """Hold connections to ::1, as install() does those to 127.0.0.0/8; raises OSError."""
    loopback = payload_is(NETWORK_HEADER, 24, _LOOPBACK_IPV6)
    rules = [
        [*IS_OURS, *IS_NO_SYN, ACCEPT],  # a refusal of the relay's is recorded there
        _LOG_LOOPBACK_REFUSAL_IPV6,
        *_unserved(socket.AF_INET6, loopback, port),
    ]
    nft_tables.make(socket.AF_INET6, TABLE, _CHAINS["tproxy"], [_PORT_SET], rules)


def remove() -> None:
    """Remove what install() and install_ipv6() have made, if it is there; raises OSError."""
    for family in (socket.AF_INET, socket.AF_INET6):
        nft = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
        with nft, contextlib.suppress(FileNotFoundError):
            netlink.ask(nft, nlmsg.nftables_batch(nft_tables.delete_table(family, TABLE)))


def _rules(
    way: Literal["tproxy", "redirect"], own_address: str, port: int, *, held: bool, servers: bool
) -> list[list[Expression]]:
    """Return the rules in order."""
    caught = to_listener(socket.AF_INET, _LOOPBACK_IPV4, port) if way == "tproxy" else []
    last = [*caught, ACCEPT] if caught else redirected(port)
    loopback = payload_is(NETWORK_HEADER, 16, _LOOPBACK_IPV4[:1])
    return [
        [*IS_OURS, *IS_NO_SYN, ACCEPT],  # tproxy would not find a socket that is bound to a device
        *([[*IS_TCP, *IS_NO_SYN, *HAS_RELAYS, ACCEPT]] if servers else []),  # as most are
        *([_LOG_LOOPBACK_REFUSAL] if held else []),
        *(_unserved(socket.AF_INET, loopback, port) if held and servers else []),
        [*loopback, ACCEPT],
        [*payload_is(NETWORK_HEADER, 16, socket.inet_aton(own_address)), ACCEPT],
        [*IS_TCP, *payload_is(TRANSPORT_HEADER, 2, struct.pack("!H", _DNS_PORT)), ACCEPT],
        *([[*IS_TCP, *_IS_FOR_SERVER, ACCEPT]] if servers else []),
        [*IS_OURS[:1], is_(struct.pack("=I", PUBLISHED_MARK)), ACCEPT],
        *([_NOTE_BURST, [*_IS_HELD, *caught, *LOG_AND_DROP]] if held else []),
        [*IS_TCP, *last],
    ]


def _unserved(family: int, loopback: list[Expression], port: int) -> list[list[Expression]]:
    """Return the rules for what is sent to loopback, most of which ends at the first of them.

    At a port of the host that is open, a SYN that a socket of the namespace takes is that one's;
    also one that is sent again, if the socket came while it was held. Those that are left are held,
    and given to the listener when they are sent again. Bursts are held like all others: there is no
    way to it that could be slow, and a refusal is to be exact.
    """
    address = _LOOPBACK_IPV4 if family == socket.AF_INET else _LOOPBACK_IPV6
    caught = to_listener(family, address, port)
    is_open = [*loopback, *IS_TCP, payload(TRANSPORT_HEADER, 2, 2), is_in(host_ports.NAME)]
    return [
        [*loopback, *IS_NO_SYN, ACCEPT],
        [*is_open, *HAS_SERVER, ACCEPT],
        [*is_open, *IS_PROGRAMS, *caught, *LOG_AND_DROP],
        [*is_open, *IS_SENT_AGAIN, *caught, ACCEPT],
    ]


_LOOPBACK_IPV4: Final = socket.inet_aton("127.0.0.1")
_LOOPBACK_IPV6: Final = socket.inet_pton(socket.AF_INET6, "::1")
_IS_FOR_SERVER: list[Expression] = [
    payload(NETWORK_HEADER, 16, 4),
    is_in(host_addresses.NAME),
    *HAS_SERVER,
]
_DESTINATION: list[Expression] = [
    payload(NETWORK_HEADER, 16, 4),
    payload(TRANSPORT_HEADER, 2, 2, _REGISTER_AFTER_4),
]
_NOTE_BURST: list[Expression] = [
    *IS_SYN,
    is_(struct.pack("=I", BURST_MARK)),
    *_DESTINATION,
    put_into(_BURSTS),
]
_IS_HELD: list[Expression] = [
    *IS_SYN,
    masked(struct.pack("=I", ~BURST_BIT & 0xFFFFFFFF)),
    is_not(struct.pack("=I", MARK)),
    *_DESTINATION,
    is_in(_BURSTS, inverted=True),
]
_LOG_REFUSAL: list[Expression] = [
    *IS_TCP,
    *payload_is(TRANSPORT_HEADER, 13, b"\x14"),  # RST and ACK, in answer to a SYN:
    *payload_is(TRANSPORT_HEADER, 4, bytes(4)),  # its sequence number is 0
    at_most(20),
    LOG,
]
_LOG_LOOPBACK_REFUSAL: Final = [*payload_is(NETWORK_HEADER, 12, b"\x7f"), *_LOG_REFUSAL]
_LOG_LOOPBACK_REFUSAL_IPV6: Final = [*payload_is(NETWORK_HEADER, 8, _LOOPBACK_IPV6), *_LOG_REFUSAL]
"""So that people can be told of it; twenty a second of each family, for some programs poll."""
_BURST_SET: Final = NftSet(_BURSTS, 8, SET_TIMEOUT | SET_EVAL, BURST_SECONDS * 1000)
"""The destinations of bursts: address and port."""
_HOST_SET: Final = NftSet(host_addresses.NAME, 4)
_PORT_SET: Final = NftSet(host_ports.NAME, 2, SET_INTERVAL)
