"""The listening socket of a proxy: HTTP and SOCKS5 at one port, told apart by the first byte.

What asks without the session's token, or for what is no place, is answered here, and nothing is
dialled for it. All on this host can connect to it: so no more than MOST connections may be without
a whole request or behind a refusal, the oldest of which gives way, and each for HEAD seconds, or
LINGER, at most.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final, assert_never

import trio

from relay.addresses import Endpoint
from relay.barrier import Record, contained
from relay.descriptors import LIMIT
from relay.inbound.accepting import Acceptor
from relay.inbound.offer import Offer
from relay.inbound.proxy import requests, socks
from relay.inbound.proxy.answers import answer
from relay.inbound.proxy.offer import ProxyOffer
from relay.inbound.proxy.requests import Forward, OwnPath, Refused, Tunnel
from relay.inbound.proxy.secret import Secret
from relay.record.events import ProxyRefused
from relay.record.repeats import is_told
from relay.sockets import resets_on_close, send_all

HEAD: Final = 60.0
"""Seconds for a whole request."""

MOST: Final = 1024
PART: Final = 8
"""Connections without a whole request, or refused: a share of the descriptors, MOST at most."""

LINGER: Final = 2.0
"""Seconds for a program that still sends to take an answer, RFC 9112 section 9.6."""

_PIECE: Final = 64 * 1024

_NO_GATEWAY: Final = "this is a proxy, and no server: there is no gateway here"
_UNKNOWN: Final = "the base URL needs the token of this session"


class ProxyListener:
    """Reads requests and offers what they ask for."""

    def __init__(
        self,
        sock: socket.socket,
        record: Record,
        secret: Secret | None = None,
        base_url: Endpoint | None = None,
    ) -> None:
        """Take a non-blocking socket, which its owner closes.

        Everybody is served who shows the secret, if there is one. Requests by a path are offered as
        connections to `base_url`, where a gateway serves; None: there is none.
        """
        self._acceptor = Acceptor(sock, "the proxy", record)
        self._record = record
        self._secret = secret
        self._base_url = base_url
        self._waiting: dict[trio.CancelScope, None] = {}
        self._most = LIMIT.share(PART, MOST)
        self._refused = 0

    async def serve(self, start: Callable[[Offer], None]) -> None:
        """Serve until cancelled; raises OSError."""
        async with trio.open_nursery() as nursery:
            await self._acceptor.serve(
                lambda sock, source: nursery.start_soon(self._serve, sock, source, start)
            )

    def take_waiting(self, start: Callable[[Offer], None]) -> None:
        """Leave what has come: nobody has read yet what it is for."""

    async def _serve(
        self, sock: socket.socket, source: Endpoint, start: Callable[[Offer], None]
    ) -> None:
        """Serve a connection until it is accepted by whoever serves its offer, or has ended."""
        offer: ProxyOffer | None = None
        told = b""
        try:
            with contained(self._record, "request to the proxy", saw="a reset"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(ConnectionError):
                    found = await self._asked(sock)
                    if isinstance(found, bytes):
                        told = found
                    else:
                        offer = ProxyOffer(sock, source, *found)
                        start(offer)
                        await _settled(offer)
                        told = offer.answer or b""
                    if told:
                        with self._idle(LINGER) as scope, scope:
                            await _end(sock, told)
        finally:
            if offer is None or offer.answer is not None:
                sock.close()

    async def _asked(
        self, sock: socket.socket
    ) -> tuple[Tunnel | Forward | OwnPath | socks.Connect, Endpoint] | bytes:
        """Return what the program asks for, and where that is; or how it is refused."""
        with self._idle(HEAD) as scope, scope:
            first = await _peek(sock)
            if first[:1] in (bytes([socks.VERSION]), bytes([socks.VERSION_4])):
                return await self._by_socks(sock)
            return await self._by_http(sock)
        resets_on_close(sock)
        return b""

    @contextlib.contextmanager
    def _idle(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Count a connection as one for which nothing is dialled; yield what ends it in time.

        Many may come in one step, before the tasks of those that gave way run: these are forgotten
        at once, so that the next one has another give way.
        """
        scope = trio.CancelScope(deadline=trio.current_time() + seconds)
        self._waiting[scope] = None
        if len(self._waiting) > self._most:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cancel()
        try:
            yield scope
        finally:
            self._waiting.pop(scope, None)

    async def _by_http(
        self, sock: socket.socket
    ) -> tuple[Tunnel | Forward | OwnPath, Endpoint] | bytes:
        path = requests.own_path(await _first_line(sock))
        if path is not None:
            return self._by_path(path)
        reader = requests.Reader(self._secret)
        while True:
            data = await _peek(sock)
            found = reader.receive(data)
            sock.recv(len(data) - reader.behind)
            match found:
                case None:
                    pass
                case Refused():
                    self._note_refused(found.answer)
                    return found.answer
                case Tunnel() | Forward():
                    return found, found.to
                case _:
                    assert_never(found)

    def _by_path(self, found: OwnPath) -> tuple[OwnPath, Endpoint] | bytes:
        """Return the gateway's place, which reads the request itself."""
        if self._base_url is None:
            told = _NO_GATEWAY
        elif self._secret is not None and self._secret.below(found.target) is None:
            told = _UNKNOWN
        else:
            return found, self._base_url
        refusal = answer(404, told)
        self._note_refused(refusal)
        return refusal

    async def _by_socks(self, sock: socket.socket) -> tuple[socks.Connect, Endpoint] | bytes:
        dialogue = socks.Dialogue(self._secret)
        while True:
            data = await _peek(sock)
            if not data:
                return b""
            step = dialogue.receive(data)
            while isinstance(step, socks.Say):
                await send_all(sock, step.data)
                step = dialogue.receive(b"")
            sock.recv(len(data) - (dialogue.behind if step is not None else 0))
            match step:
                case None:
                    pass
                case socks.Refused():
                    self._note_refused(step.data)
                    return step.data
                case socks.Connect():
                    return step, step.to
                case _:
                    assert_never(step)

    def _note_refused(self, told: bytes) -> None:
        """Record what the proxy has refused: the first, the second, the fourth, and so on."""
        if not told:
            return
        self._refused += 1
        if is_told(self._refused):
            first = told.partition(b"\r")[0]
            how = first.decode("ascii") if told.startswith(b"HTTP") else f"SOCKS: {told[:2].hex()}"
            self._record(ProxyRefused(how=how, count=self._refused))


async def _settled(offer: ProxyOffer) -> None:
    """Wait until an offer is accepted or refused, and have it notice a program that closes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer.watch)
        await offer.settled.wait()


async def _peek(sock: socket.socket) -> bytes:
    """Wait for data, or the end; it stays to be read. Raises OSError."""
    while True:
        try:
            return sock.recv(_PIECE, socket.MSG_PEEK)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)


async def _first_line(sock: socket.socket) -> bytes:
    """Wait until it shows whether a request is for this server; all stays unread. Raises OSError.

    A line may come in pieces. Those that are there would wake us for ever, so the kernel is told
    how many bytes are too few (SO_RCVLOWAT, socket(7)); a wake-up without more is the end.
    """
    size, data = 0, await _peek(sock)
    while len(data) > size and requests.may_be_own_path(data):
        size = len(data)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size + 1)
        await trio.lowlevel.wait_readable(sock)
        data = await _peek(sock)
    if size:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return data


async def _end(sock: socket.socket, told: bytes) -> None:
    """Say something last, and have the program read it: unread data would make the end a reset."""
    with contextlib.suppress(OSError):
        await send_all(sock, told)
        sock.shutdown(socket.SHUT_WR)
        while await _peek(sock):
            sock.recv(_PIECE)
