"""What is refused on the namespace's loopback, recorded: outside, somebody may listen there.

The host's own 127.0.0.1 is not reachable from inside, and what passes between programs on loopback
does not come here. So the namespace's kernel shows the refusals alone, interception.py, and of each
port the host's kernel is asked once whether it has a server there.
"""

import socket
from collections.abc import Callable
from typing import Final

from netns.network import netlink
from relay.addresses import Endpoint
from relay.inbound.held.segments import refused_end
from relay.inbound.socket_table import SocketTable
from relay.record.events import Event, LoopbackRefused
from relay.record.kinds import Kind
from relay.sockets import TCP_LISTEN

MOST: Final = 256
"""Ports about which the host is asked; of further ones it is taken to have no server."""

_NOBODY: Final = ("0.0.0.0", 0)  # noqa: S104 - the other end of a socket that listens


class LoopbackRefusals:
    """Records the refusals of a session's programs to each other."""

    def __init__(self, record: Callable[[Event], None]) -> None:
        self._record = record
        self._on_host: dict[Endpoint, bool] = {}

    def note(self, packet: bytes | memoryview) -> None:
        """Record a packet if it refuses a connection to loopback; other packets say nothing."""
        refused = refused_end(packet)
        if refused is None:
            return
        if refused not in self._on_host and len(self._on_host) < MOST:
            self._on_host[refused] = _listens_here(refused)
        address, port = refused
        on_host = self._on_host.get(refused, False)
        self._record(
            LoopbackRefused(address=address, port=port, kind=Kind.REFUSED, on_host=on_host)
        )


def _listens_here(end: Endpoint) -> bool:
    """Return whether the host has a server there; False if that cannot be found out."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
            return SocketTable(diag).state(end, _NOBODY) == TCP_LISTEN
    except OSError:
        return False
