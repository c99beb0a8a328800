"""The namespace's network: lo alone, up, with every IPv4 address local to it ("AnyIP")."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

OWN_ADDRESS: Final = "198.18.0.1"
"""The namespace's address, from RFC 2544's range: never the address of a host outside."""

_LO_INDEX = 1
_LOCAL_TABLE = 255


def load() -> None:
    """Import what is needed of pyroute2: the child's work while the parent reads its settings.

    The package's own __init__ loads every protocol it knows, which takes 0.1 s; so a package
    without one stands in for it, and only the parts that are asked for are loaded.
    """
    spec = importlib.util.find_spec("pyroute2")
    if spec is not None and "pyroute2" not in sys.modules:
        sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)
    import pyroute2.iproute.linux  # noqa: F401, PLC0415


def bring_up() -> None:
    """Set lo up and make the kernel end every IPv4 connection here; raises OSError.

    Without an address of its own as source, a connection could be its own peer. IPv6 keeps
    ::1 and gets no route, so that a connect to any other address fails at once.
    """
    from pyroute2.iproute.linux import IPRoute  # noqa: PLC0415 - see load()
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

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
