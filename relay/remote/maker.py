"""What makes sockets inside a sealed container, as the relay outside has it: a channel to it.

It is the container's own process, and is not trusted: what it hands over is looked at first.
"""

import contextlib
import errno
import socket
from typing import Final

from netns.process.socket_maker import DIAG, INET, INET6, SocketMaker
from relay.remote import descriptors
from relay.remote.descriptors import HandoverError

_KINDS: Final = {
    INET: descriptors.TCP._replace(name="TCP socket", listens=False),
    INET6: descriptors.TCP_IPV6._replace(name="TCP socket of IPv6", listens=False),
    DIAG: descriptors.DIAG,
}


class RemoteMaker(SocketMaker):
    """The channel; without one there are no sockets."""

    def __init__(self, end: socket.socket | None, network: int) -> None:
        """Take our end, non-blocking, and the number of the container's network namespace."""
        super().__init__(end=end)
        self._network = network

    def mark(self, sock: socket.socket) -> None:
        """Mark a socket, where this process may: a namespace that Docker has made is root's.

        Without the mark, connections to loopback are left alone all the same, for no port of the
        host is open there, and a container without a network has no other address.
        """
        with contextlib.suppress(PermissionError):
            super().mark(sock)

    def check(self, kind: bytes, sock: socket.socket) -> None:
        """Raise OSError if it is not what was asked for, or is of another network."""
        try:
            descriptors.require(sock, _KINDS[kind])
        except HandoverError as error:
            raise OSError(errno.EPROTO, error.cause) from error
        if descriptors.cookie(sock) != self._network:
            raise OSError(errno.EPROTO, "a socket of another network was handed over")
        sock.setblocking(False)  # noqa: FBT003 - positional only
