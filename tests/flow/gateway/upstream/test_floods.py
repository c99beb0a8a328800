"""Upstreams that send what carries no answer, without end: asked again, and told if it goes on."""

import pytest
import trio

from relay.config import Hold
from relay.gateway.answers import manners
from relay.gateway.bounds.bucket import FLOODED
from relay.gateway.bounds.room import ALL
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import bare_upstream, gateway, until
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.stream import body

STREAM = b'{"seed": 7, "stream": true}'
EVENTS = body(message(7))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
STREAMED = HEAD + b"Connection: close\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SIZE = 16 * 1024
"""Bytes that are sent at once."""


class Flooding:
    """Sends `begin` and then `again` without end to the first who ask, and answers the others."""

    def __init__(self, begin: bytes, again: bytes, *, times: int = 1) -> None:
        self.sent = 0
        """Bytes of the flood on one connection, at most."""
        self._begin, self._again, self._times = begin, again, times

    async def serve(self, stream: trio.abc.Stream) -> None:
        await until(stream, b"}")
        self._times -= 1
        if self._times < 0:
            await stream.send_all(STREAMED + EVENTS)
            return
        await stream.send_all(self._begin)
        sent, again = 0, self._again * max(1, SIZE // len(self._again))
        try:
            while True:
                await stream.send_all(again)
                sent += len(again)
                self.sent = max(self.sent, sent)
        except trio.BrokenResourceError:
            pass


FLOODS = {
    "103": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "large 103": (b"", b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % (b"Link: </x>\r\n" * 999)),
    "chunks of a byte": (CHUNKED, b"1\r\n:\r\n"),
    "chunk extensions": (CHUNKED, b"1;%b\r\n:\r\n" % (b"x" * 400_000)),
    "empty lines": (STREAMED, b"\n"),
    "empty lines of CR": (STREAMED, b"\r"),
    "comments": (STREAMED, b":\n\n"),
    "comments in one event": (STREAMED, b":\n"),
    "fields in one event": (STREAMED, b"data\n"),
    "pings": (STREAMED, b'event: ping\ndata: {"type": "ping"}\n\n'),
    "events of no type": (STREAMED, b"id: 1\n\n"),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_who_floods_is_asked_again(name: str) -> None:
    upstream = Flooding(*FLOODS[name])
    async with bare_upstream(upstream.serve) as served, gateway(served) as it:
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", STREAM)
        assert (answer.status, answer.is_complete) == (200, True)
        assert answer.body.endswith(EVENTS)
        (resend,) = it.resends()
        assert (resend.cause, resend.kind) == (FLOODED, Kind.FLOOD)
        assert not it.lost()
        assert it.gateway.room.left == ALL
        await it.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("begin", "again", "cause"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y", "not HTTP/1.1"),
        (CHUNKED + b"0\r\n", b"x: y\r\n", "not HTTP/1.1"),
        (CHUNKED + b"1;", b"x", "not HTTP/1.1"),
    ],
    ids=["a head", "a field", "trailers", "a chunk's extension"],
)
async def test_what_has_no_end_is_lost(begin: bytes, again: bytes, cause: str) -> None:
    upstream = Flooding(begin, again)
    async with bare_upstream(upstream.serve) as served, gateway(served) as it:
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", STREAM)
        causes = [each.cause for each in (*it.resends(), *it.lost())]
        assert len(causes) == 1
        assert causes[0].endswith(cause)
        assert answer.status in (200, 502)
        # what is read of one head, and what the kernel keeps of the connection's two ends
        assert upstream.sent < 16 * 1024 * 1024
        await it.assert_nothing_is_left()


async def test_who_floods_for_ever_is_told_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    upstream = Flooding(b"", FLOODS["103"][1], times=99)
    async with bare_upstream(upstream.serve) as served, gateway(served) as it:
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", STREAM)
        assert answer.status == 502
        assert FLOODED.encode() in answer.body
        (lost,) = it.lost()
        assert (lost.kind, lost.resends, lost.saw) == (Kind.FLOOD, 5, "status 502")


class Pinging:
    """Sends a ping each 10 s, and says after some hours what it has thought of."""

    def __init__(self, hours: float) -> None:
        self.asked = 0
        self._seconds = hours * 3600

    async def serve(self, stream: trio.abc.Stream) -> None:
        await until(stream, b"}")
        self.asked += 1
        await stream.send_all(STREAMED)
        end = trio.current_time() + self._seconds
        try:
            while trio.current_time() < end:
                await trio.sleep(10)
                await stream.send_all(b'event: ping\ndata: {"type": "ping"}\n\n')
            await stream.send_all(EVENTS)
        except trio.BrokenResourceError:
            pass


@pytest.mark.parametrize("hold", ["message", "block", "none"])
@pytest.mark.parametrize(("hours", "asked"), [(0.9, 1), (1.5, 2)])
async def test_who_pings_and_says_nothing_is_asked_again_after_an_hour(
    hold: Hold, hours: float, asked: int, autojump_clock: trio.testing.MockClock
) -> None:
    """And has twice as long then: who thinks for so long is not asked for ever."""
    upstream = Pinging(hours)
    async with (
        bare_upstream(upstream.serve) as served,
        gateway(served, hold=hold, silence=None) as it,
        it.connection() as program,
    ):
        answer = await program.ask("POST", "/v1/messages", STREAM)
        assert answer.is_complete
        assert answer.body.endswith(EVENTS)
        assert upstream.asked == asked
        causes = [each.cause for each in it.resends()]
        assert causes == [f"only pings for {manners.FILLED_FOR:g} s"] * (asked - 1)
