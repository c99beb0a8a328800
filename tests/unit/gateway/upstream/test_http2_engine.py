"""The protocol of a connection to upstream: h2's own server is the peer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame, WindowUpdateFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.gateway.http import LostError, Request
from relay.gateway.upstream.http2_engine import (
    CONNECTION_WINDOW,
    INVALID,
    MOST_STREAMS,
    STREAM_WINDOW,
    Engine,
)
from relay.gateway.upstream.http2_stream import BROKEN, MISMATCHED, StreamState
from relay.record.kinds import Kind

GET = Request(b"GET", b"/a?b", [(b"X-Name", b"value")])
HEAD = Request(b"HEAD", b"/", [])
POST = Request(b"POST", b"/", [], is_framed=True)

JUNK = bytes(9)
"""DATA on stream 0."""

FRAME = 16384
WINDOW = 65535

Pairs = list[tuple[str, str]]


class Peer:
    """An engine whose upstream is an h2 server."""

    def __init__(self, *, most: int = 100, is_settled: bool = True) -> None:
        self.engine = Engine(b"server.test")
        self.now = 0.0
        """The time in seconds."""
        self.server = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.server.local_settings = h2.settings.Settings(
            client=False,
            initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: most},
        )
        self.server.initiate_connection()
        self.write()
        if is_settled:
            self.read()
            self.write()

    def write(self) -> list[h2.events.Event]:
        """Have the engine's batch reach upstream; return what that was."""
        events = self.server.receive_data(bytes(self.engine.data_to_send()))
        self.engine.sent()
        return events

    def read(self, more: bytes = b"") -> set[int]:
        """Have what upstream has sent reach the engine."""
        return self.engine.receive_data(self.server.data_to_send() + more, self.now)

    def ask(self, request: Request = GET) -> StreamState:
        """Send the head of a request."""
        stream = self.engine.open()
        assert self.engine.send_head(stream, request)
        return stream

    def asked(self, request: Request = GET) -> StreamState:
        """Send the head of a request, which upstream receives."""
        stream = self.ask(request)
        self.write()
        return stream

    def answer(
        self,
        stream: StreamState,
        body: bytes | None = b"body",
        *,
        fields: Pairs | None = None,
        status: str = "200",
    ) -> set[int]:
        """Have upstream answer; without a body the head is the end."""
        head = [(":status", status), *(fields or [])]
        self.server.send_headers(stream.number, head, end_stream=body is None)
        if body is not None:
            self.server.send_data(stream.number, body, end_stream=True)
        return self.read()


def loss_of(stream: StreamState) -> tuple[str, bool] | None:
    """Return the cause of a loss, and whether the request may have been processed."""
    loss = stream.loss
    return None if loss is None else (loss.cause, loss.may_be_processed)


def kinds(events: Iterable[h2.events.Event]) -> list[type[h2.events.Event]]:
    return [type(event) for event in events]


def frames(batch: bytes | bytearray) -> Iterator[Frame]:
    """Return what is in a batch, as upstream itself may not be told of it any more."""
    left = memoryview(bytes(batch))
    while left:
        frame, size = Frame.parse_frame_header(left[:9])
        frame.parse_body(left[9 : 9 + size])
        left = left[9 + size :]
        yield frame


def resets(batch: bytes | bytearray) -> list[tuple[int, int]]:
    """Return the streams that are reset in a batch, with the codes."""
    found = [frame for frame in frames(batch) if isinstance(frame, RstStreamFrame)]
    return [(frame.stream_id, frame.error_code) for frame in found]


# A request and its answer.


def test_a_request_and_its_answer() -> None:
    peer = Peer()
    stream = peer.ask()
    received, *others = peer.write()
    assert isinstance(received, h2.events.RequestReceived)
    assert received.headers == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"server.test"),
        (b":path", b"/a?b"),
        (b"x-name", b"value"),
    ]
    assert kinds(others) == [h2.events.StreamEnded]
    assert stream.response() is None
    assert peer.engine.receive(stream) is None
    assert peer.answer(stream, fields=[("x-other", "1")]) == {1}
    response = stream.response()
    assert response is not None
    assert (response.status, response.fields) == (200, [(b"x-other", b"1")])
    assert peer.engine.receive(stream) == b"body"
    assert peer.engine.receive(stream) == b""
    assert loss_of(stream) is None


def test_frames_that_are_there_come_as_one_piece() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.server.send_headers(1, [(":status", "200")])
    for piece in (b"a", b"", b"b"):
        peer.server.send_data(1, piece)
    peer.read()
    assert peer.engine.receive(stream) == b"ab"
    assert peer.engine.receive(stream) is None


def test_trailers_of_both_sides() -> None:
    peer = Peer()
    stream = peer.ask(POST)
    assert peer.engine.send_data(stream, memoryview(b"body"), is_last=False) == 4
    peer.engine.send_trailers(stream, [(b"X-Sum", b"1")])
    assert stream.is_sent
    trailers = [each for each in peer.write() if isinstance(each, h2.events.TrailersReceived)]
    assert [each.headers for each in trailers] == [[(b"x-sum", b"1")]]
    peer.server.send_headers(1, [(":status", "200")])
    peer.server.send_headers(1, [("x-sum", "2")], end_stream=True)
    peer.read()
    assert peer.engine.receive(stream) == b""
    assert stream.trailers == [(b"x-sum", b"2")]


def test_informational_answers_are_not_passed_on() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.server.send_headers(1, [(":status", "103"), ("link", "</a>")])
    peer.read()
    assert stream.response() is None
    peer.answer(stream)
    assert stream.head is not None
    assert stream.head.status == 200


# Which streams there may be.


def test_no_room_until_upstream_has_sent_its_settings() -> None:
    peer = Peer(is_settled=False)
    assert not peer.engine.has_room
    assert peer.read() == {0}
    assert peer.engine.is_settled
    assert peer.engine.has_room


@pytest.mark.parametrize(("most", "limit"), [(0, 0), (2, 2), (1000, MOST_STREAMS)])
def test_no_more_streams_than_both_sides_want(most: int, limit: int) -> None:
    peer = Peer(most=most)
    opened = []
    while peer.engine.has_room:
        opened.append(peer.engine.open())
    assert len(opened) == limit
    assert peer.engine.is_free == (not opened)
    for stream in opened:
        peer.engine.release(stream)
    assert peer.engine.is_free


def test_a_stream_beyond_the_limit_of_upstream_is_refused_unsent() -> None:
    """As when upstream lowers it after a stream was opened."""
    peer = Peer(most=1)
    first, second = peer.ask(), peer.engine.open()
    assert not peer.engine.send_head(second, GET)
    assert loss_of(second) == (INVALID, False)
    assert peer.engine.is_draining
    peer.write()
    peer.answer(first)
    assert peer.engine.receive(first) == b"body"


# What is sent.


def test_head_and_body_go_in_one_batch() -> None:
    peer = Peer()
    stream = peer.ask(POST)
    assert peer.engine.send_data(stream, memoryview(b"body"), is_last=True) == 4
    assert stream.is_sent
    assert kinds(peer.write()) == [
        h2.events.RequestReceived,
        h2.events.DataReceived,
        h2.events.StreamEnded,
    ]
    assert not peer.engine.has_data_to_send()
    assert not peer.engine.data_to_send()


def test_a_body_that_is_empty_ends_by_a_frame() -> None:
    peer = Peer()
    stream = peer.ask(POST)
    assert peer.engine.send_data(stream, memoryview(b""), is_last=False) == 0
    assert kinds(peer.write()) == [h2.events.RequestReceived]
    assert peer.engine.send_data(stream, memoryview(b""), is_last=True) == 0
    assert h2.events.StreamEnded in kinds(peer.write())


def test_a_frame_waits_until_the_last_one_is_written() -> None:
    peer = Peer()
    first, second = peer.ask(POST), peer.ask(POST)
    data = memoryview(bytes(3 * FRAME))
    assert peer.engine.send_data(first, data, is_last=True) == FRAME
    assert peer.engine.is_queued(first)
    assert peer.engine.send_data(first, data, is_last=True) == 0
    batch = peer.engine.data_to_send()
    assert not peer.engine.is_flushed()
    # Of the next batch, although it is queued while the first one is being written.
    assert peer.engine.send_data(second, data, is_last=True) == FRAME
    peer.engine.sent()
    assert not peer.engine.is_queued(first)
    assert peer.engine.is_queued(second)
    assert not peer.engine.is_flushed()
    peer.server.receive_data(bytes(batch))
    peer.write()
    assert not peer.engine.is_queued(second)
    assert peer.engine.is_flushed()


def test_a_body_waits_for_windows() -> None:
    peer = Peer()
    stream = peer.ask(POST)
    left = memoryview(bytes(WINDOW + 1))
    while size := peer.engine.send_data(stream, left, is_last=True):
        left = left[size:]
        peer.write()
    assert len(left) == 1
    assert not peer.engine.is_queued(stream)
    for number in (1, None):
        assert peer.engine.send_data(stream, left, is_last=True) == 0
        peer.server.increment_flow_control_window(10, number)
        assert peer.read() == {0}
    assert peer.engine.send_data(stream, left, is_last=True) == 1
    assert h2.events.StreamEnded in kinds(peer.write())


def test_an_end_needs_no_window() -> None:
    peer = Peer()
    stream = peer.ask(POST)
    for size in (FRAME, FRAME, FRAME, WINDOW - 3 * FRAME):
        assert peer.engine.send_data(stream, memoryview(bytes(size)), is_last=False) == size
        peer.write()
    peer.server.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1})
    peer.read()  # which makes the window negative
    assert peer.engine.send_data(stream, memoryview(b"x"), is_last=True) == 0
    assert peer.engine.send_data(stream, memoryview(b""), is_last=True) == 0
    assert "END_STREAM" in list(frames(peer.engine.data_to_send()))[-1].flags


def test_the_rest_of_a_body_is_not_sent_after_the_answer() -> None:
    peer = Peer()
    stream = peer.asked(POST)
    peer.answer(stream, status="413")
    assert peer.engine.send_data(stream, memoryview(b"more"), is_last=True) is None
    peer.engine.release(stream)
    assert resets(peer.engine.data_to_send()) == [(1, ErrorCodes.CANCEL)]


def test_the_body_of_a_lost_stream_is_not_sent() -> None:
    peer = Peer()
    stream = peer.asked(POST)
    peer.server.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
    assert peer.read() == {0, 1}
    assert peer.engine.send_data(stream, memoryview(b"more"), is_last=False) is None


@pytest.mark.parametrize("field", [(b"te", b"gzip"), (b"connection", b"x"), (b":path", b"/")])
def test_a_head_that_is_not_valid_is_not_sent(field: tuple[bytes, bytes]) -> None:
    peer = Peer()
    before = peer.ask()
    stream, later = peer.engine.open(), peer.engine.open()
    assert not peer.engine.send_head(stream, Request(b"GET", b"/", [field]))
    assert not peer.engine.send_head(later, GET)
    assert loss_of(stream) == (INVALID, False)
    assert loss_of(later) == ("GOAWAY", False)
    assert not peer.engine.has_room
    with pytest.raises(LostError):
        stream.response()
    for each in (stream, later):
        peer.engine.release(each)
    peer.write()
    peer.answer(before)
    assert peer.engine.receive(before) == b"body"


def test_trailers_that_are_not_valid_may_follow_a_body_that_was_processed() -> None:
    peer = Peer()
    stream = peer.asked(POST)
    peer.engine.send_trailers(stream, [(b":path", b"/")])
    assert loss_of(stream) == (INVALID, True)
    peer.engine.release(stream)
    assert resets(peer.engine.data_to_send()) == [(1, ErrorCodes.CANCEL)]


def test_a_ping_carries_its_payload_unless_the_connection_is_lost() -> None:
    peer = Peer()
    peer.engine.ping(b"12345678")
    assert peer.write() == [h2.events.PingReceived(ping_data=b"12345678")]
    assert peer.read() == set()
    peer.engine.lose("closed", Kind.CLOSED)
    peer.engine.ping(b"12345678")
    assert not peer.engine.has_data_to_send()


# Windows: what slow programs make us keep is bounded.


def test_upstream_may_send_as_much_as_the_program_has_taken() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.server.send_headers(1, [(":status", "200")])

    def fill() -> int:
        sent = 0
        while room := min(peer.server.local_flow_control_window(1), FRAME):
            peer.server.send_data(1, bytes(room))
            sent += room
        peer.read()
        return sent

    assert fill() == STREAM_WINDOW
    peer.write()
    assert fill() == 0
    assert len(peer.engine.receive(stream) or b"") == STREAM_WINDOW
    assert not peer.engine.has_data_to_send()
    assert peer.engine.receive(stream) is None
    peer.write()
    assert fill() == STREAM_WINDOW


def test_padding_takes_no_window_for_long() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.server.send_headers(1, [(":status", "200")])
    for _ in range(2 * STREAM_WINDOW // 256):
        peer.server.send_data(1, b"", pad_length=255)
        peer.read()
        assert peer.engine.receive(stream) is None
        peer.write()
    peer.server.send_data(1, b"body", end_stream=True)
    peer.read()
    assert peer.engine.receive(stream) == b"body"


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_was_not_taken_is_given_back_to_the_connection(*, is_lost: bool) -> None:
    peer = Peer()
    for _ in range(2 * CONNECTION_WINDOW // STREAM_WINDOW):
        stream = peer.asked(POST)
        peer.server.send_headers(stream.number, [(":status", "200")])
        for _ in range(STREAM_WINDOW // FRAME):
            peer.server.send_data(stream.number, bytes(FRAME))
        if is_lost:
            peer.server.reset_stream(stream.number)
        peer.read()
        peer.engine.release(stream)
        batch = peer.engine.data_to_send()
        assert resets(batch) == ([] if is_lost else [(stream.number, ErrorCodes.CANCEL)])
        peer.server.receive_data(bytes(batch))


def test_what_is_over_is_released_without_a_reset() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.answer(stream)
    peer.engine.release(stream)
    assert not peer.write()


def test_what_comes_for_a_released_stream_is_dropped() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.engine.release(stream)
    assert peer.answer(stream) == set()
    assert stream.head is None


# Losses.


@pytest.mark.parametrize(
    ("code", "cause", "may_be_processed"),
    [
        (ErrorCodes.REFUSED_STREAM, "RST_STREAM REFUSED_STREAM", False),
        (ErrorCodes.INTERNAL_ERROR, "RST_STREAM INTERNAL_ERROR", True),
        (ErrorCodes.NO_ERROR, "RST_STREAM NO_ERROR", True),
        (0xDEAD, "RST_STREAM 57005", True),
    ],
)
def test_a_reset_is_the_loss_of_its_stream(
    code: int, cause: str, *, may_be_processed: bool
) -> None:
    peer = Peer()
    stream, other = peer.asked(), peer.asked()
    assert peer.read(RstStreamFrame(1, error_code=code).serialize()) == {0, 1}
    assert loss_of(stream) == (cause, may_be_processed)
    with pytest.raises(LostError) as caught:
        stream.response()
    assert caught.value.kind is (Kind.RESET if may_be_processed else Kind.NOT_PROCESSED)
    with pytest.raises(LostError):
        peer.engine.receive(stream)
    peer.answer(other)
    assert peer.engine.receive(other) == b"body"
    for each in (stream, other):
        peer.engine.release(each)
    assert not peer.write()


def test_what_came_before_a_loss_comes_before_it() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.server.send_headers(1, [(":status", "200")])
    peer.server.send_data(1, b"part")
    peer.server.reset_stream(1)
    peer.read()
    assert stream.response() is not None
    assert peer.engine.receive(stream) == b"part"
    with pytest.raises(LostError, match="RST_STREAM"):
        peer.engine.receive(stream)


def test_an_answer_that_has_come_whole_is_not_lost() -> None:
    """RFC 9113 section 8.1: NO_ERROR asks to leave the rest of the request out."""
    peer = Peer()
    stream = peer.asked(POST)
    peer.answer(stream, status="413")
    peer.server.reset_stream(1, ErrorCodes.NO_ERROR)
    peer.read()
    assert loss_of(stream) is None
    assert peer.engine.receive(stream) == b"body"
    assert peer.engine.receive(stream) == b""


def go_away(last: int) -> bytes:
    return GoAwayFrame(0, last_stream_id=last).serialize()


def test_a_goaway_loses_what_is_above_it_unprocessed_and_the_rest_runs_on() -> None:
    peer = Peer()
    first, second, unsent = peer.asked(), peer.asked(), peer.engine.open()
    assert peer.read(go_away(1)) == {0, 3}
    assert loss_of(first) is None
    assert loss_of(second) == ("GOAWAY, not processed", False)
    assert peer.engine.is_draining
    assert not peer.engine.has_room
    assert not peer.engine.send_head(unsent, GET)
    assert loss_of(unsent) == ("GOAWAY", False)
    peer.answer(first)
    assert peer.engine.receive(first) == b"body"
    for stream in (first, second, unsent):
        assert not peer.engine.is_free
        peer.engine.release(stream)
    assert peer.engine.is_free
    assert not peer.write()


def test_a_second_goaway_may_refuse_more() -> None:
    peer = Peer()
    stream = peer.asked()
    assert peer.read(go_away(2**31 - 1)) == {0}
    assert loss_of(stream) is None
    assert peer.read(go_away(0)) == {0, 1}
    assert loss_of(stream) == ("GOAWAY, not processed", False)


def test_a_lost_connection_loses_what_was_taken_as_processed() -> None:
    peer = Peer()
    written, being_written = peer.asked(), peer.ask()
    peer.engine.data_to_send()
    waiting, unsent = peer.ask(), peer.engine.open()
    assert peer.engine.lose("Connection reset by peer", Kind.RESET) == {0, 1, 3, 5}
    assert loss_of(written) == loss_of(being_written) == ("Connection reset by peer", True)
    assert loss_of(waiting) == ("Connection reset by peer", False)
    assert not peer.engine.send_head(unsent, GET)
    assert loss_of(unsent) == ("Connection reset by peer", False)
    assert peer.engine.lose("closed", Kind.CLOSED) == set()
    assert peer.read() == set()
    for stream in (written, being_written, waiting, unsent):
        peer.engine.release(stream)
    assert peer.engine.is_free
    assert not peer.engine.has_room


def test_a_lost_connection_is_settled() -> None:
    peer = Peer(is_settled=False)
    assert peer.engine.lose("closed", Kind.CLOSED) == {0}
    assert peer.engine.is_settled
    assert not peer.engine.has_room


def test_what_waits_while_upstream_breaks_the_protocol_is_still_written() -> None:
    peer = Peer()
    stream = peer.ask()
    assert peer.read(JUNK) == {0, 1}
    assert loss_of(stream) == (BROKEN, True)
    assert not peer.engine.is_flushed()
    assert kinds(peer.write()) == [
        h2.events.RequestReceived,
        h2.events.StreamEnded,
        h2.events.ConnectionTerminated,
    ]
    assert peer.engine.is_flushed()
    assert peer.read(JUNK) == set()
    assert not peer.engine.data_to_send()


def test_what_came_before_a_break_of_the_protocol_comes_before_the_loss() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.server.send_headers(1, [(":status", "200")])
    peer.server.send_data(1, b"part")
    peer.read(JUNK)
    assert peer.engine.receive(stream) == b"part"
    with pytest.raises(LostError, match=BROKEN):
        peer.engine.receive(stream)


def test_a_window_beyond_all_bounds_is_the_loss_of_its_stream() -> None:
    peer = Peer()
    stream, other = peer.asked(POST), peer.asked()
    assert peer.read(WindowUpdateFrame(1, window_increment=2**31 - 1).serialize()) == {0, 1}
    assert loss_of(stream) == (BROKEN, True)
    peer.answer(other)
    assert peer.engine.receive(other) == b"body"


# Answers that are not valid.


@pytest.mark.parametrize("status", ["", "abc", "099", "1000"])
def test_a_status_that_is_none_is_a_loss(status: str) -> None:
    peer = Peer()
    stream = peer.asked()
    peer.answer(stream, status=status)
    with pytest.raises(LostError, match=BROKEN):
        stream.response()


@pytest.mark.parametrize("early", [False, True])
def test_a_body_before_its_head_breaks_the_protocol(*, early: bool) -> None:
    peer = Peer()
    stream = peer.asked()
    if early:
        peer.server.send_headers(1, [(":status", "103")])
    peer.server.send_data(1, b"body")
    assert peer.read() == {0, 1}
    with pytest.raises(LostError, match=BROKEN):
        stream.response()
    assert peer.engine.is_draining


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("length", ["3", "5"])
def test_a_body_of_another_length_is_the_loss_of_its_stream(length: str, number: int) -> None:
    peer = Peer()
    streams = {1: peer.asked(), 3: peer.asked()}
    stream, other = streams.pop(number), streams.popitem()[1]
    assert peer.answer(stream, fields=[("content-length", length)]) == {0, number}
    assert loss_of(stream) == (MISMATCHED, True)
    assert stream.response() is not None
    assert resets(peer.engine.data_to_send()) == [(number, ErrorCodes.PROTOCOL_ERROR)]
    peer.answer(other, fields=[("content-length", "4")])
    assert peer.engine.receive(other) == b"body"
    assert peer.engine.receive(other) == b""


@pytest.mark.parametrize("body", [None, b"par"])
def test_a_head_or_trailers_may_not_end_a_body_too_early(body: bytes | None) -> None:
    peer = Peer()
    stream = peer.asked()
    head = [(":status", "200"), ("content-length", "4")]
    peer.server.send_headers(1, head, end_stream=body is None)
    if body is not None:
        peer.server.send_data(1, body)
        peer.server.send_headers(1, [("x-sum", "1")], end_stream=True)
    peer.read()
    if body is not None:
        assert peer.engine.receive(stream) == body
    with pytest.raises(LostError, match=MISMATCHED):
        peer.engine.receive(stream)


@pytest.mark.parametrize(
    ("request_", "status", "length"),
    [(HEAD, "200", "4"), (GET, "304", "4"), (GET, "204", "0"), (GET, "200", "0")],
)
def test_an_answer_without_a_body_may_tell_a_length(
    request_: Request, status: str, length: str
) -> None:
    peer = Peer()
    stream = peer.asked(request_)
    peer.answer(stream, None, fields=[("content-length", length)], status=status)
    assert stream.response() is not None
    assert peer.engine.receive(stream) == b""


def test_a_204_with_a_body_has_come_whole() -> None:
    peer = Peer()
    stream = peer.asked()
    peer.answer(stream, status="204")
    assert peer.engine.receive(stream) == b"body"
    assert peer.engine.receive(stream) == b""


# However what upstream sends is cut, it comes to the same.


@dataclass(frozen=True)
class Step:
    """Something that upstream does on a stream."""

    number: int
    kind: str
    data: bytes = b""

    def play(self, server: h2.connection.H2Connection, ended: set[int]) -> bytes:
        """Return it as bytes; nothing if the stream is over."""
        if self.kind == "goaway":
            return go_away(self.number)
        if self.kind == "ping":
            server.ping(bytes(8))
        elif self.number not in ended:
            self._play(server)
            if self.kind in {"end", "trailers", "reset"}:
                ended.add(self.number)
        return server.data_to_send()

    def _play(self, server: h2.connection.H2Connection) -> None:
        match self.kind:
            case "early":
                server.send_headers(self.number, [(":status", "103")])
            case "data":
                server.send_data(self.number, self.data, pad_length=len(self.data) or None)
            case "end":
                server.send_data(self.number, self.data, end_stream=True)
            case "trailers":
                server.send_headers(self.number, [("x-sum", "1")], end_stream=True)
            case _:
                server.reset_stream(self.number, ErrorCodes.REFUSED_STREAM)


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([1, 3, 5]),
        st.sampled_from(["data", "data", "end", "trailers", "reset", "goaway", "ping"]),
        st.binary(max_size=40),
    ),
    max_size=12,
)
LENGTHS = st.tuples(*[st.sampled_from([None, 0, 20, 40]) for _ in range(3)])
TRAILING = st.sampled_from([b"", JUNK, b"\x00", bytes(9)[:8], go_away(0) + JUNK])


@dataclass
class Outcome:
    """What all that upstream has sent comes to."""

    streams: list[object] = field(default_factory=list)
    sent: bytes = b""
    changed: set[int] = field(default_factory=set)


def play(pieces: Iterator[bytes]) -> Outcome:
    """Feed an engine that has asked three times, and read all of the answers."""
    peer, outcome = Peer(), Outcome()
    streams = [peer.asked() for _ in range(3)]
    for piece in pieces:
        outcome.changed |= peer.engine.receive_data(piece, peer.now)
    outcome.sent = bytes(peer.engine.data_to_send())
    for stream in streams:
        body, end = b"", "open"
        try:
            while data := peer.engine.receive(stream):
                body += data
            end = "ended" if data is not None else "open"
        except LostError as error:
            end = f"{error.cause}, {error.may_be_processed}"
        outcome.streams.append((stream.head, body, stream.trailers, end))
    return outcome


@given(steps=STEPS, lengths=LENGTHS, trailing=TRAILING, data=st.data())
@settings(max_examples=60, deadline=None)
def test_however_it_is_cut_it_comes_to_the_same(
    steps: list[Step], lengths: tuple[int | None, ...], trailing: bytes, data: st.DataObject
) -> None:
    peer = Peer()
    for _ in range(3):
        peer.asked()
    for number, length in zip((1, 3, 5), lengths, strict=True):
        more = [] if length is None else [("content-length", str(length))]
        peer.server.send_headers(number, [(":status", "200"), *more])
    received = peer.server.data_to_send()
    ended: set[int] = set()
    received += b"".join(step.play(peer.server, ended) for step in steps) + trailing
    cuts = sorted(data.draw(st.lists(st.integers(0, len(received)), max_size=5)))
    bounds = [0, *cuts, len(received)]
    whole = play(iter([received]))
    assert play(bytes([octet]) for octet in received) == whole
    assert play(received[a:b] for a, b in pairwise(bounds)) == whole
