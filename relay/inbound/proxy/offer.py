"""A connection that a program asks a proxy for: its request waits until that is reached."""

import socket
from collections.abc import Callable
from typing import TypeAlias, assert_never

import trio

from relay.addresses import Endpoint
from relay.inbound.offer import GIVEN_UP, Refusal
from relay.inbound.proxy import answers
from relay.inbound.proxy.forwarded import ForwardedSocket
from relay.inbound.proxy.refusals import answer_to, reply_to
from relay.inbound.proxy.requests import Forward, OwnPath, Tunnel
from relay.inbound.proxy.socks import Connect
from relay.sockets import has_data, has_ended, resets_on_close

Served: TypeAlias = Tunnel | Forward | OwnPath | Connect


class ProxyOffer:
    """The offer of one connection of a program to the proxy.

    It ends with accept() or refuse(). A refusal is told by whoever has made the offer, who waits
    for `settled`, and closes the socket then.
    """

    withdrawal = GIVEN_UP

    def __init__(
        self, sock: socket.socket, source: Endpoint, asked: Served, destination: Endpoint
    ) -> None:
        """Take a non-blocking socket over, from which the request has been read, but for a path."""
        self.source = source
        self.destination = destination
        self.settled = trio.Event()
        self.answer: bytes | None = None
        """What the program is told of a refusal."""
        self._sock = sock
        self._asked = asked
        self._watching = trio.CancelScope()
        self._withdrawn: Callable[[], None] = lambda: None

    @property
    def is_held(self) -> bool:
        """Whether the program waits for an answer to its request; a path is read by its server."""
        return not (self.settled.is_set() or isinstance(self._asked, OwnPath))

    @property
    def is_wanted(self) -> bool:
        """Whether the program has neither closed nor half-closed, which look the same from here."""
        return not has_ended(self._sock)

    @property
    def has_ended(self) -> bool:
        """Whether the program's FIN has arrived, or its RST."""
        return has_ended(self._sock)

    @property
    def has_words(self) -> bool:
        """Whether data are here that nobody has read, of those that are for the server."""
        return has_data(self._sock)

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        """Have `call` called once the program has closed while it waits."""
        self._withdrawn = call

    async def watch(self) -> None:
        """Notice that the program closes while it waits; end when it is settled.

        A program that half-closes behind a whole request waits for its answer all the same, so of
        one that is forwarded a reset alone tells. The pump that reads from the socket next finds
        nobody waiting there: a cancelled wait is over before cancel() returns.
        """
        with self._watching:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                is_end = not self._sock.recv(1, socket.MSG_PEEK)
            except OSError:
                self._withdrawn()
                return
            if is_end and not isinstance(self._asked, Forward):
                self._withdrawn()

    async def accept(self) -> socket.socket:
        """Tell the program that it is connected, and return its socket; raises OSError."""
        if self.settled.is_set():
            return self._sock
        self._watching.cancel()
        match self._asked:
            case Tunnel():
                self._sock.send(answers.established())
            case Connect():
                self._sock.send(answers.reply(answers.SUCCEEDED))
            case Forward():
                self._sock = ForwardedSocket.of(self._sock, self._asked)
            case OwnPath():
                pass
            case _:
                assert_never(self._asked)
        self.settled.set()
        return self._sock

    def refuse(self, refusal: Refusal, why: str = "") -> None:
        """Have the program be told, with the cause; one that was accepted is reset."""
        if self.settled.is_set():
            if self.answer is None and self._sock.fileno() != -1:
                resets_on_close(self._sock)
                self._sock.close()
            return
        self._watching.cancel()
        is_socks = isinstance(self._asked, Connect)
        self.answer = reply_to(refusal) if is_socks else answer_to(refusal, why)
        self.settled.set()

    def has_time_wait(self, received: int) -> bool:  # noqa: ARG002 - it is at the proxy's port
        """Return that nothing is still to be done."""
        return False

    def close(self) -> None:
        """Close the socket, unless a refusal is still to be told."""
        if self.answer is None:
            self._watching.cancel()
            self._sock.close()
            self.settled.set()
