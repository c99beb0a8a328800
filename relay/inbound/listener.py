"""A listener in the namespace: the kernel has accepted each connection before it is offered.

tproxy, redirect and single ports differ in one thing: where the original destination is read.
"""

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from netns.plan import Intercept
from relay.addresses import Endpoint
from relay.inbound.offer import Offer, Refusal
from relay.sockets import TCP_CLOSE_WAIT, TCP_ESTABLISHED, resets_on_close, state

_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv4.h

_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_PAUSE: Final = 0.1
"""Seconds to wait when the host has no descriptor or memory left for another connection."""


@dataclass(slots=True)
class AcceptedOffer:
    """An offer whose handshake is over: it can be refused by a reset alone."""

    _sock: socket.socket
    source: Endpoint
    destination: Endpoint

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
    def has_half_closed(self) -> bool:
        """Whether the program's FIN has arrived."""
        return state(self._sock) == TCP_CLOSE_WAIT

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        """Do nothing: `is_wanted` is asked when a dial has failed."""

    async def accept(self) -> socket.socket:
        """Return the socket that the kernel has accepted."""
        return self._sock

    def refuse(self, refusal: Refusal) -> None:  # noqa: ARG002 - a reset is all that it can send
        """Reset the connection."""
        resets_on_close(self._sock)
        self._sock.close()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class Listener:
    """A listening socket of the namespace."""

    def __init__(self, sock: socket.socket, intercept: Intercept) -> None:
        """Take a non-blocking socket, which its owner closes, and how connections reach it."""
        self._sock = sock
        self._destination = _redirected if intercept == "redirect" else _local_end

    async def serve(self, start: Callable[[Offer], None]) -> None:
        """Accept in batches until EAGAIN, forever."""
        while True:
            try:
                self.take_waiting(start)
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                await trio.sleep(_PAUSE)
            else:
                await trio.lowlevel.wait_readable(self._sock)

    def take_waiting(self, start: Callable[[Offer], None]) -> None:
        """Offer every connection in the backlog; raises OSError if out of resources."""
        while True:
            try:
                program, source = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # reset while it waited in the backlog
            program.setblocking(False)  # noqa: FBT003 - positional only
            start(AcceptedOffer(program, source, self._destination(program)))


def _local_end(sock: socket.socket) -> Endpoint:
    """Return the original destination where no NAT has changed it: the socket's own address."""
    address, port = sock.getsockname()
    return address, port


def _redirected(sock: socket.socket) -> Endpoint:
    """Return the original destination as conntrack knows it: struct sockaddr_in, ip(7)."""
    raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")
