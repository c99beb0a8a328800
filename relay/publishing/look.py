"""What listens inside, as its kernel says when it is asked."""

import socket
from collections.abc import Collection
from typing import Final

from relay.inbound.socket_table import SocketTable
from relay.publishing import listening
from relay.publishing.servers import Server, by_port
from relay.publishing.sockets import Sockets

_ANSWER: Final = 1 << 15
"""Bytes of a part of the kernel's answer, at most."""

_NONE: Final = Server()


class Look:
    """Looks at what listens in the namespace, but for keepline's own sockets."""

    def __init__(self, sockets: Sockets, own: Collection[int]) -> None:
        """Take what makes sockets, and the inodes of those that are keepline's own."""
        self.sockets = sockets
        self._own = frozenset(own)
        self._diag: socket.socket | None = None
        self.servers: dict[int, Server] = {}
        """By their ports, when it was last looked."""
        self.count = 0
        """Sockets that listened then."""

    async def again(self) -> dict[int, Server]:
        """Look, and return the servers by their ports; raises OSError.

        The kernel answers as it is read from, so nothing is waited for but the socket to ask by.
        """
        if self._diag is None:
            diag = await self.sockets.diag()
            self.close()  # another task may have got one meanwhile
            self._diag = diag
        found: list[listening.Listening] = []
        for family in (listening.AF_INET, listening.AF_INET6):
            self._diag.send(listening.request(family))
            while self._read(self._diag.recv(_ANSWER), found):
                pass
        self.servers, self.count = by_port(found), len(found)
        return self.servers

    def _read(self, answer: bytes, found: list[listening.Listening]) -> bool:
        """Add what is in a part of the answer; return whether there is more."""
        for each in listening.read(answer, self._own):
            if each is None:
                return False
            found.append(each)
        return True

    async def address(self, port: int, *, ipv6: bool) -> str:
        """Return where a client of this family finds the server of a port now; empty: nowhere.

        A server that has been found may have closed, and another may have come.
        """
        address = self.servers.get(port, _NONE).at(ipv6=ipv6)
        if not address or not self._listens(address, port):
            address = (await self.again()).get(port, _NONE).at(ipv6=ipv6)
        return address

    def _listens(self, address: str, port: int) -> bool:
        """Return whether a socket still listens there: a refusal would be logged as a program's."""
        return self._diag is not None and bool(SocketTable(self._diag).listener((address, port)))

    def close(self) -> None:
        """Close the socket to ask by; it is made anew when it is needed."""
        if self._diag is not None:
            self._diag.close()
            self._diag = None
