"""IPv4 addresses of this network namespace, and whether IPv4 can be used at all; netdevice(7)."""

import array
import fcntl
import socket
import struct
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from relay.descriptors import at_all_costs
from relay.host import HostError

_SIOCGIFCONF: Final = 0x8912  # netdevice(7)
_IFREQ_SIZE: Final = 40
_ROUTES: Final = Path("/proc/net/route")
_MOST_ADDRESSES: Final = 1024
_SOMEWHERE: Final = ("192.0.2.1", 9)


def require_ipv4() -> None:
    """Raise HostError unless there is an IPv4 address besides loopback's, or a route out."""
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise HostError(f"no IPv4: {error.strerror}", "use a kernel with IPv4") from error
    with probe:
        if any(not address.startswith("127.") for address in local_addresses()):
            return
        if probe.connect_ex(_SOMEWHERE) == 0:  # sends no packet
            return
    raise HostError(
        "no IPv4: no interface has an IPv4 address besides loopback",
        "connect this machine to a network with IPv4: keepline sends no IPv6",
    )


def local_addresses() -> frozenset[str]:
    """Read this network namespace's IPv4 addresses, SIOCGIFCONF of netdevice(7)."""
    return at_all_costs(_read)


def routed_networks() -> list[IPv4Network]:
    """Return the networks that the main table has a route to, but for everywhere, proc(5)."""
    try:
        lines = _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    parts = [[socket.ntohl(int(row[column], 16)) for column in (1, 7)] for row in rows]
    return [IPv4Network((network, mask.bit_count())) for network, mask in parts if mask]


def _read() -> frozenset[str]:
    buffer = array.array("B", bytes(_IFREQ_SIZE * _MOST_ADDRESSES))
    address, size = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("iP", size, address)
        (used,) = struct.unpack_from("i", fcntl.ioctl(sock, _SIOCGIFCONF, request))
    requests = bytes(buffer[:used])  # struct ifreq, one per address
    return frozenset(
        socket.inet_ntoa(requests[at + 20 : at + 24]) for at in range(0, used, _IFREQ_SIZE)
    )
