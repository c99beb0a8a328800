"""The site of the rows: answers small, late, slow or cut, on connections that it keeps.

    GET /               "hello"
    GET /late/SECONDS   "late", whose head comes after so long
    GET /slow/N/SECONDS N pieces, so many seconds apart
    GET /bytes/SIZE     SIZE bytes
    GET /never          nothing, ever

It tells clients that it keeps connections, without which Node's fetch drops them after 4 s.
"""

import hashlib
import math
from collections.abc import Callable, Iterator

import trio

from tests.support.internet.servers.http import Exchange, Request
from tests.support.internet.servers.plain import pattern

_KEPT = "Keep-Alive: timeout=3600"


class Site:
    """Call it with a stream; it counts connections and requests."""

    def __init__(
        self, idle_limit: float = math.inf, *, once: bool = False, greeting: bytes = b"hello"
    ) -> None:
        """Keep idle connections for `idle_limit` seconds, or with `once` for one request only."""
        self.idle_limit = idle_limit
        self.once = once
        self.greeting = greeting
        self.connections = 0
        """Those that have asked for something: keepline dials to see whether a network is up."""
        self.open = 0
        self.requests = 0
        self.changed = trio.Event()
        """Set, and made anew, at each request and at the end of each connection."""

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            await self._converse(stream)
        finally:
            self.open -= 1
            self._tell()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that requests or ends of connections bring about."""
        while not condition():
            await self.changed.wait()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def _converse(self, stream: trio.abc.Stream) -> None:
        exchange = Exchange(stream)
        is_first = True
        while True:
            request = None
            with trio.move_on_after(self.idle_limit):
                request = await exchange.read_request()
            if request is None:
                return
            self.requests += 1
            self.connections += is_first
            is_first = False
            self._tell()
            await self.answer(request, exchange, stream)
            if self.once:
                return

    async def answer(self, request: Request, exchange: Exchange, stream: trio.abc.Stream) -> None:
        """Answer one request."""
        match request.path.strip("/").split("/"):
            case ["late", seconds]:
                await trio.sleep(float(seconds))
                await self._send(exchange, b"late")
            case ["slow", number, seconds]:
                pieces = list(slow_pieces(int(number)))
                await self._head(exchange, sum(map(len, pieces)))
                for piece in pieces:
                    await exchange.send(piece)
                    await trio.sleep(float(seconds))
            case ["bytes", size]:
                await self._head(exchange, int(size))
                for block in pattern(int(size)):
                    await exchange.send(block)
            case ["never"]:
                await trio.sleep_forever()
            case _:
                await self._send(exchange, self.greeting)

    async def _head(self, exchange: Exchange, size: int) -> None:
        kept = "Connection: close" if self.once else _KEPT
        await exchange.send_head("200 OK", f"Content-Length: {size}", kept)

    async def _send(self, exchange: Exchange, body: bytes) -> None:
        await self._head(exchange, len(body))
        await exchange.send(body)


def slow_pieces(number: int) -> Iterator[bytes]:
    """Make the pieces of /slow."""
    return (b"data: %d\n\n" % each for each in range(number))


def slow_digest(number: int) -> str:
    """Return the SHA-256 of /slow's body."""
    return hashlib.sha256(b"".join(slow_pieces(number))).hexdigest()
