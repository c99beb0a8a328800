"""The ways in of a pod: its rules redirect connections and questions to sockets on loopback.

The kernel accepts a connection before it is offered, and knows its original destination by
conntrack, as with `intercept = redirect`.
"""

import contextlib
import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from netns.errors import KeeplineError
from netns.network import netlink
from netns.network.pod import DNS_PORT, TCP_PORT
from relay.barrier import Record
from relay.dns.service import DnsSockets
from relay.inbound.listener import Listener
from relay.inbound.offer import Inbound, Offer
from relay.inbound.socket_table import SocketTable
from relay.outbound.host_loopback import HostLoopback
from relay.sidecar.rules_watch import RulesWatch
from relay.ways_in import WaysIn

_LOOPBACK: Final = "127.0.0.1"
_LOOPBACK_V6: Final = "::1"
_WITHOUT_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_BACKLOG: Final = 4096


@dataclass(frozen=True)
class PodSockets:
    """What the rules lead to; whoever opened them closes them."""

    tcp: socket.socket
    dns: Sequence[DnsSockets]
    """Of IPv4 and, where this kernel has it, of IPv6: a program may know such a name server."""
    diag: socket.socket
    door: socket.socket | None = None
    """Where programs connect by a base URL, which no rule has to lead to."""

    def close(self) -> None:
        """Close all of them: who connects from now on is refused at once."""
        door = () if self.door is None else (self.door,)
        for sock in (self.tcp, *chain.from_iterable(self.dns), self.diag, *door):
            sock.close()


def open_sockets(door: int | None = None) -> PodSockets:
    """Open them; raises KeeplineError if somebody has a port of them, and OSError.

    `door` is the port of a base URL, if there is one.
    """
    with contextlib.ExitStack() as undo:
        tcp = undo.enter_context(listen(_LOOPBACK, TCP_PORT))
        dns = [_dns_sockets(_LOOPBACK, undo)]
        try:
            dns.append(_dns_sockets(_LOOPBACK_V6, undo))
        except OSError as error:
            if error.errno not in _WITHOUT_IPV6:
                raise
        diag = undo.enter_context(
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
        )
        diag.setblocking(False)  # noqa: FBT003 - positional only
        opened = None if door is None else undo.enter_context(listen(_LOOPBACK, door))
        undo.pop_all()
    return PodSockets(tcp, dns, diag, opened)


def _dns_sockets(address: str, undo: contextlib.ExitStack) -> DnsSockets:
    """Open those of one address; raises as open_sockets() does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
    _bind(udp, (address, DNS_PORT))
    return udp, undo.enter_context(listen(address, DNS_PORT))


def listen(address: str, port: int) -> socket.socket:
    """Listen, by IPv6 on every address by both; accepted sockets inherit TCP_NODELAY.

    Raises KeeplineError if somebody has the port, and OSError.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _bind(sock, (address, port))
        sock.listen(_BACKLOG)
        undo.pop_all()
    return sock


def listen_everywhere(port: int) -> socket.socket:
    """Listen on every address, of IPv6 too if this kernel has it; raises as listen() does."""
    try:
        return listen("::", port)
    except OSError:  # no IPv6
        return listen("0.0.0.0", port)  # noqa: S104 - whoever probes the pod comes from anywhere


def _bind(sock: socket.socket, end: tuple[str, int]) -> None:
    try:
        sock.bind(end)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise KeeplineError(
            f"port {end[1]} of {end[0]} is taken: another relay of this pod, or a program, has it",
            "let one relay run in a pod, and leave its ports 15001, 15020 and 15053 to it",
        ) from error


class RedirectedConnections:
    """The listener, whose connections to the relay's own address only show that rules stand."""

    def __init__(self, listener: Listener, rules: RulesWatch) -> None:
        self._listener = listener
        self._rules = rules

    async def serve(self, start: Callable[[Offer], None]) -> None:
        """Hand each offer over as it comes, until cancelled; raises OSError."""
        await self._listener.serve(partial(self._take, start))

    def take_waiting(self, start: Callable[[Offer], None]) -> None:
        """Hand over what has come and was not taken yet; raises OSError."""
        self._listener.take_waiting(partial(self._take, start))

    def _take(self, start: Callable[[Offer], None], offer: Offer) -> None:
        if self._rules.takes(offer.source, offer.destination):
            offer.close()
        else:
            start(offer)


def ways_in(sockets: PodSockets, rules: RulesWatch) -> WaysIn:
    """Return the ways in by the sockets of a pod."""

    def make(
        _programs: SocketTable | None, record: Record, _loopback: HostLoopback
    ) -> list[Inbound]:
        made: list[Inbound] = [
            RedirectedConnections(Listener(sockets.tcp, "redirect", record), rules)
        ]
        if sockets.door is not None:  # nothing has changed where its connections go
            made.append(Listener(sockets.door, "tproxy", record))
        return made

    return WaysIn(make, dns=sockets.dns, diag=sockets.diag)
