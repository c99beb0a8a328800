"""Routers of other vendors: the Messages API in manners that api.anthropic.com has not.

A `Manner` says how a stream of events is written, framed and ended. A `Router` serves by one:

    router = Router(MANNERS["no message_stop"])
    await nursery.start(serve, router, listen(internet.server, SERVER, 80))
    router.asked                              the requests, as METHOD PATH
"""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import trio

from tests.support.internet.servers.http import Exchange, Request

from . import stream
from .messages import Message, dumps
from .stream import Event

SAID: Final = "hi"
MESSAGE: Final = Message(0, 0, ({"type": "text", "text": SAID},))
"""What each router says."""

_FRAMINGS: Final = {
    "chunked": "Transfer-Encoding: chunked",
    "length": "Content-Length: {size}",
    "close": "Connection: close",
}


@dataclass(frozen=True)
class Manner:
    """How a router answers a request for a stream."""

    write: Callable[[Sequence[Event]], bytes] = lambda events: b"".join(map(bytes, events))
    framing: Literal["chunked", "length", "close"] = "chunked"
    status: str = "200 OK"
    fields: tuple[str, ...] = ("Content-Type: text/event-stream",)
    before: bytes = b""
    """What comes before the head: 1xx responses."""
    trailers: tuple[str, ...] = ()
    pauses: tuple[float, float] = (0.0, 0.0)
    """Seconds of silence before the head, and in the middle of the stream."""
    fill: float | None = None
    """After how many seconds each it fills that silence by a comment."""
    is_cut: bool = False
    """Whether the connection is closed without the body's end."""
    to_head: bytes | None = None
    """The whole answer to HEAD, if there is anything odd about it."""


@dataclass
class Router:
    """Call it with a stream."""

    manner: Manner
    asked: list[str] = field(default_factory=list)

    async def __call__(self, connection: trio.abc.Stream) -> None:
        """Serve one connection."""
        exchange = Exchange(connection)
        while (request := await exchange.read_request()) is not None:
            body = b"".join([piece async for piece in exchange.read_body(request)])
            path = request.path.partition("?")[0]
            self.asked.append(f"{request.method} {path}")
            if not await self._answer(exchange, request, path, body):
                return

    async def _answer(self, exchange: Exchange, request: Request, path: str, body: bytes) -> bool:
        """Answer; tells whether the connection goes on."""
        if request.method == "HEAD" and self.manner.to_head is not None:
            await exchange.send(self.manner.to_head)
            return False
        if (request.method, path) != ("POST", "/v1/messages"):
            await exchange.send_text("404 Not Found", "" if request.method == "HEAD" else "no")
            return True
        asked: dict[str, Any] = json.loads(body)
        if asked.get("stream"):
            await self._stream(exchange)
            return self.manner.framing != "close" and not self.manner.is_cut
        await trio.sleep(self.manner.pauses[0])
        await exchange.send_text("200 OK", MESSAGE.document().decode())
        return True

    async def _stream(self, exchange: Exchange) -> None:
        manner = self.manner
        data = manner.write(list(stream.events(MESSAGE)))
        await trio.sleep(manner.pauses[0])
        framing = _FRAMINGS[manner.framing].format(size=len(data))
        if manner.before:
            await exchange.send(manner.before)
        await exchange.send_head(manner.status, *manner.fields, framing)
        send = exchange.send_chunk if manner.framing == "chunked" else exchange.send
        middle = data.find(b"\n\n", len(data) // 2) + 2
        await send(data[:middle])
        left = manner.pauses[1]
        while manner.fill is not None and left > manner.fill:
            left -= manner.fill
            await trio.sleep(manner.fill)
            await send(b": still here\n\n")
        await trio.sleep(left)
        await send(data[middle:])
        if manner.framing == "chunked" and not manner.is_cut:
            await exchange.send("\r\n".join(["0", *manner.trailers, "", ""]).encode())


def _without(*kinds: str) -> Callable[[Sequence[Event]], bytes]:
    return lambda events: b"".join(bytes(event) for event in events if event.kind not in kinds)


def _nameless(events: Sequence[Event]) -> bytes:
    return b"".join(f"data: {dumps(event.data)}\n\n".encode() for event in events)


def _with_done(events: Sequence[Event]) -> bytes:
    return b"".join(map(bytes, events)) + b"data: [DONE]\n\n"


def _with_done_alone(events: Sequence[Event]) -> bytes:
    return _without("message_stop")(events) + b"data: [DONE]\n\n"


def _in_crlf(events: Sequence[Event]) -> bytes:
    return b"".join(map(bytes, events)).replace(b"\n", b"\r\n")


def _with_comments(events: Sequence[Event]) -> bytes:
    return b": hello\n\n" + b"".join(b": still here\n" + bytes(event) for event in events)


def _without_reason(events: Sequence[Event]) -> bytes:
    written = b"".join(map(bytes, events))
    return written.replace(b'"stop_reason":"end_turn"', b'"stop_reason":null')


def _without_last_line(events: Sequence[Event]) -> bytes:
    return b"".join(map(bytes, events)).rstrip(b"\n") + b"\n"


def _as_document(_events: Sequence[Event]) -> bytes:
    return MESSAGE.document()


def _failing(error: Mapping[str, Any]) -> Callable[[Sequence[Event]], bytes]:
    return lambda events: bytes(events[0]) + f"event: error\ndata: {json.dumps(error)}\n\n".encode()


_JSON: Final = ("Content-Type: application/json",)

MANNERS: Final[Mapping[str, Manner]] = {
    "the usual": Manner(),
    "no message_stop": Manner(_without("message_stop")),
    "no message_stop, by Content-Length": Manner(_without("message_stop"), "length"),
    "no message_stop, by close": Manner(_without("message_stop"), "close"),
    "no message_stop, cut": Manner(_without("message_stop"), is_cut=True),
    "[DONE] after message_stop": Manner(_with_done),
    "[DONE] for message_stop": Manner(_with_done_alone),
    "by close": Manner(framing="close"),
    "no event fields": Manner(_nameless),
    "CR LF": Manner(_in_crlf),
    "comments": Manner(_with_comments),
    "no ping": Manner(_without("ping")),
    "no content_block_stop": Manner(_without("content_block_stop")),
    "no content_block_stop, no message_stop": Manner(
        _without("content_block_stop", "message_stop")
    ),
    "no message_delta": Manner(_without("message_delta")),
    "no message_delta, no message_stop": Manner(_without("message_delta", "message_stop")),
    "stop_reason null": Manner(_without_reason),
    "stop_reason null, no message_stop": Manner(
        lambda events: _without_reason([e for e in events if e.kind != "message_stop"])
    ),
    "no empty line at the end": Manner(_without_last_line),
    "no message_start": Manner(_without("message_start")),
    "a document for a stream": Manner(_as_document, "length", fields=_JSON),
    "a document for a stream, chunked": Manner(_as_document, fields=_JSON),
    "charset": Manner(fields=("content-type: text/event-stream;charset=UTF-8",)),
    "gzip": Manner(
        lambda events: gzip.compress(b"".join(map(bytes, events)), mtime=0),
        fields=("Content-Type: text/event-stream", "Content-Encoding: gzip"),
    ),
    "103 before the head": Manner(
        before=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    ),
    "trailers": Manner(trailers=("Server-Timing: a", "x-checksum: 1")),
    "an error of its own": Manner(_failing({"error": {"message": "no credit", "code": 402}})),
    "an error by OpenAI's word": Manner(
        _failing({"error": {"message": "no", "type": "server_error"}})
    ),
    "a HEAD answered with a body": Manner(
        to_head=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    ),
    "text/plain": Manner(fields=("Content-Type: text/plain",)),
    "no content type": Manner(fields=()),
}
