"""The upstream connections of a session that stand: numbered, and watched by liveness."""

import errno
import socket
from typing import Protocol

from relay.addresses import Destination, Endpoint


class Watched(Protocol):
    """An upstream connection that stands: a pump's, or the gateway's own."""

    number: int
    """In the flight log."""
    retire_after: float
    """Seconds of silence after which it is closed, if it may be retired; usually inf."""
    destination: Destination
    """What was asked for, by which policy judges another dial to its other end."""

    @property
    def reached(self) -> Endpoint:
        """The other end: the address that was dialled, and the port."""

    @property
    def sock(self) -> socket.socket | None:
        """Its socket; None once upstream has closed, and while another one is dialled."""

    @property
    def asked(self) -> float:
        """When something was last sent, on trio's clock."""

    @property
    def answered(self) -> float:
        """When something was last received."""

    @property
    def may_retire(self) -> bool:
        """Whether both sides could go on, and upstream has spoken."""

    def lose(self, error: OSError) -> None:
        """Take note that it is lost, which the kernel has not noticed yet."""

    def retire(self, cause: str) -> None:
        """Close it, idle as it is."""


class Standing:
    """The upstream connections that stand, and a number for each connection of the session."""

    def __init__(self) -> None:
        self.opened = 0
        """Numbers handed out so far: connections of programs, and the gateway's own."""
        self.connections: set[Watched] = set()

    def number(self) -> int:
        """Return the next connection's number."""
        self.opened += 1
        return self.opened


def drop_vanished(watched: Watched, addresses: frozenset[str]) -> None:
    """End a connection whose local address is none of the host's `addresses`; raises OSError."""
    if watched.sock is not None and watched.sock.getsockname()[0] not in addresses:
        watched.lose(OSError(errno.EADDRNOTAVAIL, "the host's address is gone"))
