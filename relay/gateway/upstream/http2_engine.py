"""HTTP/2 towards upstream without I/O, RFC 9113 by h2: bytes go in, bytes come out; pure.

    changed = engine.receive_data(data, now)  # numbers of streams; 0 stands for the connection
    body = engine.receive(stream)             # None: not there yet; LostError: it will not come
    batch = engine.data_to_send()             # to be written, and after that
    engine.sent()

What is sent goes in batches: one batch is what data_to_send() returns at once. A request of a
batch that was taken may have reached upstream, whether the write then succeeds or not.
bounds/guard.py judges who floods.
"""

from collections.abc import Iterable
from typing import Final

import h2.events
import h2.exceptions
from h2.errors import ErrorCodes

from relay.gateway.bounds.bucket import FLOODED
from relay.gateway.bounds.guard import Guard
from relay.gateway.http import Field, Fields, Request
from relay.gateway.upstream.h2_connection import H2Connection
from relay.gateway.upstream.http2_stream import BROKEN, StreamState
from relay.record.kinds import Kind

MOST_STREAMS: Final = 64
"""At once; more get another connection."""

STREAM_WINDOW: Final = 256 * 1024
CONNECTION_WINDOW: Final = MOST_STREAMS * STREAM_WINDOW
"""Bytes that may be on their way to us; they bound what slow programs make us keep, and leave room
for the others whatever few or many of them do not read."""

INVALID: Final = "the request is not valid in HTTP/2"

_REFUSAL: Final = "GOAWAY", Kind.NOT_PROCESSED
"""For streams that are reserved on a connection which takes no more."""

_UNFIT: Final = frozenset(
    {
        *(ErrorCodes.HTTP_1_1_REQUIRED, ErrorCodes.INADEQUATE_SECURITY),
        *(ErrorCodes.PROTOCOL_ERROR, ErrorCodes.FRAME_SIZE_ERROR),
        *(ErrorCodes.FLOW_CONTROL_ERROR, ErrorCodes.COMPRESSION_ERROR),
    }
)
"""Errors of upstream's, after which the two are better off with HTTP/1.1, section 7."""


class Engine:
    """The protocol of one connection."""

    def __init__(self, authority: bytes) -> None:
        self.is_settled = False
        """Whether it is known how many streams upstream takes."""
        self.is_draining = False
        """Whether it takes no new streams."""
        self.is_lost = False
        self.is_unfit = False
        """Whether one has broken the protocol in the other's eyes, or upstream wants HTTP/1.1."""
        self.verdict: tuple[str, Kind] | None = None
        """Why we end the connection, if we do."""
        self._refusal: tuple[str, Kind] | None = None
        """Why streams that were opened and not sent yet are refused, if they are."""
        self._authority = authority
        self._h2 = H2Connection()
        self._streams: dict[int, StreamState] = {}
        """Those that were sent, and neither lost nor released."""
        self._guard = Guard()
        self._reserved = 0
        self._unsent = bytearray()
        self._batches = self._batches_sent = 0
        """How many batches were taken, and how many of them were written."""
        self._h2.begin(STREAM_WINDOW, CONNECTION_WINDOW)

    @property
    def has_room(self) -> bool:
        """Whether one more stream may be opened; not before it is settled."""
        limit = min(self._h2.remote_settings.max_concurrent_streams, MOST_STREAMS)
        return self.is_settled and not self.is_draining and self._reserved < limit

    @property
    def is_free(self) -> bool:
        """Whether it carries no streams."""
        return not self._reserved

    def open(self) -> StreamState:
        """Reserve a stream, to be released."""
        self._reserved += 1
        return StreamState()

    def release(self, stream: StreamState) -> None:
        """Forget a stream; if it is not over, upstream learns that it is not wanted any more."""
        self._reserved -= 1
        is_known = self._streams.pop(stream.number, None) is not None
        if is_known and not (stream.is_sent and stream.has_ended):
            self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
            self._guard.note_reset()
        stream.unacknowledged += stream.waiting
        self._acknowledge(stream)

    # What is sent.

    def has_data_to_send(self) -> bool:
        """Return whether there is something for a batch."""
        return self._pending() > 0

    def _pending(self) -> int:
        """Return the bytes of the next batch so far."""
        self._unsent += self._h2.data_to_send()
        return len(self._unsent)

    def data_to_send(self) -> bytearray:
        """Return a batch, empty if there is nothing; upstream may have its requests from now on."""
        batch = bytearray()
        if self.has_data_to_send():
            self._batches += 1
            batch, self._unsent = self._unsent, batch
        return batch

    def sent(self) -> None:
        """Note that all batches that were taken are written."""
        self._batches_sent = self._batches
        self._guard.note_written()

    def is_flushed(self) -> bool:
        """Return whether all there was to send is written."""
        return self._batches_sent == self._batches and not self.has_data_to_send()

    def ping(self, payload: bytes) -> None:
        """Send a PING with 8 bytes, unless the connection is lost."""
        if not self.is_lost:
            self._h2.ping(payload)

    def send_head(self, stream: StreamState, request: Request) -> bool:
        """Send the head of a request; False if it cannot be, which is the stream's loss."""
        if self._refusal is not None:
            stream.lose(*self._refusal, may_be_processed=False)
            return False
        fields = [
            (b":method", request.method),
            (b":scheme", b"https"),
            (b":authority", self._authority),
            (b":path", request.target),
            *map(_lower, request.fields),
        ]
        stream.is_head = request.method == b"HEAD"
        stream.head_batch = self._batches + 1
        return self._send_fields(stream, fields, is_last=not request.is_framed)

    def send_trailers(self, stream: StreamState, trailers: Fields) -> None:
        """End a request with trailers; those that are not valid are the stream's loss."""
        self._send_fields(stream, map(_lower, trailers), is_last=True)

    def _send_fields(self, stream: StreamState, fields: Iterable[Field], *, is_last: bool) -> bool:
        """Send head or trailers; where they are not valid, h2 may have opened half of a stream."""
        try:
            number = stream.number or self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, fields, end_stream=is_last)
        except h2.exceptions.ProtocolError:
            was_sent = stream.number in self._streams
            stream.lose(INVALID, Kind.UNTRANSLATABLE, may_be_processed=was_sent)
            self.is_draining, self._refusal = True, _REFUSAL
            return False
        stream.number, stream.is_sent = number, is_last
        self._streams[number] = stream
        self._guard.note_head()
        return True

    def is_queued(self, stream: StreamState) -> bool:
        """Return whether the stream's last frame of data is not written yet.

        The next frame has to wait for that: streams take turns, and little is kept in memory.
        """
        return stream.data_batch > self._batches_sent

    def send_data(self, stream: StreamState, data: memoryview, *, is_last: bool) -> int | None:
        """Send one frame of a request's body; return how many bytes it took.

        If that is not all, wait until the frame is written, if it is queued, or else for windows.
        None: the stream is lost, or the whole answer has come and the body is not wanted.
        """
        if stream.number not in self._streams or (data and stream.has_ended):
            return None
        window = self._h2.local_flow_control_window(stream.number)
        room = max(0, min(window, self._h2.max_outbound_frame_size))
        if (data and (not room or self.is_queued(stream))) or not (data or is_last):
            return 0
        frame = data[:room]
        stream.is_sent = is_last and len(frame) == len(data)
        self._h2.send_data(stream.number, frame, end_stream=stream.is_sent)
        stream.data_batch = self._batches + 1
        self._guard.note_data()
        return len(frame)

    # What is received.

    def receive(self, stream: StreamState) -> bytes | None:
        """Return what has come of the body, empty at its end, None to wait; raises LostError.

        Upstream may send as much more once this is called again, and at once for padding alone.
        """
        self._acknowledge(stream)
        data = stream.take()
        if not data:
            self._acknowledge(stream)
        return data

    def _acknowledge(self, stream: StreamState) -> None:
        if stream.unacknowledged and not self.is_lost:
            self._h2.acknowledge_received_data(stream.unacknowledged, stream.number)
        stream.unacknowledged = 0

    def receive_data(self, data: bytes | bytearray, now: float) -> set[int]:
        """Take what upstream has sent; return the streams for which something has changed.

        0 stands for the connection: for its settings, its windows, and which streams it takes.
        """
        if self.is_lost:
            return set()
        allowed = self._guard.allowed(data, self._streams, now)
        is_broken, before = False, 0 if self._guard.is_content else self._pending()
        try:
            self._h2.receive_data(data[:allowed])
        except h2.exceptions.ProtocolError:
            is_broken = True
        came, self._h2.events = self._h2.events, []
        changed = {number for event in came for number in self._handle(event)}
        is_read = self._guard.is_content or self._guard.is_read(self._pending() - before)
        if is_broken:
            changed |= self._end(BROKEN, Kind.MALFORMED)
        elif allowed < len(data) or not is_read:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            changed |= self._end(FLOODED, Kind.FLOOD)
        return changed

    def _end(self, cause: str, kind: Kind) -> set[int]:
        """Lose the connection by what upstream has sent.

        h2's GOAWAY stands behind the requests that wait to be sent: who writes it writes them too,
        so that they count as taken although data_to_send() is yet to come.
        """
        self._batches += 1
        self.is_unfit = True
        self.verdict = cause, kind
        return self.lose(cause, kind)

    def _handle(self, event: h2.events.Event) -> tuple[int, ...]:
        """Take an event of h2; return the streams that it has changed."""
        match event:
            case h2.events.WindowUpdated():
                return (0,)
            case h2.events.RemoteSettingsChanged():
                self.is_settled = True
                return (0,)
            case h2.events.ConnectionTerminated():
                self.is_unfit |= event.error_code in _UNFIT
                return self._go_away(event.last_stream_id or 0)
        number: int = getattr(event, "stream_id", None) or 0
        stream = self._streams.get(number)
        if stream is None:
            return ()
        stream.note(event)
        if isinstance(event, h2.events.StreamReset):
            self.is_unfit |= event.remote_reset and event.error_code in _UNFIT
            del self._streams[number]
            return (0, number)
        return (number,)

    def _go_away(self, last: int) -> tuple[int, ...]:
        """Take no more streams, and lose those above `last`, which upstream has not processed."""
        self.is_draining, self._refusal = True, _REFUSAL
        refused = [number for number in self._streams if number > last]
        for number in refused:
            self._streams.pop(number).lose(
                "GOAWAY, not processed", Kind.NOT_PROCESSED, may_be_processed=False
            )
        return (0, *refused)

    def lose(self, cause: str, kind: Kind, *, is_lasting: bool = False) -> set[int]:
        """Lose the connection with all its streams; return what that has changed.

        `is_lasting` is as in LostError; then nothing was processed.
        """
        if self.is_lost:
            return set()
        self.is_lost = self.is_draining = self.is_settled = True
        self._refusal = cause, kind
        changed = {0, *self._streams}
        for stream in self._streams.values():
            was_taken = stream.head_batch <= self._batches
            may_be = was_taken and not is_lasting
            stream.lose(cause, kind, may_be_processed=may_be, is_lasting=is_lasting)
        self._streams.clear()
        return changed


def _lower(each: Field) -> Field:
    """Return a field as HTTP/2 sends it, section 8.2.1."""
    return each[0].lower(), each[1]
