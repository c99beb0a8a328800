"""Floods of frames on a connection to upstream: judged early, and no queue grows meanwhile."""

import hpack
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from relay.gateway.bounds.bucket import BURST, FLOODED, RATE
from relay.gateway.bounds.guard import UNREAD
from relay.gateway.upstream.http2_engine import STREAM_WINDOW
from relay.record.kinds import Kind
from tests.unit.gateway.upstream.test_http2_engine import GET, POST, Peer, frames

READ = 16384
"""Bytes that are read at once: a record of TLS."""


def block(fields: list[tuple[str, str]], *, is_whole: bool = True) -> bytes:
    frame = HeadersFrame(1, hpack.Encoder().encode(fields, huffman=False))
    if is_whole:
        frame.flags.add("END_HEADERS")
    return frame.serialize()


def padded() -> DataFrame:
    frame = DataFrame(1, pad_length=3)
    frame.flags.add("PADDED")
    return frame


def last(frame: ContinuationFrame) -> bytes:
    frame.flags.add("END_HEADERS")
    return frame.serialize()


def settings(codes: range) -> bytes:
    """Return a frame of settings that nobody knows; hyperframe writes none of them."""
    each = b"".join(code.to_bytes(2, "big") + bytes(4) for code in codes)
    return len(each).to_bytes(3, "big") + b"\4" + bytes(5) + each


PING = PingFrame(opaque_data=b"12345678").serialize()
EARLY = [(":status", "103")]
FLOODS: dict[str, bytes] = {
    "PING": PING,
    "acknowledged PING": PingFrame(opaque_data=bytes(8), flags=["ACK"]).serialize(),
    "SETTINGS": SettingsFrame().serialize(),
    "SETTINGS of many": settings(range(1000, 1200)),
    "empty DATA": DataFrame(1).serialize(),
    "DATA of padding": padded().serialize(),
    "DATA that nobody waits for": DataFrame(1, b"x").serialize(),
    "DATA of one byte": DataFrame(1, b"x").serialize(),
    "PRIORITY": PriorityFrame(1, depends_on=3).serialize(),
    "103": block(EARLY),
    "103 of many fields": block([*EARLY, *((f"x-{number}", "y") for number in range(99))]),
    "103 in CONTINUATION": block(EARLY, is_whole=False)
    + ContinuationFrame(1).serialize() * 60
    + last(ContinuationFrame(1)),
    "WINDOW_UPDATE": WindowUpdateFrame(0, window_increment=1).serialize(),
    "WINDOW_UPDATE of a stream": WindowUpdateFrame(1, window_increment=1).serialize(),
    "RST_STREAM of no stream": RstStreamFrame(99).serialize(),
    "GOAWAY": GoAwayFrame(last_stream_id=99).serialize(),
    "ALTSVC": AltSvcFrame(0, origin=b"a", field=b'h2=":1"').serialize(),
    "unknown frames": b"\0\0\5\xbe\0\0\0\0\0xxxxx",
}
TOKENS = {
    "103 in CONTINUATION": 62,
    "103 of many fields": 3,
    "SETTINGS of many": 201,
    "DATA of one byte": 8 / 256,
}
"""What one of them costs at least, where that is not one token."""


def flooding(name: str) -> Peer:
    """Ask for an answer, whose head comes where what floods follows it."""
    peer = Peer()
    stream = peer.asked()
    if "DATA" in name:
        peer.read(block([(":status", "200")]))
    if "nobody" in name:
        peer.engine.release(stream)
        peer.write()
    return peer


@pytest.mark.parametrize("name", FLOODS)
def test_who_floods_is_judged(name: str) -> None:
    peer = flooding(name)
    stream = peer.ask(POST)
    count, flood, sent = 0, FLOODS[name], 0
    while not peer.engine.is_lost:
        size = max(1, READ // len(flood))
        peer.read(flood * size)
        if not peer.engine.is_lost:
            sent = max(sent, len(peer.engine.data_to_send()))
            peer.engine.sent()
        count += size
        assert count * len(flood) < 16 * 1024 * 1024, "never judged"
    assert peer.engine.verdict == (FLOODED, Kind.FLOOD)
    assert peer.engine.is_unfit, "it is asked over HTTP/1.1"
    assert stream.loss is not None
    assert (stream.loss.cause, stream.loss.kind) == (FLOODED, Kind.FLOOD)
    (end,) = [each for each in frames(peer.engine.data_to_send()) if isinstance(each, GoAwayFrame)]
    assert end.error_code == ErrorCodes.ENHANCE_YOUR_CALM
    assert sent <= 3 * READ
    # Some are given back for requests, and for a stream that is not wanted any more.
    most = (BURST + (4096 if "nobody" in name else 0) + 200) / TOKENS.get(name, 1)
    assert count <= most + READ / len(flood)


@pytest.mark.parametrize(
    "flood",
    [
        block([], is_whole=False) + ContinuationFrame(1).serialize() * 99,
        block(EARLY, is_whole=False) + ContinuationFrame(1, b"x" * READ).serialize() * 99,
        block(EARLY, is_whole=False)
        + last(ContinuationFrame(1, hpack.Encoder().encode([("x", "y" * 9999)] * 9))),
        PushPromiseFrame(1, promised_stream_id=2, flags=["END_HEADERS"]).serialize(),
    ],
    ids=["CONTINUATION", "a head without end", "a head that is too large", "PUSH_PROMISE"],
)
def test_what_h2_itself_refuses(flood: bytes) -> None:
    peer = flooding("")
    peer.read(flood)
    assert peer.engine.is_lost
    assert peer.engine.verdict is not None
    assert peer.engine.verdict[1] is Kind.MALFORMED


def test_who_asks_and_does_not_read_the_answers_is_judged() -> None:
    """Slowly enough for the tokens: the writer waits, and what waits for it is bounded."""
    peer = flooding("")
    most = 0
    while not peer.engine.is_lost:
        peer.now += 100 / RATE
        peer.read(PING * 100)
        most += len(PING) * 100
        assert most <= UNREAD + len(PING) * 100
    assert peer.engine.verdict == (FLOODED, Kind.FLOOD)
    assert len(peer.engine.data_to_send()) <= UNREAD + len(PING) * 100 + 100


@pytest.mark.parametrize("name", ["PING", "SETTINGS", "empty DATA", "103", "WINDOW_UPDATE"])
def test_one_a_second_for_hours_is_none(name: str) -> None:
    peer = flooding(name)
    for _ in range(3 * BURST):
        peer.now += 1.0
        peer.read(FLOODS[name])
        peer.write()
    assert not peer.engine.is_lost


def test_what_has_come_before_the_flood_counts() -> None:
    peer = Peer()
    stream = peer.asked(GET)
    peer.server.send_headers(1, [(":status", "200")])
    peer.server.send_data(1, b"body", end_stream=True)
    peer.read(PING * 2 * BURST)
    assert peer.engine.is_lost
    assert peer.engine.receive(stream) == b"body"
    assert peer.engine.receive(stream) == b""


def test_requests_pay_for_what_they_cost_upstream() -> None:
    """More heads and windows than there are tokens, at one moment."""
    peer = Peer()
    for _ in range(BURST // 50):
        stream = peer.asked(POST)
        assert peer.engine.send_data(stream, memoryview(b"x" * 100), is_last=True) == 100
        peer.write()
        peer.server.increment_flow_control_window(100)
        peer.answer(stream, fields=[(f"x-{number}", "y" * 90) for number in range(50)])
        peer.engine.release(stream)
        peer.write()
        assert not peer.engine.is_lost


def test_a_stream_that_is_not_wanted_any_more_is_no_flood() -> None:
    """What was on its way may be a window of small frames, of many streams at once."""
    peer = Peer()
    streams = [peer.asked() for _ in range(64)]
    for stream in streams:
        peer.read(HeadersFrame(stream.number, b"\x88", flags=["END_HEADERS"]).serialize())
    for stream in streams:
        peer.engine.release(stream)
        peer.write()
        late = DataFrame(stream.number, b"x" * 100).serialize()
        peer.read(late * (STREAM_WINDOW // 100 // 4))
        peer.write()
        assert not peer.engine.is_lost
