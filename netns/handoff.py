"""What passes between child and parent over one socketpair: reports of steps, then listeners."""

import array
import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from typing import Any

from netns.plan import Intercept

_MAX_MESSAGE = 65536
_MAX_FDS = 253  # SCM_MAX_FD of the kernel


@dataclass(frozen=True)
class Step:
    """One thing that the namespace needs: done, or failed with a cause and the next step."""

    name: str
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Listeners:
    """Sockets that were made in the namespace; whoever holds this owns them."""

    intercept: Intercept
    tcp: Sequence[socket.socket]
    dns_udp: socket.socket
    dns_tcp: socket.socket
    tcp_table: FileIO
    """The namespace's /proc/net/tcp, to be read from its start."""
    notes: Sequence[str] = ()
    """Why no better way of interception is used, for people."""

    def close(self) -> None:
        """Close all of them."""
        for sock in (*self.tcp, self.dns_udp, self.dns_tcp):
            sock.close()
        self.tcp_table.close()


def channel() -> tuple[socket.socket, socket.socket]:
    """Make both ends; message boundaries are kept, and each end sees the other's death."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_step(end: socket.socket, step: Step) -> None:
    """Report a step."""
    end.send(json.dumps({"step": asdict(step)}).encode())


def send_listeners(end: socket.socket, listeners: Listeners) -> None:
    """Hand the sockets over, unix(7) SCM_RIGHTS."""
    sockets = (listeners.dns_udp, listeners.dns_tcp, *listeners.tcp)
    fds = [listeners.tcp_table.fileno(), *(sock.fileno() for sock in sockets)]
    message = {"intercept": listeners.intercept, "notes": list(listeners.notes)}
    socket.send_fds(end, [json.dumps(message).encode()], fds)


def receive(end: socket.socket) -> Step | Listeners:
    """Wait for the next message; raises EOFError when the other end is gone."""
    data, ancillary, _flags, _address = end.recvmsg(
        _MAX_MESSAGE, socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
    )
    if not data:
        raise EOFError
    message: dict[str, Any] = json.loads(data)
    if "step" in message:
        return Step(**message["step"])
    fds = array.array("i")
    for _level, _type, rights in ancillary:
        fds.frombytes(rights)
    tcp_table = FileIO(fds.pop(0), "rb")
    dns_udp, dns_tcp, *tcp = (socket.socket(fileno=fd) for fd in fds)
    for sock in (dns_udp, dns_tcp, *tcp):
        sock.setblocking(False)  # noqa: FBT003 - positional only
    return Listeners(message["intercept"], tcp, dns_udp, dns_tcp, tcp_table, message["notes"])
