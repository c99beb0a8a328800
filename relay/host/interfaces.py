"""IPv4 addresses of this network namespace, and whether IPv4 can be used at all; netdevice(7)."""

import array
import fcntl
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from relay.descriptors import at_all_costs
from relay.host import HostError

_SIOCGIFCONF: Final = 0x8912  # netdevice(7)
_SIOCGIFNETMASK: Final = 0x891B
_MASK: Final = 7  # a column of /proc/net/route
_FIRST_ROUTES: Final = 4096
"""Characters: default routes come first, and some routers have a million others."""
_IFREQ_SIZE: Final = 40
_ROUTES: Final = Path("/proc/net/route")
_IPV6_ADDRESSES: Final = Path("/proc/net/if_inet6")
_SCOPE: Final = 3  # a column of it
_GLOBAL: Final = "00"
_MOST_ADDRESSES: Final = 1024
_SOMEWHERE: Final = ("192.0.2.1", 9)


NO_NETWORK: Final = (
    "there is no network here but loopback, as with --network=none: nothing outside is reached"
    " until an interface comes"
)
ATTACH: Final = (
    "give the container a network (--network bridge), or a relay outside: keepline relay --socket"
    " PATH there, keepline run --relay PATH here"
)

_TUNNELS: Final = ("sit", "tunl", "gre", "erspan", "ip_vti", "ip6_vti", "ip6tnl", "ip6gre")
"""How devices begin that some kernels have in each new network namespace, leading nowhere."""


def require_ipv4() -> str:
    """Raise HostError where IPv4 will not come: no kernel has it, or the network is of IPv6 alone.

    A host without any network is in an outage, as it may be later: a session can start in one.
    Return NO_NETWORK where nothing shows that one will come: no interface is there.
    """
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise HostError(f"no IPv4: {error.strerror}", "use a kernel with IPv4") from error
    with probe:
        if any(not address.startswith("127.") for address in local_addresses()):
            return ""
        if probe.connect_ex(_SOMEWHERE) == 0:  # sends no packet
            return ""
    if not _has_ipv6():
        names = [name for _index, name in socket.if_nameindex()]
        return "" if any(not name.startswith(("lo", *_TUNNELS)) for name in names) else NO_NETWORK
    raise HostError(
        "no IPv4: no interface has an IPv4 address besides loopback",
        "connect this machine to a network with IPv4: keepline sends no IPv6",
    )


def _has_ipv6() -> bool:
    """Return whether an interface has an IPv6 address of more than its link, proc(5) if_inet6."""
    try:
        lines = _IPV6_ADDRESSES.read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[_SCOPE] == _GLOBAL for line in lines)


def local_addresses() -> frozenset[str]:
    """Read this network namespace's IPv4 addresses, SIOCGIFCONF of netdevice(7).

    Where the kernel is not Linux, that which this host sends from.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return frozenset({_source()} - {""})
    return frozenset(map(_address_in, at_all_costs(_read)))


@dataclass(frozen=True)
class HostNetwork:
    """How the host is connected, as programs see it."""

    device: str = ""
    """Of the default route, or the first with an address; empty without any."""
    addresses: Sequence[tuple[str, int]] = ()
    """Those of other interfaces too, with the lengths of their prefixes; the device's come first,
    and before them the one that the host sends from."""
    gateway: str = ""


def is_shown(address: str, pool: IPv4Network) -> bool:
    """Return whether the namespace shows an address of the host.

    Loopback's are its own, and so are those of the pool, which stand for names.
    """
    return not address.startswith("127.") and IPv4Address(address) not in pool


def host_network(pool: IPv4Network) -> HostNetwork:
    """Read what the namespace is to show of the host; `pool` are the addresses of names."""
    device, gateway = _default_route()
    requests = [request for request in _read() if is_shown(_address_in(request), pool)]
    if not requests:
        return HostNetwork()
    names = [device, *map(_name_in, requests)]
    device = next((name for name in names if name not in {"", "lo"}), "eth0")
    source = _source()

    def rank(request: bytes) -> tuple[bool, bool]:
        return _address_in(request) != source, _name_in(request) != device

    ordered = {_address_in(request): request for request in sorted(requests, key=rank)}
    return HostNetwork(
        device, [(address, _prefix(request)) for address, request in ordered.items()], gateway
    )


def _default_route() -> tuple[str, str]:
    """Return the device and the gateway of the main table's best default route, or two ""."""
    try:
        with _ROUTES.open(encoding="ascii") as file:
            text = file.read(_FIRST_ROUTES)
    except OSError:
        return "", ""
    routes = [line.split() for line in text.splitlines()]
    defaults = [
        (int(route[6]), route[0], int(route[2], 16))
        for route in routes
        if len(route) > _MASK and route[1] == route[_MASK] == "00000000"
    ]
    if not defaults:
        return "", ""
    _metric, device, gateway = min(defaults)
    return device, socket.inet_ntoa(struct.pack("=I", gateway)) if gateway else ""


def _source() -> str:
    """Return the address that the host sends from, by connecting a socket that sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        if probe.connect_ex(_SOMEWHERE):
            return ""
        address: str = probe.getsockname()[0]
        return address


def routed_networks() -> list[IPv4Network]:
    """Return the networks that the main table has a route to, but for everywhere, proc(5)."""
    try:
        lines = _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    parts = [[socket.ntohl(int(row[column], 16)) for column in (1, 7)] for row in rows]
    return [IPv4Network((network, mask.bit_count())) for network, mask in parts if mask]


def _read() -> list[bytes]:
    """Return a struct ifreq for each address."""
    buffer = array.array("B", bytes(_IFREQ_SIZE * _MOST_ADDRESSES))
    address, size = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("iP", size, address)
        (used,) = struct.unpack_from("i", fcntl.ioctl(sock, _SIOCGIFCONF, request))
    requests = bytes(buffer[:used])
    return [requests[at : at + _IFREQ_SIZE] for at in range(0, used, _IFREQ_SIZE)]


def _address_in(request: bytes) -> str:
    return socket.inet_ntoa(request[20:24])


def _name_in(request: bytes) -> str:
    """Return the interface's name; that of an alias has a colon, which no device's has."""
    return request[:16].split(b"\0")[0].split(b":")[0].decode(errors="replace")


def _prefix(request: bytes) -> int:
    """Return the length of an address's prefix, SIOCGIFNETMASK; 32 if it is gone meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFNETMASK, request)
        except OSError:
            return 32
    return int.from_bytes(answer[20:24], "big").bit_count()
