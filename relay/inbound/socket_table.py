"""The state of the programs' sockets, asked of their kernel; inet_diag.py has the format."""

import socket
from typing import Final

from relay.addresses import Endpoint
from relay.inbound import inet_diag
from relay.sockets import TCP_LISTEN

_ANSWER: Final = 1024


class SocketTable:
    """All TCP sockets of the namespace."""

    def __init__(self, diag: socket.socket) -> None:
        """Take a sock_diag socket of the namespace, which its owner closes."""
        self._diag = diag
        self._asked = 0

    def state(self, local: Endpoint, remote: Endpoint) -> int | None:
        """Return the state of the socket with these ends, None if there is none; raises OSError."""
        return inet_diag.state(self._answer(local, remote))

    def has_owner(self, local: Endpoint, remote: Endpoint) -> bool:
        """Return whether a process holds the socket with these ends open; raises OSError."""
        return bool(self.inode(local, remote))

    def inode(self, local: Endpoint, remote: Endpoint) -> int:
        """Return the inode of the socket with these ends, 0 if nobody has one; raises OSError."""
        return inet_diag.inode(self._answer(local, remote))

    def listener(self, end: Endpoint) -> int:
        """Return the inode of the socket that would take a connection; 0 if none would.

        Raises OSError. The kernel gives out the number of one that is closed only after all others.
        """
        nobody = ("::" if ":" in end[0] else "0.0.0.0", 0)  # noqa: S104 - of one that listens
        answer = self._answer(end, nobody)
        return inet_diag.inode(answer) if inet_diag.state(answer) == TCP_LISTEN else 0

    def _answer(self, local: Endpoint, remote: Endpoint) -> bytes:
        """Ask the kernel for the socket with these ends; raises OSError.

        It answers before send() returns, so nothing is waited for. Answers to questions whose own
        answer could not be read are passed over.
        """
        self._asked = (self._asked + 1) % (1 << 32)
        self._diag.send(inet_diag.request(local, remote, self._asked))
        while True:
            answer = self._diag.recv(_ANSWER)
            if inet_diag.number_of(answer) == self._asked:
                return answer
