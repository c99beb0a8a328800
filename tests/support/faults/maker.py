"""Makes sockets of a namespace within the call that asks for them: no clock jumps meanwhile."""

import socket
from typing import Any

from netns.process.socket_maker import ANSWER, MADE, SocketMaker
from tests.support.faults.world import Namespace


class MakerAtOnce(SocketMaker):
    """Stands for the process."""

    def __init__(self, namespace: Namespace) -> None:
        ours, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel = _Channel(fileno=ours.detach())
        channel.namespace, channel.other = namespace, self._other
        channel.setblocking(False)
        super().__init__(1, channel)

    def enter(self, inside: socket.socket) -> None:
        """Be there already."""
        self._other.send(ANSWER.pack(0))

    def stop(self) -> None:
        """Close both ends."""
        for end in (self.end, self._other):
            if end is not None:
                end.close()
        self.end = None


class _Channel(socket.socket):
    """Answers as it is sent to."""

    namespace: Namespace
    other: socket.socket

    def send(self, asked: Any, flags: int = 0, /) -> int:
        """Make what is asked for."""
        with self.namespace.inside(lambda: socket.socket(*MADE[asked])) as sock:
            sock.setblocking(False)
            socket.send_fds(self.other, [ANSWER.pack(0)], [sock.fileno()])
        return len(asked)
