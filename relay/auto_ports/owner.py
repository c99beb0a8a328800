"""Which sockets a process of the host has at a port of the host's loopback, if no other has any."""

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from netns.network import netlink
from relay.addresses import Endpoint
from relay.host.processes import sockets
from relay.inbound.socket_table import SocketTable

_LOOPBACK: Final = ("127.0.0.1", "::1")
_MOST: Final = 256
"""Processes that one has started, and are looked at."""


def serves(pid: int, port: int) -> frozenset[int]:
    """Return the sockets at a port if nobody but a process, and those that it has started, has any.

    They are in the network namespace of this one, and so are none of a session's. Each is known by
    its inode. None if nobody listens, or another does, or if that cannot be found out.
    """
    try:
        listening = _listening((address, port) for address in _LOOPBACK)
        return listening if listening <= set(_sockets(pid)) else frozenset()
    except OSError:
        return frozenset()


def listener(end: Endpoint) -> int:
    """Return the inode of the socket that would take a connection; 0 if none would."""
    try:
        return sum(_listening([end]))
    except OSError:
        return 0


def _listening(ends: Iterable[Endpoint]) -> frozenset[int]:
    """Return the inodes of the sockets that would take connections; raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
        table = SocketTable(diag)
        return frozenset(filter(None, map(table.listener, ends)))


def _sockets(pid: int) -> Iterator[int]:
    """Yield the inodes of the sockets that a process has open, and those that it has started."""
    own = Path("/proc/thread-self/ns/net").stat()
    for each in (str(pid), *_started_by(pid)):
        process = Path("/proc", each)
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if os.path.samestat(own, Path(process, "ns/net").stat()):
                yield from sockets(process)


def _started_by(pid: int) -> list[str]:
    """Return the processes that one has started and not yet outlived, proc_pid_task(5)."""
    found: list[str] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += children.read_text().split()
    return found[:_MOST]
