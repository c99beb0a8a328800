"""The holding rule: an answer may be asked for again until something of it was handed over.

The answer is one to POST /v1/messages as server-sent events: message_start; for each block
content_block_start, content_block_deltas, content_block_stop; message_delta, message_stop. `ping`
and `error` may come anywhere, and so may events that nobody knows yet.

Rules:
1. Until the first content event (a block's first content_block_delta, or its content_block_stop
   if it has none) nothing is handed over: all that comes is kept in order.
2. From then on: with "none" everything flows. With "block" the first block flows, event by event;
   its content_block_stop and all that comes after it is held until message_stop. With "message"
   all is held until message_stop. message_stop hands over all at once.
3. An error event before anything is committed is a loss if asking again may help, else it is
   the answer: handed over after all that was held. Once something is committed, what is held is
   dropped, so that the program is still inside its first block, from which it recovers by
   itself, and the error is handed over alone. Either way the answer is complete then.
4. An end without message_stop or such an error is a loss. An event without its empty line is none.
5. If the first event that is neither ping nor error nor without data is not message_start, the
   answer speaks another dialect: everything flows, and its end is a clean end.
6. If more than `limit` bytes are held, all are handed over and the rest flows as with "none".
7. An event's type is its event field; without one, the "type" of its data.
8. What flows flows event by event, but an unfinished event of more than PIECE bytes is passed on
   as it comes. While the first block flows live, only a content_block_delta is: of any other it
   is not known yet whether it has to be held.
9. Out of order is never committed: before and in the first block, an event of a message that is
   not the one to come (a delta outside of a block, a second message_start or content_block_start)
   is held, and all that follows, until message_stop, with "none" too. Indices are not read.

If nothing fails, all that is handed over is all that was received, byte for byte. Nothing of an
answer ever stands in a loss's name. Pure: no sockets, no clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

import msgspec

from relay.gateway.sse import Event, Splitter
from relay.record.kinds import Kind

Hold: TypeAlias = Literal["message", "block", "none"]

LIMIT: Final = 64 * 1024 * 1024
"""Bytes held of one answer at most."""
PIECE: Final = 64 * 1024
"""Bytes of an unfinished event that are waited for where events flow."""

_PASSING: Final = frozenset({"overloaded_error", "api_error"})
"""Errors of the host's, not of the request: https://docs.claude.com/en/api/errors."""

_START: Final = "content_block_start"
_DELTA: Final = "content_block_delta"
_STOP: Final = "content_block_stop"
_END: Final = "message_stop"
_MESSAGE: Final = frozenset({"message_start", _START, _DELTA, _STOP, "message_delta"})
"""The events whose order is a message; message_stop ends it wherever it comes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after some bytes of an answer, or its end."""

    deliver: bytes = b""
    """To be given to the program now."""
    loss: str | None = None
    """Why the answer is lost; nothing more of it is fed."""
    error: bytes = b""
    """The error event that is the loss, to be handed over if no further try is left."""
    kind: Kind = Kind.UNKNOWN
    """Of the loss."""


class _State(StrEnum):  # which is hashed in C; Enum is not
    BEGIN = "no message_start yet"
    MESSAGE = "no block yet"
    BLOCK = "the first block has begun, and has no content yet"
    LIVE = "the first block flows"
    HELD = "held until message_stop"
    FLOW = "everything flows"
    DIALECT = "everything flows, and what it means is not known"
    COMPLETE = "message_stop, or a final error"


_HOLDING: Final = frozenset({_State.BEGIN, _State.MESSAGE, _State.BLOCK, _State.HELD})
_FINAL: Final = frozenset({_State.DIALECT, _State.COMPLETE})

_ORDER: Final[dict[Hold, dict[tuple[_State, str], _State]]] = {
    "message": {},
    "block": {
        (_State.MESSAGE, _START): _State.BLOCK,
        (_State.BLOCK, _DELTA): _State.LIVE,
        (_State.LIVE, _DELTA): _State.LIVE,
    },
    "none": {
        (_State.MESSAGE, _START): _State.BLOCK,
        (_State.BLOCK, _DELTA): _State.FLOW,
        (_State.BLOCK, _STOP): _State.FLOW,
    },
}
"""Rules 2 and 9: the events that lead on to the content; any other of a message holds all."""


class Answer:
    """One answer, fed as it comes from upstream; a new try is a new Answer."""

    def __init__(self, hold: Hold, limit: int = LIMIT) -> None:
        """Nothing of it has come yet."""
        self._order = _ORDER[hold]
        self._limit = limit
        self._splitter = Splitter()
        self._state = _State.BEGIN
        self._held = bytearray()
        self._is_committed = False
        self._is_inside = False

    @property
    def committed(self) -> bool:
        """Whether anything of it was handed over: then it may not be asked for again."""
        return self._is_committed

    @property
    def is_complete(self) -> bool:
        """Whether message_stop or a final error was handed over: a loss is a clean end then."""
        return self._state is _State.COMPLETE

    @property
    def wants_pings(self) -> bool:
        """Whether the program waits for something that is held or has not come yet."""
        return self._state in _HOLDING

    @property
    def may_ping(self) -> bool:
        """Whether an event of our own may be put in now, be it a ping or an error.

        It may not be inside an event that was passed on in part: the two would be read as one.
        """
        return not self._is_inside

    def receive(self, data: bytes) -> Step:
        """Take bytes of the body."""
        out = bytearray()
        for event in self._splitter.feed(data):
            loss = self._take(event)
            if loss is not None:
                return loss
            out += self._hand_over()
        out += self._hand_over()
        out += self._pass_on()
        return Step(bytes(out))

    def end(self) -> Step:
        """Take the body's clean end; rule 4."""
        if self._state in _FINAL:
            return Step()
        return Step(loss="ended without message_stop", kind=Kind.ENDED_EARLY)

    def _take(self, event: Event) -> Step | None:
        """Hold an event, and let the state say whether it stays held; a Step is a loss."""
        kind = event.kind or _type_of(event.data)
        if self._state in _FINAL:
            pass
        elif kind == "error":
            if not self._is_committed and (name := _error_type(event.data)) in _PASSING:
                return Step(loss=f"error event: {name}", error=event.raw, kind=Kind.API_ERROR)
            if self._is_committed:
                self._held.clear()
            self._state = _State.COMPLETE
        else:
            self._state = self._after(event, kind)
        self._held += event.raw
        return None

    def _after(self, event: Event, kind: str) -> _State:
        if self._state is _State.BEGIN:
            if kind == "message_start":
                return _State.MESSAGE
            return _State.BEGIN if kind == "ping" or not event.data else _State.DIALECT
        if kind == _END:
            return _State.COMPLETE
        if kind not in _MESSAGE or self._state is _State.FLOW:
            return self._state
        return self._order.get((self._state, kind), _State.HELD)

    def _hand_over(self) -> bytes:
        """Give what is held, if it need not be held or is too much: rule 6."""
        if self._state not in _FINAL and len(self._held) + self._splitter.size > self._limit:
            self._state = _State.FLOW
        if self._state in _HOLDING or not self._held:
            return b""
        given = bytes(self._held)
        self._held.clear()
        self._is_committed = True
        self._is_inside = False
        return given

    def _pass_on(self) -> bytes:
        """Give the unfinished event's bytes, if they need not be waited for: rule 8."""
        is_big = self._is_inside or self._splitter.size > PIECE
        match self._state:
            case _State.DIALECT | _State.COMPLETE:
                is_due = True
            case _State.FLOW:
                is_due = is_big
            case _State.LIVE:
                is_due = is_big and self._splitter.kind == _DELTA
            case _:
                is_due = False
        if not is_due or not self._splitter.size:
            return b""
        self._is_committed = self._is_inside = True
        return self._splitter.take_partial()


class _Typed(msgspec.Struct):
    type: str = ""


class _Failure(msgspec.Struct):
    error: _Typed


_typed: Final = msgspec.json.Decoder(_Typed)
_failure: Final = msgspec.json.Decoder(_Failure)


def _type_of(data: bytes) -> str:
    """Read the "type" of a JSON object; "" if it is none or has none."""
    try:
        return _typed.decode(data).type
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is bad UTF-8
        return ""


def _error_type(data: bytes) -> str:
    """Read the type of an error event's error; "" if it has none."""
    try:
        return _failure.decode(data).error.type
    except (ValueError, RecursionError):
        return ""
