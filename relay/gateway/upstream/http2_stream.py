"""One request over HTTP/2 and its answer, taken from what the connection reads for all."""

import re
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import h2.connection
import h2.events
import trio

from relay.gateway.http import BODILESS, Fields, LostError, Pieces, Request, Response, length
from relay.record.kinds import Kind

if TYPE_CHECKING:
    from relay.gateway.upstream.http2 import Http2

BROKEN: Final = "what it sent is not HTTP/2"
MISMATCHED: Final = "its body is not as long as it said"

_STATUS: Final = re.compile(rb"[2-9][0-9]{2}")


class Http2Stream:
    """One request and its answer."""

    def __init__(self, connection: "Http2") -> None:
        """Nothing has been sent yet."""
        self.trailers: Fields = []
        self.number: int | None = None
        self.was_written = False
        self.has_ended = False
        """Whether the whole answer has arrived."""
        self._connection = connection
        self._events: deque[h2.events.Event] = deque()
        self.queued: trio.Event | None = None
        """Set when its last frame of data was written."""
        self._is_bodiless = False
        self._left: int | None = None
        """Bytes of the body that are still to come, if that is known."""
        self._given = 0
        """Bytes of the windows that what was given last takes up."""
        self._loss: LostError | None = None
        self._arrived = trio.Event()

    def put(self, event: h2.events.Event) -> None:
        """Take what has arrived."""
        if isinstance(event, h2.events.StreamEnded):
            self.has_ended = True
        if not isinstance(event, h2.events.DataReceived) or event.flow_controlled_length:
            self._events.append(event)  # empty ones come in any number
        self._arrived.set()

    def lose(self, loss: LostError) -> None:
        """Take the loss, which counts after what has arrived."""
        if self._loss is None:
            self._loss = loss
        self._arrived.set()

    def release(self) -> None:
        """Forget it; what has not come yet is not wanted any more."""
        self._connection.release(self)

    def condemn(self) -> None:
        """Have the connection end with the streams that it carries now."""
        self._connection.retire()

    @property
    def unacknowledged(self) -> int:
        """Bytes of the windows that what has arrived takes up, until upstream may send as many."""
        return self._given + _windows(self._events)

    def is_finished(self, connection: h2.connection.H2Connection) -> bool:
        """Whether both sides have said all."""
        state = connection.streams.get(self.number or 0)
        return state is None or bool(state.closed)

    async def send(self, request: Request, body: Pieces) -> None:
        """Send a request; a loss shows in what comes back."""
        self._is_bodiless = request.method == b"HEAD"
        await self._connection.send(self, request, body)

    async def response(self) -> Response:
        """Wait for the head of the answer; raises LostError. 1xx are not passed on."""
        event = await self._next()
        if not isinstance(event, h2.events.ResponseReceived):  # h2 lets a body come before it
            raise LostError(BROKEN, Kind.MALFORMED)
        fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
        status = dict(fields).get(b":status", b"")
        if not _STATUS.fullmatch(status):
            raise LostError(BROKEN, Kind.MALFORMED)
        plain = [field for field in fields if not field[0].startswith(b":")]
        if not self._is_bodiless and int(status) not in BODILESS:
            self._left = length(plain)
        return Response(int(status), plain)

    async def receive(self) -> bytes:
        """Give more of the body, all that is there; nothing at its end; raises LostError.

        Upstream may send as much more as was given when more is wanted.
        """
        while True:
            given, self._given = self._given, 0
            self._connection.consumed(self.number or 0, given)
            event = await self._next()
            match event:
                case h2.events.DataReceived():
                    if data := self._data(event):
                        return data
                case h2.events.TrailersReceived():
                    self.trailers = [(bytes(n), bytes(v)) for n, v in event.headers or ()]
                case h2.events.StreamEnded():
                    if self._left:  # h2 itself looks only where data is the end
                        raise LostError(MISMATCHED, Kind.MALFORMED)
                    return b""
                case _:
                    raise LostError(BROKEN, Kind.MALFORMED)

    def _data(self, first: h2.events.DataReceived) -> bytes:
        """Join the frames that are there."""
        frames = [first]
        while self._events and isinstance(event := self._events[0], h2.events.DataReceived):
            frames.append(event)
            self._events.popleft()
        self._given = _windows(frames)
        data = b"".join(frame.data or b"" for frame in frames)
        if self._left is not None:
            self._left -= len(data)
        return data

    async def _next(self) -> h2.events.Event:
        while not self._events:
            if self._loss is not None:
                raise self._loss
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._events.popleft()


def _windows(events: Iterable[h2.events.Event]) -> int:
    """Tell how many bytes of the windows they take up."""
    return sum(
        event.flow_controlled_length or 0
        for event in events
        if isinstance(event, h2.events.DataReceived)
    )
