"""A listener in the namespace: the kernel has accepted each connection before it is offered.

tproxy, redirect and single ports differ in one thing: where the original destination is read.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from netns.plan import Intercept
from relay.addresses import Endpoint
from relay.barrier import Record
from relay.inbound.accepting import Acceptor
from relay.inbound.offer import GIVEN_UP, Offer, Refusal
from relay.sockets import ENDED_BY_PEER, TCP_ESTABLISHED, has_data, resets_on_close, state

_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv4.h


@dataclass(slots=True)
class AcceptedOffer:
    """An offer whose handshake is over: it can be refused by a reset alone."""

    _sock: socket.socket
    source: Endpoint
    destination: Endpoint
    withdrawal: str = GIVEN_UP

    @property
    def is_held(self) -> bool:
        """Whether the connect() is pending, which it is no more."""
        return False

    @property
    def is_wanted(self) -> bool:
        """Whether the program has neither closed nor half-closed, which look the same from here.

        Before anything is reached, a half-close may be taken for a close: the reset tells the
        program that its data were not delivered.
        """
        return state(self._sock) == TCP_ESTABLISHED

    @property
    def has_ended(self) -> bool:
        """Whether the program's FIN has arrived, or its RST.

        Where our FIN went first, the kernel has closed the socket by then; what came before the
        program's end can be read from it all the same.
        """
        return state(self._sock) in ENDED_BY_PEER

    @property
    def has_words(self) -> bool:
        """Whether data are here; MSG_PEEK leaves them."""
        return has_data(self._sock)

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        """Do nothing: `is_wanted` is asked when a dial has failed."""

    async def accept(self) -> socket.socket:
        """Return the socket that the kernel has accepted."""
        return self._sock

    def refuse(self, refusal: Refusal, why: str = "") -> None:  # noqa: ARG002 - a reset is all
        """Reset the connection, unless it was closed before."""
        if self._sock.fileno() != -1:
            resets_on_close(self._sock)
            self._sock.close()

    def has_time_wait(self, received: int) -> bool:  # noqa: ARG002 - its SYN is not known
        """Return that nothing is still to be done."""
        return False

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class Listener:
    """A listening socket of the namespace."""

    def __init__(self, sock: socket.socket, intercept: Intercept, record: Record) -> None:
        """Take a non-blocking socket, which its owner closes, and how connections reach it."""
        self._acceptor = Acceptor(sock, "the listener", record)
        self._destination = _redirected if intercept == "redirect" else _local_end

    async def serve(self, start: Callable[[Offer], None]) -> None:
        """Accept in batches until EAGAIN, until cancelled; raises OSError."""
        await self._acceptor.serve(lambda sock, source: start(self._offer(sock, source)))

    def take_waiting(self, start: Callable[[Offer], None]) -> None:
        """Offer every connection in the backlog; raises OSError."""
        self._acceptor.take_waiting(lambda sock, source: start(self._offer(sock, source)))

    def _offer(self, program: socket.socket, source: Endpoint) -> Offer:
        """Return the offer of a connection; raises OSError if its destination is not known."""
        return AcceptedOffer(program, source, self._destination(program))


def _local_end(sock: socket.socket) -> Endpoint:
    """Return the original destination where no NAT has changed it: the socket's own address."""
    end: Endpoint = sock.getsockname()[:2]  # IPv6 has flow and scope too
    return end


def _redirected(sock: socket.socket) -> Endpoint:
    """Return the original destination as conntrack knows it: struct sockaddr_in, ip(7)."""
    raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")
