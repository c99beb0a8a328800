"""What the fake API answers to a request, and what is left of that when it fails; pure.

An `Answer` is whole. A `Course` is what is played of it: the head or not, the pieces before the
loss, and the fault by which it ends.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from . import stream
from .faults import STATUS_OF_ERROR, UNPROCESSED, Failure, Fault, Status
from .log import Fields, Request
from .messages import Message, dumps, message
from .stream import Position

_JSON: Final = (b"content-type", b"application/json")
_STREAM: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    fields: Fields
    pieces: Iterable[bytes]
    """Its body, as it is written: in HTTP/1.1 each piece is a chunk."""
    length: int | None = None
    """The body's size; None if that is told by its end: chunked in HTTP/1.1."""
    trailers: Fields = ()
    message: Message | None = field(default=None, compare=False)
    """What it says, if it is a stream of events; then it knows where it may be cut."""


@dataclass(frozen=True)
class Course:
    """What is played of an answer."""

    answer: Answer
    has_head: bool
    pieces: Iterable[bytes]
    ending: Fault | None
    """None: it ends well."""
    pause: float = 0.0
    """Seconds before the ending."""


def answer(request: Request, version: int) -> Answer:
    """Answer a request well."""
    path = request.path.partition("?")[0]
    match request.method, path:
        case "POST", "/v1/messages":
            return _message(request, version)
        case "POST", "/v1/messages/count_tokens":
            return _document({"input_tokens": len(request.body) // 4}, version=version)
        case "GET" | "HEAD", "/v1/models":
            models = [{"type": "model", "id": f"fake-{number}"} for number in range(1, 20)]
            return _document({"data": models, "has_more": False}, version=version)
        case "POST", "/v1/other":
            return _document({"processed": version + 1}, version=version)
    return _document(_error("not_found_error"), 404, version)


def instead(status: Status) -> Answer:
    """Answer by an error status."""
    whole = _document(_error("api_error"), status.code)
    more: list[tuple[bytes, bytes]] = []
    if status.should_retry is not None:
        more.append((b"x-should-retry", b"true" if status.should_retry else b"false"))
    if status.retry_after is not None:
        more.append((b"retry-after", b"%g" % status.retry_after))
    return Answer(whole.status, (*whole.fields, *more), whole.pieces, whole.length)


def course(whole: Answer, failure: Failure | None) -> Course:
    """Return what is played of an answer that fails, or does not."""
    if failure is None:
        return Course(whole, True, whole.pieces, None)
    fault, position, pause = failure.fault, failure.position, failure.pause
    if fault is Fault.GOAWAY_DRAIN:
        return Course(whole, True, whole.pieces, fault)
    if fault in UNPROCESSED or position is Position.START:
        return Course(whole, False, (), fault, pause)
    if fault in STATUS_OF_ERROR:
        return _failing(whole, fault, position)
    if whole.message is None:
        size = 0 if position is Position.AFTER_HEAD else (whole.length or 0) // 2
    else:
        is_ragged = fault is not Fault.CLEAN_END and whole.message.seed % 2 == 1
        size = stream.cut(whole.message, position, ragged=is_ragged)
    return Course(whole, True, _first(whole.pieces, size), fault, pause)


def _failing(whole: Answer, fault: Fault, position: Position) -> Course:
    """Tell of an error: by an event in a stream, else by a status."""
    if whole.message is None:
        instead = _document(_error(fault.value), STATUS_OF_ERROR[fault])
        return Course(instead, True, instead.pieces, fault)
    size = stream.cut(whole.message, position)
    told = bytes(stream.error(fault.value))
    return Course(whole, True, chain(_first(whole.pieces, size), [told]), fault)


def _message(request: Request, version: int) -> Answer:
    asked = read(request)
    return saying(message(asked.get("seed", 0), version), streamed=asked.get("stream", False))


def saying(said: Message, *, streamed: bool) -> Answer:
    """Answer by this message."""
    identity = (b"request-id", f"req_{said.seed}_{said.version}".encode())
    if streamed:
        return Answer(200, (*_STREAM, identity), stream.pieces(said), message=said)
    body = said.document()
    return Answer(200, (_JSON, identity), [body], len(body))


def read(request: Request) -> dict[str, Any]:
    """Read the request's JSON; without any it asks for the message of seed 0, as a document."""
    try:
        asked: dict[str, Any] = json.loads(request.body)
    except ValueError:
        return {}
    return asked


def _document(value: Mapping[str, Any], status: int = 200, version: int = 0) -> Answer:
    body = dumps(value).encode()
    identity = (b"request-id", f"req_{version}".encode())
    return Answer(status, (_JSON, identity), [body], len(body))


def _error(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": f"a scripted {kind}"}}


def _first(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        if not size:
            return
        yield piece[:size]
        size -= len(piece[:size])
