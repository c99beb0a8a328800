"""A message as server-sent events, and the places where a stream of them may be lost; pure.

body(message(7))                              the bytes of the whole stream
body(message(7), pings=False)                 the same without its pings
cut(message(7), Position.IN_TEXT)             how many bytes come before a loss in a text block
cut(message(7), Position.IN_TEXT, ragged=True)    the same, in the middle of an event
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from .messages import Message, dumps

_EMPTY: Final[Mapping[str, dict[str, Any]]] = {
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "text": {"type": "text", "text": ""},
    "tool_use": {"type": "tool_use", "input": {}},
}
_PIECES: Final = (30, 200, 700, 1500)


class Position(Enum):
    """Where an answer is lost; the values are for tables."""

    START = "before the head"
    AFTER_HEAD = "after the head"
    IN_THINKING = "in thinking"
    IN_TEXT = "in text"
    IN_TOOL_USE = "in tool_use"
    BETWEEN = "between blocks"
    AFTER_DELTA = "after message_delta"
    IN_BODY = "in the body"
    """Of an answer that is no stream."""


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    data: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Its name, which its data tells once more."""
        return str(self.data["type"])

    def __bytes__(self) -> bytes:
        """Return it as it is sent."""
        return f"event: {self.kind}\ndata: {dumps(self.data)}\n\n".encode()


def events(message: Message) -> Iterator[Event]:
    """Yield all events, with one ping among them."""
    yield Event({"type": "message_start", "message": message.envelope((), None, 1)})
    for index, block in enumerate(message.blocks):
        kept = {name: block[name] for name in ("id", "name") if name in block}
        start = _EMPTY[block["type"]] | kept
        yield Event({"type": "content_block_start", "index": index, "content_block": start})
        if index == 0:
            yield Event({"type": "ping"})
        for delta in _deltas(message, index, block):
            yield Event({"type": "content_block_delta", "index": index, "delta": delta})
        yield Event({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": message.stop_reason, "stop_sequence": None}
    usage = {"output_tokens": message.tokens}
    yield Event({"type": "message_delta", "delta": ending, "usage": usage})
    yield Event({"type": "message_stop"})


def error(kind: str) -> Event:
    """Make the event by which a stream tells that it failed."""
    return Event({"type": "error", "error": {"type": kind, "message": f"a scripted {kind}"}})


def body(message: Message, *, pings: bool = True) -> bytes:
    """Return the whole body."""
    return b"".join(bytes(event) for event in events(message) if pings or event.kind != "ping")


def pieces(message: Message) -> Iterator[bytes]:
    """Yield the body in uneven pieces, whose borders are within events and UTF-8 sequences too."""
    random = message.random("pieces")
    rest = body(message)
    while rest:
        size = random.choice(_PIECES)
        yield rest[:size]
        rest = rest[size:]


def before_content(message: Message) -> int:
    """Return how many bytes come before the first content event."""
    return _size(list(events(message))[:1])


def cut(message: Message, position: Position, *, ragged: bool = False) -> int:
    """Return how many bytes come before the loss; where in such blocks, depends on the seed."""
    whole = list(events(message))
    number = _events_before(message, whole, position)
    if not ragged:
        return _size(whole[:number])
    within = message.random(f"ragged {position}").randrange(1, len(bytes(whole[number])) - 1)
    return _size(whole[:number]) + within


def _deltas(message: Message, index: int, block: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    match block["type"]:
        case "thinking":
            for part in _parts(message, index, block["thinking"]):
                yield {"type": "thinking_delta", "thinking": part}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for part in _parts(message, index, block["text"]):
                yield {"type": "text_delta", "text": part}
        case _:
            yield {"type": "input_json_delta", "partial_json": ""}
            for part in _parts(message, index, dumps(block["input"])):
                yield {"type": "input_json_delta", "partial_json": part}


def _parts(message: Message, index: int, text: str) -> Iterator[str]:
    random = message.random(f"parts of {index}")
    while text:
        size = random.randint(3, 30)
        yield text[:size]
        text = text[size:]


def _events_before(message: Message, whole: Sequence[Event], position: Position) -> int:
    match position:
        case Position.START | Position.AFTER_HEAD:
            return 0
        case Position.IN_THINKING | Position.IN_TEXT | Position.IN_TOOL_USE:
            return _within(message, whole, position.value.removeprefix("in "))
        case Position.BETWEEN:
            return message.random("between").choice(_all(whole, _stops)) + 1
        case Position.AFTER_DELTA:
            return len(whole) - 1
        case Position.IN_BODY:
            return len(whole) // 2


def _within(message: Message, whole: Sequence[Event], kind: str) -> int:
    """Choose a place after the start and before the end of the first block of a kind."""
    start = _all(whole, lambda event: _block_started(event) == kind)[0]
    stop = next(index for index in _all(whole, _stops) if index > start)
    return message.random(kind).randint(start + 1, stop)


def _all(whole: Sequence[Event], wanted: Callable[[Event], bool]) -> list[int]:
    return [index for index, event in enumerate(whole) if wanted(event)]


def _stops(event: Event) -> bool:
    return event.kind == "content_block_stop"


def _block_started(event: Event) -> str | None:
    return event.data["content_block"]["type"] if "content_block" in event.data else None


def _size(some: Sequence[Event]) -> int:
    return sum(len(bytes(event)) for event in some)
