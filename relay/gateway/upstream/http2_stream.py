"""One request over HTTP/2 and its answer, as far as it was sent and has come; pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import h2.events
from h2.errors import ErrorCodes

from relay.gateway.http import BODILESS, TOKEN, Fields, LostError, Response, length
from relay.record.kinds import Kind

BROKEN: Final = "what it sent is not HTTP/2"
MISMATCHED: Final = "its body is not as long as it said"

_STATUS: Final = re.compile(rb"[2-9][0-9]{2}")


@dataclass(eq=False, slots=True)
class StreamState:
    """One request and its answer; the engine alone changes it."""

    number: int = 0
    """0 until the head of the request is sent."""
    head_batch: int = 0
    data_batch: int = 0
    """The engine's batches in which the head and the last frame of data are sent."""
    is_sent: bool = False
    """Whether the whole request is in a batch."""
    is_head: bool = False
    """Whether the method is HEAD: the answer has no body, whatever its Content-Length."""
    head: Response | None = None
    trailers: Fields = field(default_factory=list)
    has_ended: bool = False
    """Whether the whole answer has come."""
    unacknowledged: int = 0
    """Bytes of the windows that what was taken last takes up; padding counts."""
    waiting: int = 0
    """Bytes of the windows that what was not taken yet takes up."""
    loss: LostError | None = None
    """Why the answer will not come to its end; it counts after what has come."""
    _is_bodiless: bool = False
    """Whether the answer has no body, whatever comes."""
    _left: int | None = None
    """Bytes of the body that are still to come, if that is known."""
    _body: bytearray = field(default_factory=bytearray)
    """What has come of the body and was not taken yet."""

    def lose(
        self, cause: str, kind: Kind, *, may_be_processed: bool = True, is_lasting: bool = False
    ) -> None:
        """Note the first loss; an answer that has come whole is not lost."""
        if self.loss is None and not self.has_ended:
            self.loss = LostError(
                cause, kind, may_be_processed=may_be_processed, is_lasting=is_lasting
            )

    def note(self, event: h2.events.Event) -> None:
        """Take an event of the answer; 1xx are not passed on."""
        match event:
            case h2.events.DataReceived():
                self._body += event.data
                self.waiting += event.flow_controlled_length
                if self._left is not None:
                    self._left -= len(event.data)
            case h2.events.ResponseReceived():
                self._begin(_plain(event.headers))
            case h2.events.TrailersReceived():
                self.trailers += _plain(event.headers)
            case h2.events.StreamEnded():
                if self._left:  # a head or trailers are the end: h2 looks at DATA alone
                    self.lose(MISMATCHED, Kind.MALFORMED)
                self.has_ended = True
            case h2.events.StreamReset():
                self._reset(event)

    def _begin(self, fields: Fields) -> None:
        status = dict(fields).get(b":status", b"")
        if not _STATUS.fullmatch(status):
            self.lose(BROKEN, Kind.MALFORMED)
            return
        self.head = Response(int(status), [each for each in fields if each[0][:1] != b":"])
        self._is_bodiless = self.is_head or self.head.status in BODILESS
        if not self._is_bodiless:
            self._left = length(fields)

    def _reset(self, event: h2.events.StreamReset) -> None:
        """Lose it as upstream has reset it, or H2Connection for an error of upstream's."""
        code = event.error_code
        if not event.remote_reset and self.head is not None and self._is_bodiless:
            self.has_ended = True  # that it sent a body all the same takes nothing from the answer
            return
        if not event.remote_reset:
            cause = MISMATCHED if code == ErrorCodes.PROTOCOL_ERROR else BROKEN
            self.lose(cause, Kind.MALFORMED)
            return
        name = code.name if isinstance(code, ErrorCodes) else str(code)
        is_refused = code in (ErrorCodes.REFUSED_STREAM, ErrorCodes.HTTP_1_1_REQUIRED)
        kind = Kind.NOT_PROCESSED if is_refused else Kind.RESET
        self.lose(f"RST_STREAM {name}", kind, may_be_processed=not is_refused)

    def response(self) -> Response | None:
        """Return the head of the answer, None if it has not come; raises LostError."""
        if self.head is None and self.loss is not None:
            raise self.loss
        return self.head

    def take(self) -> bytes | None:
        """Return what has come of the body, empty at its end, None to wait; raises LostError."""
        data = bytes(self._body)
        self._body.clear()
        self.unacknowledged += self.waiting
        self.waiting = 0
        if not data and self.loss is not None:
            raise self.loss
        return data if data or self.has_ended else None


def _plain(fields: Iterable[Any]) -> Fields:
    """Return fields without what HPACK knows of them; those whose names are none are dropped."""
    plain = [(bytes(name), bytes(value)) for name, value in fields]
    return [field for field in plain if TOKEN.fullmatch(field[0].removeprefix(b":"))]
