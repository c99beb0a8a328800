"""What passes between child and parent over one socketpair: steps, processes, then listeners."""

import array
import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from netns.errors import SandboxError
from netns.hints import host_facts, namespace_hint
from netns.network import host_ports
from netns.network.holding import SynSockets
from netns.network.host_addresses import HostAddresses
from netns.plan import Intercept

_MAX_MESSAGE = 65536
_MAX_FDS = 253  # SCM_MAX_FD of the kernel
_RELEASE = b"r"
_ADOPTED = b"adopted"


@dataclass(frozen=True)
class Step:
    """One thing that the namespace needs: done, or failed with a cause and the next step."""

    name: str
    error: str | None = None
    hint: str | None = None
    is_final: bool = True
    """Whether the child goes no further, if it failed."""


@dataclass(frozen=True)
class Moved:
    """The child goes on in a PID namespace: its ids, and those of the init there, as seen outside.

    The sender has ended, or is about to; the receiver is to say when both are its children.
    """

    init: int
    command: int


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
    read_only: Sequence[str] = ()
    """Those of the plan's folders to which nothing can be written."""
    stays_open: Sequence[str] = ()
    """What this kernel cannot keep out of reach, though --strict would."""
    unmounted: str = ""
    """Why no file is covered, and what that leaves open; empty if all are."""

    @property
    def reaches_host_ports(self) -> bool:
        """Whether what nobody takes on loopback can come to the relay."""
        return self.syns is not None and self.host_addresses is not None

    def listening(self) -> Iterator[socket.socket]:
        """Yield those that listen for TCP connections."""
        yield from (*self.tcp, self.dns_tcp)
        if self.syns is not None and self.syns.ipv6 is not None:
            yield self.syns.ipv6.listener

    def open_host_ports(self, ports: Sequence[tuple[int, int]]) -> None:
        """Have what nobody takes on loopback come to the relay at these ports alone, if it can.

        Each is a range, by its first and last. By IPv4, and by IPv6 where that can be held. Raises
        OSError.
        """
        syns, own = self.syns, self.host_addresses
        if syns is None or own is None:
            return
        listeners = {socket.AF_INET: self.tcp[0]}
        if syns.ipv6 is not None:
            listeners[socket.AF_INET6] = syns.ipv6.listener
        for family, listener in listeners.items():
            port = listener.getsockname()[1]  # else a program could connect to it directly
            host_ports.replace(own.sock, own.table, family, [*ports, (port, port)])

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


@contextlib.contextmanager
def step(name: str, end: socket.socket) -> Iterator[None]:
    """Turn what fails inside into a SandboxError with the next step; report what worked."""
    try:
        yield
    except OSError as error:
        hint = namespace_hint(error.errno, host_facts())
        raise SandboxError(f"{name}: {error.strerror or error}", hint) from error
    send_step(end, Step(name))


def send_moved(end: socket.socket, moved: Moved) -> None:
    """Report the processes of the PID namespace."""
    end.send(json.dumps({"moved": asdict(moved)}).encode())


def release(end: socket.socket) -> None:
    """Let the command start; raises OSError if the child is gone."""
    end.send(_RELEASE)


def adopt(end: socket.socket) -> None:
    """Tell the command-to-be whose child it is by now; raises OSError if it is gone."""
    end.send(_ADOPTED)


def await_start(end: socket.socket, *, is_released: bool, is_adopted: bool) -> None:
    """Wait until the command may start, and the process that has forked this one is gone.

    Which of both is to be waited for is given; they may come in any order, and nothing is left
    unread. Raises EOFError if the parent is gone before the release.
    """
    awaited = {*([_RELEASE] if is_released else []), *([_ADOPTED] if is_adopted else [])}
    while awaited:
        message = end.recv(len(_ADOPTED))
        if message:
            awaited.discard(message)
        elif _RELEASE in awaited:
            raise EOFError("keepline ended before the command was started")
        else:
            return


def send_listeners(end: socket.socket, listeners: Listeners) -> None:
    """Hand the sockets over, unix(7) SCM_RIGHTS."""
    syns = listeners.syns
    held = syns.all() if syns is not None else ()
    addresses = listeners.host_addresses
    own = () if addresses is None else (addresses.sock,)
    sockets = (listeners.dns_udp, listeners.dns_tcp, listeners.diag, *held, *own, *listeners.tcp)
    message = {
        "intercept": listeners.intercept,
        "holding": len(held),
        "notes": list(listeners.notes),
        "held_notes": list(listeners.held_notes),
        "lacks": list(listeners.lacks),
        "read_only": list(listeners.read_only),
        "stays_open": list(listeners.stays_open),
        "unmounted": listeners.unmounted,
        "host_addresses": None if addresses is None else [addresses.table, *addresses.shown],
    }
    socket.send_fds(end, [json.dumps(message).encode()], [sock.fileno() for sock in sockets])


def _receive_message(end: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """Return a message, b"" for the end, and the descriptors that came with it."""
    room = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
    data, ancillary, _flags, _address = end.recvmsg(_MAX_MESSAGE, room)
    return data, ancillary


def receive(end: socket.socket) -> Step | Moved | Listeners:
    """Wait for the next message; raises EOFError when the other end is gone.

    If the other end left unread what was sent to it, as one does that fails before the command may
    start, the kernel tells of that first, and then gives out what it had sent, unix(7).
    """
    try:
        data, ancillary = _receive_message(end)
    except ConnectionResetError:
        data, ancillary = _receive_message(end)
    if not data:
        raise EOFError
    message: dict[str, Any] = json.loads(data)
    if "step" in message:
        return Step(**message["step"])
    if "moved" in message:
        return Moved(**message["moved"])
    fds = array.array("i")
    for _level, _type, rights in ancillary:
        fds.frombytes(rights)
    return _listeners(message, [socket.socket(fileno=fd) for fd in fds])


def _listeners(message: dict[str, Any], sockets: Sequence[socket.socket]) -> Listeners:
    """Put together what send_listeners() has sent."""
    for sock in sockets:
        sock.setblocking(False)  # noqa: FBT003 - positional only
    dns_udp, dns_tcp, diag, *tcp = sockets
    held, tcp = tcp[: message["holding"]], tcp[message["holding"] :]
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
        SynSockets.of(held) if held else None,
        host_addresses,
        message["notes"],
        message["held_notes"],
        message["lacks"],
        message["read_only"],
        message["stays_open"],
        message["unmounted"],
    )
