"""What must be true of the host before a session starts: IPv4, and resolvers that speak it."""

import array
import fcntl
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netns.errors import KeeplineError
from netns.mounts import RESOLV_CONF
from relay.host import resolv_conf as resolvconf

_SIOCGIFCONF: Final = 0x8912  # netdevice(7)
_IFREQ_SIZE: Final = 40
_MOST_ADDRESSES: Final = 1024
_SOMEWHERE: Final = ("192.0.2.1", 9)


def require_ipv4() -> None:
    """Raise KeeplineError unless there is an IPv4 address besides loopback's, or a route out."""
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise KeeplineError(f"no IPv4: {error.strerror}", "use a kernel with IPv4") from error
    with probe:
        if any(not address.startswith("127.") for address in local_addresses()):
            return
        if probe.connect_ex(_SOMEWHERE) == 0:  # no packet is sent
            return
    raise KeeplineError(
        "no IPv4: no interface has an IPv4 address besides loopback",
        "connect this machine to a network with IPv4: keepline sends no IPv6",
    )


def local_addresses() -> frozenset[str]:
    """Read this network namespace's IPv4 addresses, SIOCGIFCONF of netdevice(7)."""
    buffer = array.array("B", bytes(_IFREQ_SIZE * _MOST_ADDRESSES))
    address, size = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("iP", size, address)
        (used,) = struct.unpack_from("i", fcntl.ioctl(sock, _SIOCGIFCONF, request))
    entries = bytes(buffer[:used])
    return frozenset(
        socket.inet_ntoa(entries[at + 20 : at + 24]) for at in range(0, used, _IFREQ_SIZE)
    )


def read_resolv_conf(nameservers: Sequence[str]) -> str:
    """Read the host's resolv.conf; raises KeeplineError if no resolver can be asked.

    A missing file means 127.0.0.1, resolv.conf(5). `nameservers`, if any, stand in for its own.
    """
    try:
        text = Path(RESOLV_CONF).read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise KeeplineError(
            f"{RESOLV_CONF}: {error.strerror}", f"make it readable: chmod a+r {RESOLV_CONF}"
        ) from error
    if not nameservers and not resolvconf.parse(text).ipv4:
        raise KeeplineError(
            f"{RESOLV_CONF} names IPv6 name servers only, which keepline does not ask",
            "name one with an IPv4 address: --nameservers ADDRESS, or nameservers in config.toml",
        )
    return text
