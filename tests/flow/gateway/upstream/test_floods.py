"""Upstreams that send what carries no answer, without end: asked again, and told if it goes on."""

import contextlib

import h2.config
import h2.connection
import h2.events
import pytest
import trio

from relay.config import Hold
from relay.gateway.answers import manners
from relay.gateway.bounds.bucket import FLOODED
from relay.gateway.bounds.room import ALL
from relay.record.events import UpstreamClosed
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import bare_upstream, gateway, until
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.stream import body
from tests.support.internet.servers.floods import (
    CHUNKED,
    HEADS,
    LINES,
    PING,
    READ,
    STREAMED,
    without_end,
)

STREAM = b'{"seed": 7, "stream": true}'
EVENTS = body(message(7))


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
        sent = await without_end(stream, self._begin, self._again)
        self.sent = max(self.sent, sent)


FLOODS = HEADS | LINES


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


async def test_an_answer_that_finds_no_room_goes_on_and_its_loss_says_so() -> None:
    whole = STREAMED + EVENTS
    cut = len(whole) - 100

    async def serve(stream: trio.abc.Stream) -> None:
        await until(stream, b"}")
        await stream.send_all(whole[:cut])

    async with bare_upstream(serve) as served, gateway(served) as it:
        it.gateway.room.left = 100
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", STREAM)
        assert not answer.is_complete
        assert EVENTS.startswith(answer.body)
        (lost,) = it.lost()
        assert lost.why == "the program has part of the answer, which is more than what is held"
        assert it.gateway.room.left == 100


@pytest.mark.parametrize("left", [100, ALL])
async def test_an_answer_that_is_no_stream_takes_room_too(left: int) -> None:
    text = b'{"text": "%b"}' % (b"x" * 300_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    rooms: list[int] = []

    async def serve(stream: trio.abc.Stream) -> None:
        await until(stream, b"}")
        await stream.send_all(head % len(text) + text[:200_000])
        await trio.testing.wait_all_tasks_blocked(0.01)
        rooms.append(it.gateway.room.left)
        await stream.send_all(text[200_000:])

    async with bare_upstream(serve) as served, gateway(served) as it:
        it.gateway.room.left = left
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", STREAM)
        assert (answer.status, answer.body) == (200, text)
        assert rooms == [left - 200_000 if left == ALL else left]
        assert it.gateway.room.left == left


class Idle:
    """Answers over HTTP/2, and floods the connection that nobody uses then."""

    def __init__(self, *, reads: bool) -> None:
        self.ended = trio.Event()
        self._reads = reads

    async def serve(self, stream: trio.abc.Stream) -> None:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        await stream.send_all(server.data_to_send())
        while not self._is_asked(server, await stream.receive_some()):
            await stream.send_all(server.data_to_send())
        server.send_headers(1, [(":status", "204")], end_stream=True)
        await stream.send_all(server.data_to_send())
        async with trio.open_nursery() as nursery:
            if self._reads:
                nursery.start_soon(self._read, stream)
            await without_end(stream, b"", PING)
            nursery.cancel_scope.cancel()
        self.ended.set()

    def _is_asked(self, server: h2.connection.H2Connection, data: bytes | bytearray) -> bool:
        events = server.receive_data(bytes(data))
        return any(isinstance(event, h2.events.StreamEnded) for event in events)

    async def _read(self, stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass


@pytest.mark.parametrize("reads", [True, False])
async def test_who_floods_while_nothing_is_asked_loses_the_connection(reads: bool) -> None:
    upstream = Idle(reads=reads)
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        async with it.connection() as program:
            answer = await program.ask("GET", "/v1/models")
            assert (answer.status, answer.is_complete) == (204, True)
        await upstream.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        (closed,) = [event for event in it.events if isinstance(event, UpstreamClosed)]
        assert (closed.cause, closed.kind) == (FLOODED, Kind.FLOOD)
        assert not it.standing.connections
        assert not it.lost()


class Bodies:
    """Gives each answer over HTTP/2 a body without end, as fast as it is taken."""

    def __init__(self, status: int) -> None:
        self._head = [(":status", str(status))]

    async def serve(self, stream: trio.abc.Stream) -> None:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        asked: set[int] = set()
        await stream.send_all(server.data_to_send())
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                for event in server.receive_data(bytes(data)):
                    number = getattr(event, "stream_id", None) or 0
                    if isinstance(event, h2.events.RequestReceived):
                        server.send_headers(number, self._head)
                        asked.add(number)
                    if isinstance(event, h2.events.StreamReset):
                        asked.discard(number)
                for number in asked:
                    while server.local_flow_control_window(number) >= READ:
                        server.send_data(number, b"x" * READ)
                await stream.send_all(server.data_to_send())


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_a_body_without_end_is_not_waited_for_where_an_answer_has_none(
    method: str, status: int
) -> None:
    async with (
        bare_upstream(Bodies(status).serve, protocols=("h2",)) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        for _ in range(3):  # the connection can carry the next
            answer = await program.ask(method, "/v1/models")
            assert (answer.status, answer.is_complete, answer.body) == (status, True, b"")
