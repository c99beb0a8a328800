"""What is overridden of h2: that it is still there, that it is still needed, and what it does."""

import inspect

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

from relay.gateway.upstream.h2_connection import H2Connection

REQUEST = [(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/")]
HEAD = [(":status", "200")]


class Pair:
    """A client that has asked twice, and the server that it has asked."""

    def __init__(self, client: h2.connection.H2Connection) -> None:
        self.client = client
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.server.initiate_connection()
        client.initiate_connection()
        for number in (1, 3):
            client.send_headers(number, [(n.encode(), v.encode()) for n, v in REQUEST])
            client.end_stream(number)
        self.server.receive_data(client.data_to_send())
        client.receive_data(self.server.data_to_send())
        self.server.receive_data(client.data_to_send())

    def go_away(self) -> bytes:
        """Return a GOAWAY that leaves stream 1, and stream 1's answer."""
        self.server.send_headers(1, HEAD)
        self.server.send_data(1, b"body", end_stream=True)
        return GoAwayFrame(0, last_stream_id=1).serialize() + self.server.data_to_send()

    def too_short(self) -> bytes:
        """Return an answer that is shorter than it says, and a whole one."""
        self.server.send_headers(1, [*HEAD, ("content-length", "5")])
        self.server.send_data(1, b"body", end_stream=True)
        self.server.send_headers(3, HEAD, end_stream=True)
        return self.server.data_to_send()


def stock() -> Pair:
    return Pair(h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None)))


def ours() -> Pair:
    return Pair(H2Connection())


def test_the_method_that_is_overridden_is_still_what_takes_a_frame() -> None:
    theirs = inspect.signature(h2.connection.H2Connection._receive_frame)
    mine = inspect.signature(H2Connection._receive_frame)
    assert list(theirs.parameters) == list(mine.parameters) == ["self", "frame"]
    assert theirs.parameters["frame"].annotation == Frame.__name__
    assert "self._receive_frame(frame)" in inspect.getsource(h2.connection.H2Connection)


def test_h2_alone_still_ends_all_streams_at_a_goaway() -> None:
    """Once this fails, the override of GOAWAY is not needed any more."""
    pair = stock()
    received = pair.go_away()
    with pytest.raises(h2.exceptions.ProtocolError, match=r"ConnectionState\.CLOSED"):
        pair.client.receive_data(received)


def test_h2_alone_still_ends_all_streams_at_a_body_that_is_too_short() -> None:
    """Once this fails, the override of a body's length is not needed any more."""
    pair = stock()
    received = pair.too_short()
    with pytest.raises(h2.exceptions.InvalidBodyLengthError):
        pair.client.receive_data(received)


def test_a_goaway_is_an_event_and_no_end() -> None:
    pair = ours()
    ended, *answer = pair.client.receive_data(pair.go_away())
    assert isinstance(ended, h2.events.ConnectionTerminated)
    assert (ended.error_code, ended.last_stream_id) == (ErrorCodes.NO_ERROR, 1)
    assert [type(event) for event in answer] == [
        h2.events.ResponseReceived,
        h2.events.DataReceived,
        h2.events.StreamEnded,
    ]
    pair.client.ping(bytes(8))
    assert pair.client.data_to_send()


def test_a_body_that_is_too_short_is_an_error_of_its_stream() -> None:
    pair = ours()
    events = pair.client.receive_data(pair.too_short())
    assert [(type(event), getattr(event, "stream_id", None)) for event in events] == [
        (h2.events.ResponseReceived, 1),
        (h2.events.StreamReset, 1),
        (h2.events.ResponseReceived, 3),
        (h2.events.StreamEnded, 3),
    ]
    reset = RstStreamFrame(1, error_code=ErrorCodes.PROTOCOL_ERROR)
    assert pair.client.data_to_send() == reset.serialize()


def test_what_came_before_an_error_is_kept() -> None:
    pair = ours()
    assert isinstance(pair.client, H2Connection)
    pair.client.events.clear()
    received = pair.go_away() + bytes(9)  # DATA on stream 0
    with pytest.raises(h2.exceptions.ProtocolError):
        pair.client.receive_data(received)
    assert isinstance(pair.client.events[-1], h2.events.StreamEnded)
