"""What a relay needs of its ways in: connections, questions about names, and what it can ask.

A namespace has all of it (namespace.py); others, where programs are not started by keepline, have
less: what is None, or empty there, the relay goes without.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netns.network.host_addresses import HostAddresses
from relay.barrier import Record
from relay.dns.service import DnsSockets
from relay.inbound.offer import Inbound
from relay.inbound.socket_table import SocketTable
from relay.outbound.host_loopback import HostLoopback


def _open_none(_spans: Sequence[tuple[int, int]]) -> None:
    """Have no port of the host come to the relay."""


@dataclass(frozen=True)
class WaysIn:
    """How programs reach the relay; whoever made the sockets, all non-blocking, closes them."""

    make: Callable[[SocketTable | None, Record, HostLoopback], Sequence[Inbound]]
    """Makes what offers connections, at each start of the relay; the table is that of `diag`."""
    dns: Sequence[DnsSockets] = ()
    """Where names are asked for; without any, names are resolved for dials alone."""
    diag: socket.socket | None = None
    """sock_diag(7) where the programs' sockets are; without it nobody knows whether a program that
    has ended its side has left something to be relayed, and so it is waited for."""
    host_addresses: HostAddresses | None = None
    """The host's own addresses, which have to be kept up to date for the programs' kernel."""
    open_host_ports: Callable[[Sequence[tuple[int, int]]], None] = _open_none
    """Has what programs dial on loopback come to the relay at these ports alone.

    Each is a range, by its first and last. Raises OSError.
    """
    own: Sequence[socket.socket] = ()
    """What listens among the programs' servers and is keepline's own: it is not published."""
    read_only: Sequence[str] = ()
    """Folders that programs cannot write to."""
