"""What passes between child and parent over one socketpair: reports of steps, then listeners."""

import array
import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from netns.network.holding import SynSockets
from netns.network.host_addresses import HostAddresses
from netns.plan import Intercept

_MAX_MESSAGE = 65536
_MAX_FDS = 253  # SCM_MAX_FD of the kernel
_RELEASE = b"r"


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
    diag: socket.socket
    """sock_diag(7): answers what state a socket of the namespace is in."""
    syns: SynSockets | None
    """What holds SYNs; None: the kernel accepts each connection before it is dialled."""
    host_addresses: HostAddresses | None = None
    """The addresses at which servers of the namespace are found too; None where none are."""
    notes: Sequence[str] = ()
    """Why no better way of interception is used, for people."""
    held_notes: Sequence[str] = ()
    """Why a connect() is not held, or not for as long as it should be."""
    lacks: Sequence[str] = ()
    """What the namespace lacks of the host as programs see it, and why."""

    def close(self) -> None:
        """Close all of them."""
        for sock in (*self.tcp, self.dns_udp, self.dns_tcp, self.diag):
            sock.close()
        if self.syns is not None:
            self.syns.close()
        if self.host_addresses is not None:
            self.host_addresses.sock.close()


def channel() -> tuple[socket.socket, socket.socket]:
    """Make both ends; message boundaries are kept, and each end sees the other's death."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_step(end: socket.socket, step: Step) -> None:
    """Report a step."""
    end.send(json.dumps({"step": asdict(step)}).encode())


def release(end: socket.socket) -> None:
    """Let the command start; raises OSError if the child is gone."""
    end.send(_RELEASE)


def await_release(end: socket.socket) -> None:
    """Wait until the command may start; raises EOFError if the parent is gone."""
    if end.recv(len(_RELEASE)) != _RELEASE:
        raise EOFError("keepline ended before the command was started")


def send_listeners(end: socket.socket, listeners: Listeners) -> None:
    """Hand the sockets over, unix(7) SCM_RIGHTS."""
    syns = listeners.syns
    held = syns.all() if syns is not None else ()
    addresses = listeners.host_addresses
    own = () if addresses is None else (addresses.sock,)
    sockets = (listeners.dns_udp, listeners.dns_tcp, listeners.diag, *held, *own, *listeners.tcp)
    message = {
        "intercept": listeners.intercept,
        "holds": syns is not None,
        "notes": list(listeners.notes),
        "held_notes": list(listeners.held_notes),
        "lacks": list(listeners.lacks),
        "host_addresses": None if addresses is None else [addresses.table, *addresses.shown],
    }
    socket.send_fds(end, [json.dumps(message).encode()], [sock.fileno() for sock in sockets])


def _next(end: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """Return the next message with its descriptors; nothing if the other end is gone.

    If that has left unread what was sent to it, this is told once, and before what it had sent.
    """
    room = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
    try:
        return end.recvmsg(_MAX_MESSAGE, room)[:2]
    except ConnectionResetError:
        return end.recvmsg(_MAX_MESSAGE, room)[:2]


def receive(end: socket.socket) -> Step | Listeners:
    """Wait for the next message; raises EOFError when the other end is gone."""
    data, ancillary = _next(end)
    if not data:
        raise EOFError
    message: dict[str, Any] = json.loads(data)
    if "step" in message:
        return Step(**message["step"])
    fds = array.array("i")
    for _level, _type, rights in ancillary:
        fds.frombytes(rights)
    sockets = [socket.socket(fileno=fd) for fd in fds]
    for sock in sockets:
        sock.setblocking(False)  # noqa: FBT003 - positional only
    dns_udp, dns_tcp, diag, *tcp = sockets
    syns = None
    if message["holds"]:
        log, raw, raw_of_burst, *tcp = tcp
        syns = SynSockets(log, raw, raw_of_burst)
    host_addresses = None
    if message["host_addresses"]:
        own, *tcp = tcp
        table, *shown = message["host_addresses"]
        host_addresses = HostAddresses(own, table, shown, shown)
    return Listeners(
        message["intercept"],
        tcp,
        dns_udp,
        dns_tcp,
        diag,
        syns,
        host_addresses,
        message["notes"],
        message["held_notes"],
        message["lacks"],
    )
