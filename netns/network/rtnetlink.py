"""Devices, addresses and routes of the calling process's network namespace, rtnetlink(7), by hand.

A library for it takes 45 ms to load, which each start would wait for. Each function returns once
the kernel has done what it is asked, and raises OSError where it has not. Numbers are those of
<linux/if_link.h>, <linux/if_addr.h>, <linux/rtnetlink.h> and <linux/veth.h>.
"""

import socket
import struct
from typing import Final

from netns.network import netlink, nlmsg
from netns.network.nlmsg import ACK, CREATE, EXCLUSIVE, NESTED, attribute

_NEW_LINK: Final = 16  # RTM_NEWLINK
_DELETE_LINK: Final = 17
_NEW_ADDRESS: Final = 20
_DELETE_ADDRESS: Final = 21
_NEW_ROUTE: Final = 24
_DELETE_ROUTE: Final = 25
_GET_LINK: Final = 18

_UP: Final = 1  # IFF_UP
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_ADDRESS: Final = struct.Struct("=BBBBi")  # struct ifaddrmsg
_ROUTE: Final = struct.Struct("=8BI")  # struct rtmsg

_NO_PREFIX_ROUTE: Final = 0x200  # IFA_F_NOPREFIXROUTE
_LOCAL_TABLE: Final = 255
_MAIN_TABLE: Final = 254
_STATIC: Final = 4  # RTPROT_STATIC
_HOST_SCOPE: Final = 254  # RT_SCOPE_HOST
_UNICAST: Final = 1  # RTN_UNICAST
_LOCAL: Final = 2
_ON_LINK: Final = 4  # RTNH_F_ONLINK

NO_IPV6_ADDRESS: Final = attribute(  # IFLA_AF_SPEC
    26 | NESTED,
    attribute(socket.AF_INET6 | NESTED, attribute(8, b"\1")),  # IN6_ADDR_GEN_MODE_NONE
)
"""Of a device that is to have no link-local address."""


def opened() -> socket.socket:
    """Open a socket for what follows; raises OSError."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def bring_up(sock: socket.socket, index: int, attributes: bytes = b"") -> None:
    """Bring a device up, with attributes that it is to have."""
    _ask(sock, _NEW_LINK, 0, _LINK.pack(0, 0, index, _UP, _UP) + attributes)


def add_veth(sock: socket.socket, name: str, peer: str) -> None:
    """Make a pair of devices."""
    other = _LINK.pack(0, 0, 0, 0, 0) + _name(peer)
    made = attribute(1, b"veth\0")  # IFLA_INFO_KIND
    made += attribute(2 | NESTED, attribute(1 | NESTED, other))  # DATA, VETH_INFO_PEER
    body = _LINK.pack(0, 0, 0, 0, 0) + _name(name) + attribute(18 | NESTED, made)
    _ask(sock, _NEW_LINK, CREATE | EXCLUSIVE, body)


def remove(sock: socket.socket, index: int) -> None:
    """Remove a device, and with it the other end of its pair."""
    _ask(sock, _DELETE_LINK, 0, _LINK.pack(0, 0, index, 0, 0))


def add_address(
    sock: socket.socket, index: int, address: str, length: int, *, is_routed: bool
) -> None:
    """Give a device an IPv4 address; `is_routed`: with a route to the network of its prefix."""
    packed = socket.inet_aton(address)
    body = _ADDRESS.pack(socket.AF_INET, length, 0, 0, index)
    body += attribute(2, packed) + attribute(1, packed)  # IFA_LOCAL, IFA_ADDRESS
    if not is_routed:
        body += attribute(8, struct.pack("=I", _NO_PREFIX_ROUTE))
    _ask(sock, _NEW_ADDRESS, CREATE | EXCLUSIVE, body)


def add_local_route(sock: socket.socket, index: int, source: str) -> None:
    """Have every IPv4 address be local, and connections come from `source`."""
    body = _route(_LOCAL_TABLE, _HOST_SCOPE, _LOCAL, 0, index)
    body += attribute(7, socket.inet_aton(source))  # RTA_PREFSRC
    _ask(sock, _NEW_ROUTE, CREATE | EXCLUSIVE, body)


def add_default_route(sock: socket.socket, index: int, gateway: str) -> None:
    """Make a default route over a gateway, whether or not an address leads to that."""
    body = _route(_MAIN_TABLE, 0, _UNICAST, _ON_LINK, index)
    body += attribute(5, socket.inet_aton(gateway))  # RTA_GATEWAY
    _ask(sock, _NEW_ROUTE, CREATE | EXCLUSIVE, body)


def devices_up(sock: socket.socket) -> list[int]:
    """Return the indices of the devices that are up."""
    links = (
        _LINK.unpack_from(body) for body in netlink.dump(sock, _GET_LINK, _LINK.pack(*[0] * 5))
    )
    return [index for _family, _kind, index, flags, _change in links if flags & _UP]


def remove_address(sock: socket.socket, index: int, address: str, length: int) -> None:
    """Take an IPv4 address from a device."""
    body = _ADDRESS.pack(socket.AF_INET, length, 0, 0, index)
    _ask(sock, _DELETE_ADDRESS, 0, body + attribute(2, socket.inet_aton(address)))


def remove_local_route(sock: socket.socket, index: int) -> None:
    """Take back what add_local_route() has made."""
    _ask(sock, _DELETE_ROUTE, 0, _route(_LOCAL_TABLE, _HOST_SCOPE, _LOCAL, 0, index))


def _ask(sock: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Ask for one change; the kernel's word for it is needed, which a filter may feign."""
    if netlink.ask(sock, nlmsg.message(kind, ACK | flags, body)) != 1:
        raise OSError("the kernel has not confirmed a change of the network")


def _name(name: str) -> bytes:
    return attribute(3, name.encode() + b"\0")  # IFLA_IFNAME


def _route(table: int, scope: int, kind: int, flags: int, index: int) -> bytes:
    """Write a route to everywhere, by a device."""
    head = _ROUTE.pack(socket.AF_INET, 0, 0, 0, table, _STATIC, scope, kind, flags)
    return head + attribute(4, struct.pack("=I", index))  # RTA_OIF
