"""What must be true of the host before a session starts: IPv4, and resolvers that speak it."""

import fcntl
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netns.errors import SandboxError
from netns.mounts import RESOLV_CONF
from relay.dns import resolvconf

_SIOCGIFADDR: Final = 0x8915  # netdevice(7)
_IFNAMSIZ: Final = 16
_IFREQ_SIZE: Final = 40
_LOOPBACK: Final = 127
_SOMEWHERE: Final = ("192.0.2.1", 9)


def require_ipv4() -> None:
    """Raise SandboxError unless there is an IPv4 address besides loopback's, or a route out.

    Inside another keepline there is the route alone.
    """
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise SandboxError(f"no IPv4: {error.strerror}", "use a kernel with IPv4") from error
    with probe:
        if any(_has_ipv4(probe, name) for _index, name in socket.if_nameindex()):
            return
        if probe.connect_ex(_SOMEWHERE) == 0:  # no packet is sent
            return
    raise SandboxError(
        "no IPv4: no interface has an IPv4 address besides loopback",
        "connect this machine to a network with IPv4: keepline sends no IPv6",
    )


def _has_ipv4(probe: socket.socket, interface: str) -> bool:
    """Ask for the interface's address, SIOCGIFADDR of netdevice(7)."""
    request = interface.encode()[: _IFNAMSIZ - 1].ljust(_IFREQ_SIZE, b"\0")
    try:
        answer = fcntl.ioctl(probe, _SIOCGIFADDR, request)
    except OSError:
        return False  # EADDRNOTAVAIL: it has none
    return answer[20] != _LOOPBACK  # ifr_addr's first byte of sin_addr


def read_resolv_conf(nameservers: Sequence[str]) -> str:
    """Read the host's resolv.conf; raises SandboxError if no resolver can be asked.

    A missing file means 127.0.0.1, resolv.conf(5). `nameservers`, if any, stand in for its own.
    """
    try:
        text = Path(RESOLV_CONF).read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise SandboxError(
            f"{RESOLV_CONF}: {error.strerror}", f"make it readable: chmod a+r {RESOLV_CONF}"
        ) from error
    if not nameservers and not resolvconf.parse(text).ipv4:
        raise SandboxError(
            f"{RESOLV_CONF} names IPv6 name servers only, which keepline does not ask",
            "name one with an IPv4 address: --nameservers ADDRESS, or nameservers in config.toml",
        )
    return text
