"""Checks that a descriptor from a sealed container is the socket that it is to be, and not ours.

What comes by SCM_RIGHTS may be anything: a file, a socket of another kind, one that is connected,
one of the host's network or of several. Family, type and protocol are the kernel's answers about
the socket itself, socket(7), and so is the network namespace that it is of: SO_NETNS_COOKIE, by
which Linux 5.14 numbers each once and for all.

Whoever has sent a socket may have kept it. What it can do with it then, such as accepting its own
connections or making the socket block, hurts its own session alone, which is a process of its own.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from netns.errors import KeeplineError
from netns.network import netlink
from relay.remote import channel
from relay.remote.messages import Handover

_SO_NETNS_COOKIE: Final = 71
"""Of <asm-generic/socket.h>."""
_COOKIE: Final = struct.Struct("=Q")


class HandoverError(KeeplineError):
    """The container has not handed over what it was to."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            cause, "start it again with keepline run --relay, of the relay's own version"
        )


class Kind(NamedTuple):
    """What a socket is to be."""

    name: str
    """For people."""
    family: int
    type: int
    protocol: int
    listens: bool = False


DNS_UDP: Final = Kind("UDP socket", socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
TCP: Final = Kind("TCP listener", socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, True)  # noqa: FBT003
TCP_IPV6: Final = TCP._replace(name="TCP listener of IPv6", family=socket.AF_INET6)
DIAG: Final = Kind("sock_diag socket", socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
LOG: Final = Kind("netfilter socket", socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
RAW: Final = Kind("raw socket", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
RAW_IPV6: Final = RAW._replace(name="raw socket of IPv6", family=socket.AF_INET6)
CHANNEL: Final = Kind("channel", socket.AF_UNIX, socket.SOCK_SEQPACKET, 0)


def wanted(handover: Handover) -> Iterator[Kind]:
    """Yield what the sockets of a handover are to be, in their order, as kept.py sends them."""
    yield from (DNS_UDP, TCP, DIAG)
    if handover.holds:
        yield from (LOG, RAW, RAW)
        if handover.holds_ipv6:
            yield from (TCP_IPV6, RAW_IPV6)
    if handover.makes:
        yield CHANNEL
    yield from (TCP,) * handover.listeners


def cookie(sock: socket.socket) -> int:
    """Return the number of the network namespace that a socket is of; raises OSError."""
    answer = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, _COOKIE.size)
    return int(_COOKIE.unpack(answer)[0])


def own_cookie() -> int:
    """Return the number of the namespace in which this process makes its sockets.

    Raises KeeplineError where the kernel does not number them.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            return cookie(sock)
    except OSError as error:
        raise KeeplineError(
            f"this kernel does not tell of which network a socket is: {error.strerror}",
            "use Linux 5.14 or later where the relay of sealed containers runs",
        ) from error


def taken(fds: Sequence[int], handover: Handover, host: int) -> list[socket.socket]:
    """Return the sockets of these descriptors, non-blocking, in order; `host` is own_cookie().

    Raises HandoverError, and has then closed all of them, if there are more or fewer than were
    told of, one is not what it is to be, one is of the host's network, or they are of several.
    """
    kinds = list(wanted(handover))
    if len(kinds) != len(fds):
        channel.close(fds)
        raise HandoverError(f"it has handed over {len(fds)} descriptors, not {len(kinds)}")
    sockets: list[socket.socket] = []
    try:
        for fd, kind in zip(fds, kinds, strict=True):
            sockets.append(_socket(fd, kind))
        for sock, kind in zip(sockets, kinds, strict=True):
            require(sock, kind)
        _require_one_network(
            (sock for sock, kind in zip(sockets, kinds, strict=True) if kind is not CHANNEL), host
        )
        for sock in sockets:
            sock.setblocking(False)  # noqa: FBT003 - positional only
    except BaseException:
        channel.close(fds[len(sockets) :])
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _socket(fd: int, kind: Kind) -> socket.socket:
    """Take a descriptor over; raises HandoverError if it is no socket, or one without addresses."""
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise HandoverError(f"it has handed over something that is no {kind.name}") from error


def require(sock: socket.socket, kind: Kind) -> None:
    """Raise HandoverError if a socket is of another kind, or does not listen though it is to.

    A UDP socket is not connected, and a channel's other end has no path: it is that of a pair.
    """
    options = (socket.SO_DOMAIN, socket.SO_TYPE, socket.SO_PROTOCOL, socket.SO_ACCEPTCONN)
    try:
        found = tuple(sock.getsockopt(socket.SOL_SOCKET, each) for each in options)
    except OSError as error:
        raise HandoverError(f"a {kind.name} cannot be looked at: {error.strerror}") from error
    if found != (kind.family, kind.type, kind.protocol, int(kind.listens)):
        raise HandoverError(f"it has handed over another socket in the place of a {kind.name}")
    if (kind is DNS_UDP and _peer(sock) is not None) or (kind is CHANNEL and _peer(sock)):
        raise HandoverError(f"it has handed over a {kind.name} that is connected to somebody")


def _peer(sock: socket.socket) -> object:
    """Return the address of a socket's other end, None if it has none."""
    try:
        return sock.getpeername()
    except OSError:
        return None


def _require_one_network(sockets: Iterable[socket.socket], host: int) -> None:
    """Raise HandoverError if sockets are of several networks, or of the host's."""
    networks = {cookie(sock) for sock in sockets}
    if host in networks:
        raise HandoverError("it has handed over a socket of the host's network")
    if len(networks) != 1:
        raise HandoverError("it has handed over sockets of several networks")
