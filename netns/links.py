"""The namespace's network: lo alone, up, with every IPv4 address local to it ("AnyIP")."""

import os
from pathlib import Path

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from netns.plan import OWN_ADDRESS

_LO_INDEX = 1
_LOCAL_TABLE = 255


def load() -> None:
    """Do nothing: the call itself loads a deferred module, and pyroute2 with it."""


def bring_up() -> None:
    """Bring lo up and have the kernel terminate every IPv4 connection here; raises OSError.

    Without an address of its own as source, a connection could be its own peer. IPv6 keeps
    ::1 and gets no route, so that a connect to any other address fails at once.
    """
    try:
        with IPRoute() as ip:
            ip.link("set", index=_LO_INDEX, state="up")
            ip.addr("add", index=_LO_INDEX, address=OWN_ADDRESS, prefixlen=32)
            ip.route(
                "add",
                dst="0.0.0.0/0",
                type="local",
                scope="host",
                oif=_LO_INDEX,
                prefsrc=OWN_ADDRESS,
                table=_LOCAL_TABLE,
            )
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def sysctl(name: str, value: str) -> bool:
    """Write a setting of this network namespace; False where /proc/sys is read-only."""
    try:
        Path("/proc/sys/net", name).write_text(value)
    except OSError:
        return False
    return True
