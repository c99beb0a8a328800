"""Floods of frames on a connection to upstream: judged early, and no queue grows meanwhile."""

import hpack
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
)

from relay.gateway.bounds.bucket import BURST, FLOODED, RATE
from relay.gateway.bounds.guard import UNREAD
from relay.gateway.upstream.http2_engine import STREAM_WINDOW
from relay.record.kinds import Kind
from tests.support.internet.servers.floods import EARLY, FRAMES, PING, READ, TOKENS, block
from tests.unit.gateway.upstream.test_http2_engine import GET, POST, Peer, frames

_LARGE = hpack.Encoder().encode([("x", "y" * 9999)] * 9)
UNAWAITED = "DATA that nobody waits for"
FLOODS = {**FRAMES, UNAWAITED: DataFrame(1, b"x").serialize()}


def flooding(name: str) -> Peer:
    """Ask for an answer, whose head comes where what floods follows it."""
    peer = Peer()
    stream = peer.asked()
    if "DATA" in name:
        peer.read(block([(":status", "200")]))
    if name == UNAWAITED:
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
    most = (BURST + (4096 if name == UNAWAITED else 0) + 200) / TOKENS.get(name, 1)
    assert count <= most + READ / len(flood)


@pytest.mark.parametrize(
    "flood",
    [
        block([], is_whole=False) + ContinuationFrame(1).serialize() * 99,
        block(EARLY, is_whole=False) + ContinuationFrame(1, b"x" * 1000).serialize() * 99,
        block(EARLY, is_whole=False)
        + ContinuationFrame(1, _LARGE, flags=["END_HEADERS"]).serialize(),
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
    for _ in range(2 * BURST):
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
