"""How programs inside know the host: by an address that is not loopback's, and by names."""

import os
from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Final

from relay.addresses import HOST_NAME
from relay.policy.host_ports import HostItself

_OF_CONTAINERS: Final = "host.docker.internal"
"""In a container this is the machine outside, and whoever answers for it there still does."""

_MARKS: Final = ("/.dockerenv", "/run/.containerenv")
"""Files by which Docker and Podman tell a program that it is in a container."""


def host_itself(pool: IPv4Network, marks: Sequence[str] = _MARKS) -> HostItself:
    """Return how programs know the host, whose address is the third of the pool."""
    is_container = any(map(os.path.exists, marks))
    return HostItself(str(pool[2]), (HOST_NAME,) if is_container else (HOST_NAME, _OF_CONTAINERS))
