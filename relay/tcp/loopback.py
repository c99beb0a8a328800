"""What is refused on loopback, recorded: outside, somebody may listen there.

What passes between programs on loopback does not come here, nor does a refusal of the host's own
server: the namespace's kernel shows its own refusals alone, interception.py. What a program dials
at the host's own address is refused here, as it is on loopback, unless its port is open. Of each
port the host's kernel is asked once whether it has a server there, of either family, for an open
port leads to both.
"""

import socket
from collections.abc import Callable
from typing import Final

from netns.network import netlink
from relay.addresses import Endpoint
from relay.inbound.held.segments import refused_end
from relay.inbound.socket_table import SocketTable
from relay.outbound.host_loopback import HostLoopback
from relay.record.events import Event, LoopbackRefused
from relay.record.kinds import Kind

MOST: Final = 256
"""Ports about which the host is asked; of further ones it is taken to have no server."""

_LOOPBACK: Final = "127.0.0.1"
_IPV6_LOOPBACK: Final = "::1"


class LoopbackRefusals:
    """Records the refusals of a session's programs to each other, and of the host's loopback."""

    def __init__(self, record: Callable[[Event], None], host: HostLoopback) -> None:
        self._record = record
        self._host = host
        self._on_host: dict[Endpoint, bool] = {}

    def note(self, packet: bytes | memoryview) -> None:
        """Record a packet if it refuses a connection to loopback; other packets say nothing."""
        refused = refused_end(packet)
        if refused is not None:
            self._note(refused)

    def refuses(self, destination: Endpoint) -> bool:
        """Return whether a connection is one to the host at a port that is closed; record it."""
        address, port = destination
        if not self._host.covers(address) or self._host.is_open(port):
            return False
        itself = self._host.itself
        self._note((_LOOPBACK, port), itself.names[0] if address == itself.address else "")
        return True

    def _note(self, refused: Endpoint, name: str = "") -> None:
        if refused not in self._on_host and len(self._on_host) < MOST:
            self._on_host[refused] = _listens_here(refused)
        address, port = refused
        on_host = self._on_host.get(refused, False)
        kind = Kind.REFUSED
        self._record(
            LoopbackRefused(address=address, port=port, name=name, kind=kind, on_host=on_host)
        )


def _listens_here(end: Endpoint) -> bool:
    """Return whether the host has a server there; False if that cannot be found out."""
    address, port = end
    other = _LOOPBACK if address == _IPV6_LOOPBACK else _IPV6_LOOPBACK
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
            table = SocketTable(diag)
            return any(table.listener((each, port)) for each in (address, other))
    except OSError:
        return False
