"""Whether a process of the host is the one that listens at a port of the host's loopback."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netns.network import netlink
from relay.addresses import Endpoint
from relay.inbound.socket_table import SocketTable
from relay.sockets import TCP_LISTEN

_LOOPBACK: Final = (("127.0.0.1", "0.0.0.0"), ("::1", "::"))  # noqa: S104 - of one that listens
_MOST: Final = 256
"""Processes that one has started, and are looked at."""


def serves(pid: int, port: int) -> bool:
    """Return whether a port is served, and by nobody but a process and those that it has started.

    They are in the network namespace of this one, and so are none of a session's. False too if that
    cannot be found out.
    """
    try:
        listening = _listening(port)
        return bool(listening) and listening <= set(_sockets(pid))
    except OSError:
        return False


def _listening(port: int) -> set[int]:
    """Return the inodes of the sockets that would take a connection; raises OSError."""
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
        table = SocketTable(diag)
        for address, nobody in _LOOPBACK:
            ends: tuple[Endpoint, Endpoint] = ((address, port), (nobody, 0))
            if table.state(*ends) == TCP_LISTEN:
                found.add(table.inode(*ends))
    return found


def _sockets(pid: int) -> Iterator[int]:
    """Yield the inodes of the sockets that a process has open, and those that it has started."""
    own = Path("/proc/thread-self/ns/net").stat()
    for each in (str(pid), *_started_by(pid)):
        process = Path("/proc", each)
        try:
            if not os.path.samestat(own, Path(process, "ns/net").stat()):
                continue
            names = os.listdir(process / "fd")  # noqa: PTH208 - names alone
        except OSError:  # it has ended, or is another user's
            continue
        for name in names:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                link = os.readlink(process / "fd" / name)  # noqa: PTH115 - it is no path
                if link.startswith("socket:["):
                    yield int(link.removeprefix("socket:[").removesuffix("]"))


def _started_by(pid: int) -> list[str]:
    """Return the processes that one has started and not yet outlived, proc_pid_task(5)."""
    found: list[str] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += children.read_text().split()
    return found[:_MOST]
