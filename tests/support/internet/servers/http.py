"""An HTTP/1.1 site with keep-alive, for small, large, slow and streamed answers.

    GET  /                 "hello"
    GET  /bytes/SIZE       SIZE bytes, by `plain.pattern`
    GET  /late/SECONDS     "late", whose headers come after so long
    GET  /events/N/SECONDS N server-sent events, so many seconds apart, chunked
    GET  /files/PATH       a file of the site's folder, if it has one; a query is ignored
    POST /echo             the request's body
    POST /digest           the SHA-256 of the request's body in hexadecimal

A connection is kept until the client closes it, asks for `Connection: close`, or is idle for
longer than the site's limit. Bodies come with a Content-Length or chunked.
"""

import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import trio

from .plain import pattern

_MOST_HEAD = 64 * 1024


@dataclass(frozen=True)
class Request:
    """The head of one request; names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]

    def wants_close(self) -> bool:
        """Return whether this is to be the connection's last request."""
        return self.headers.get("connection", "").lower() == "close"


class Exchange:
    """Requests and answers on one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._data = bytearray()

    async def read_request(self) -> Request | None:
        """Read the next head, or None at the end of the connection."""
        head = await self._read_to(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _version = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        return Request(method, path, {name.lower(): value.strip() for name, value in pairs})

    async def read_body(self, request: Request) -> AsyncIterator[bytes]:
        """Read the request's body, piece by piece."""
        if "100-continue" in request.headers.get("expect", "").lower():
            await self._stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.headers.get("transfer-encoding", "").lower() != "chunked":
            async for piece in self._read_exactly(int(request.headers.get("content-length", "0"))):
                yield piece
            return
        while True:
            line = await self._read_to(b"\r\n")
            size = int((line or b"0").split(b";")[0], 16)
            async for piece in self._read_exactly(size):
                yield piece
            await self._read_to(b"\r\n")
            if size == 0:
                return

    async def send_head(self, status: str, *headers: str) -> None:
        """Send the head of an answer."""
        lines = [f"HTTP/1.1 {status}", *headers, "", ""]
        await self._stream.send_all("\r\n".join(lines).encode("latin-1"))

    async def send(self, data: bytes) -> None:
        """Send a part of a body as it is."""
        await self._stream.send_all(data)

    async def send_text(self, status: str, text: str) -> None:
        """Send a whole small answer."""
        body = text.encode()
        length = f"Content-Length: {len(body)}"
        lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain", length, "", ""]
        await self._stream.send_all("\r\n".join(lines).encode("latin-1") + body)

    async def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; an empty one ends it."""
        await self._stream.send_all(b"%x\r\n%b\r\n" % (len(data), data))

    async def _read_to(self, separator: bytes) -> bytes | None:
        """Read up to `separator`, which is taken away; None if the stream ends before."""
        while separator not in self._data:
            if len(self._data) > _MOST_HEAD:
                raise ValueError("the head of a request is too large")
            received = await self._stream.receive_some()
            if not received:
                return None
            self._data += received
        found, _, rest = bytes(self._data).partition(separator)
        self._data[:] = rest
        return found

    async def _read_exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = bytes(self._data[:size]) or bytes(await self._stream.receive_some(size))
            if not piece:
                raise trio.BrokenResourceError("the request ended in the middle of its body")
            del self._data[: len(piece)]
            size -= len(piece)
            yield piece


@dataclass
class Site:
    """The site; call it with a stream. It remembers what it was asked."""

    idle_limit: float = math.inf  # seconds an idle connection is kept
    files: Path | None = None
    connections: int = 0
    requests: list[Request] = field(default_factory=list)

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        self.connections += 1
        exchange = Exchange(stream)
        while True:
            with trio.move_on_after(self.idle_limit) as idle:
                request = await exchange.read_request()
            if idle.cancelled_caught or request is None:
                return
            self.requests.append(request)
            await self._answer(request, exchange)
            if request.wants_close():
                return

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        match request.method, request.path.partition("?")[0].strip("/").split("/"):
            case "GET", [""]:
                await exchange.send_text("200 OK", "hello")
            case "GET", ["bytes", size]:
                await exchange.send_head("200 OK", f"Content-Length: {size}")
                for block in pattern(int(size)):
                    await exchange.send(block)
            case "GET", ["late", seconds]:
                await trio.sleep(float(seconds))
                await exchange.send_text("200 OK", "late")
            case "GET", ["events", count, seconds]:
                await _send_events(exchange, int(count), float(seconds))
            case "GET", ["files", *parts] if self.files is not None:
                await _send_file(exchange, trio.Path(self.files, *parts))
            case "POST", ["echo"]:
                body = b"".join([piece async for piece in exchange.read_body(request)])
                await exchange.send_text("200 OK", body.decode())
            case "POST", ["digest"]:
                digest = hashlib.sha256()
                async for piece in exchange.read_body(request):
                    digest.update(piece)
                await exchange.send_text("200 OK", digest.hexdigest())
            case _:
                await exchange.send_text("404 Not Found", "no such page")


async def _send_file(exchange: Exchange, file: trio.Path) -> None:
    if not await file.is_file():
        await exchange.send_text("404 Not Found", "no such file")
        return
    data = await file.read_bytes()
    await exchange.send_head("200 OK", f"Content-Length: {len(data)}")
    await exchange.send(data)


async def _send_events(exchange: Exchange, count: int, seconds: float) -> None:
    await exchange.send_head(
        "200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"
    )
    for number in range(count):
        await exchange.send_chunk(b"data: %d\n\n" % number)
        await trio.sleep(seconds)
    await exchange.send_chunk(b"")
