"""HTTP/2 towards upstream: its limits are kept, silence is asked after, oddities are losses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import h2.settings
import h11
import hpack
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame, SettingsFrame

from relay.gateway.bounds.room import Room
from relay.gateway.downstream.body import Body
from relay.gateway.downstream.guests import Guest
from relay.gateway.http import Flush, LostError, Request
from relay.gateway.upstream.http2 import SETTINGS_WAIT, Http2
from relay.gateway.upstream.http2_engine import Engine
from relay.record.events import Fault
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import Running, bare_upstream, body_of, gateway, until
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.stream import body
from tests.support.pace import patience

STREAM = b'{"seed": 7, "stream": true}'
EVENTS = body(message(7))


class Upstream:
    """Answers each request by `head` and a stream of events; takes `most` at once."""

    answers: type[h2.events.RequestReceived | h2.events.StreamEnded] = h2.events.StreamEnded
    """When it does."""

    def __init__(self, *, most: int = 100, head: dict[str, str] | None = None) -> None:
        self.most = most
        self.head = (
            {":status": "200", "content-type": "text/event-stream"} if head is None else head
        )
        self.connections = self.widest = self.pings = self.requests = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.unindexed: set[bytes] = set()
        """The fields that were said to be indexed nowhere."""
        self.frames: list[tuple[bytes, bool]] = []
        """Of requests' bodies; whether each is said to be the last."""

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        if isinstance(stream, trio.SSLStream) and stream.selected_alpn_protocol() != "h2":
            return  # it is asked over HTTP/1.1 after it has broken HTTP/2
        config = h2.config.H2Configuration(
            client_side=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        it = h2.connection.H2Connection(config)
        most = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.most}
        it.local_settings = h2.settings.Settings(client=False, initial_values=most)
        it.initiate_connection()
        waiting: list[int] = []
        await stream.send_all(it.data_to_send())
        try:
            while data := await stream.receive_some():
                for event in it.receive_data(bytes(data)):
                    self.pings += isinstance(event, h2.events.PingReceived)
                    if isinstance(event, h2.events.TrailersReceived):
                        self.trailers += [(bytes(n), bytes(v)) for n, v in event.headers or ()]
                    if isinstance(event, h2.events.RequestReceived):
                        secret = hpack.NeverIndexedHeaderTuple
                        headers = event.headers or ()
                        self.unindexed |= {bytes(f[0]) for f in headers if isinstance(f, secret)}
                    if isinstance(event, h2.events.DataReceived):
                        self.frames.append((event.data or b"", event.stream_ended is not None))
                    if isinstance(event, self.answers):
                        waiting.append(event.stream_id or 0)
                        self.requests += 1
                self.widest = max(self.widest, len(waiting))
                await trio.testing.wait_all_tasks_blocked()
                for number in waiting:
                    self.answer(it, number)
                waiting.clear()
                self.go_on(it)
                await stream.send_all(it.data_to_send())
        except trio.BrokenResourceError:
            pass

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        if self.head:
            it.send_headers(number, list(self.head.items()))
        it.send_data(number, EVENTS, end_stream=True)

    def go_on(self, it: h2.connection.H2Connection) -> None:
        """Say what a window has become wide enough for."""


async def ask(it: Running, path: str = "/v1/messages") -> tuple[int, str]:
    with trio.fail_after(1000):
        async with it.connection() as program:
            answer = await program.ask("POST", path, STREAM)
            assert answer.is_complete or answer.loss
            return answer.status, answer.loss


class _Promising(Upstream):
    """Says of each answer that it is as long as no number can be."""

    answers = h2.events.RequestReceived

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        head = {":status": "200", "content-length": "1" * 5000}
        it.send_headers(number, list(head.items()), end_stream=True)


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_a_length_of_5000_digits_costs_its_request_alone(
    method: str, autojump_clock: trio.testing.MockClock
) -> None:
    upstream = _Promising()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        for _ in range(2):
            async with it.connection() as program:
                with trio.fail_after(1000):
                    answer = await program.ask(method, "/v1/messages")
                assert answer.status == 502
        assert [lost.saw for lost in it.lost()] == ["status 502"] * 2
        assert not [event for event in it.events if isinstance(event, Fault)]
        await it.assert_nothing_is_left()


async def test_a_defect_ends_the_connection_and_its_requests_are_asked_again(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Not the session, in whose nursery the connection runs."""
    upstream, receive, faults = Upstream(), Engine.receive_data, [KeyError("a defect")]

    def receive_data(engine: Engine, data: bytes, now: float) -> set[int]:
        if faults and not engine.is_free:
            raise faults.pop()
        return receive(engine, data, now)

    monkeypatch.setattr(Engine, "receive_data", receive_data)
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        assert await ask(it) == (200, "")
        (fault,) = [event for event in it.events if isinstance(event, Fault)]
        assert (fault.where, fault.error, fault.saw) == ("upstream connection", "KeyError", "")
        (resend,) = it.resends()
        assert resend.kind is Kind.DEFECT
        await it.assert_nothing_is_left()


@pytest.mark.parametrize("most", [1, 7])
async def test_no_more_streams_than_upstream_takes(
    most: int, autojump_clock: trio.testing.MockClock
) -> None:
    upstream = Upstream(most=most)
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(ask, it)
        assert upstream.requests == 30
        assert upstream.widest <= most
        assert not it.resends()
        await it.assert_nothing_is_left()
        assert len(it.standing.connections) == 1


class _Padding(Upstream):
    """Sends 1 MiB of padding first, as the window allows: a stream's has 256 KiB."""

    number: int | None = None
    left = 4096

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        it.send_headers(number, list(self.head.items()))
        self.number = number

    def go_on(self, it: h2.connection.H2Connection) -> None:
        while self.number is not None and it.local_flow_control_window(self.number) > len(EVENTS):
            if not self.left:
                it.send_data(self.number, EVENTS, end_stream=True)
                self.number = None
                break
            it.send_data(self.number, b"", pad_length=255)
            self.left -= 1


async def test_padding_does_not_use_the_window_up() -> None:
    upstream = _Padding()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        with trio.fail_after(patience(10)):
            assert await ask(it) == (200, "")
        await it.assert_nothing_is_left()


@dataclass
class _Wire:
    """What the connection asks of one."""

    cause: str = "closed"
    kind: Kind = Kind.CLOSED
    answered: float = 0.0
    asked: float = 0.0
    is_awaited: Callable[[], bool] = bool
    will_end_so_again: bool = False

    def note_verdict(self, cause: str, kind: Kind) -> None:
        self.cause, self.kind = cause, kind


class _Socket(trio.abc.Stream):
    """Writes at once, as a socket does, whether the task is cancelled meanwhile or not."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self._theirs, self._ours = trio.testing.memory_stream_one_way_pair()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    def put(self, data: bytes) -> None:
        """Let it be received; nothing is the end."""
        if data:
            self._ours.put_data(data)
        else:
            self._ours.put_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._ours.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._ours.aclose()


async def _lost_by(end: bytes, request: Request) -> tuple[bool, bool]:
    """Have the connection's end and a request meet; was it written whole, may it be processed?"""
    socket = _Socket()
    connection = Http2(socket, _Wire(), b"server.test")  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        socket.put(server.data_to_send())
        await trio.testing.wait_all_tasks_blocked()
        stream = connection.open()
        # Both at once: whether the connection's reader or its writer runs first is chance.
        socket.put(end)
        await stream.send(request, body_of(b"body"))
        await trio.testing.wait_all_tasks_blocked()
        ended = h2.events.StreamEnded
        events = server.receive_data(bytes(socket.sent))
        with pytest.raises(LostError) as caught:
            await stream.response()
        stream.release()
        nursery.cancel_scope.cancel()
    return any(isinstance(event, ended) for event in events), caught.value.may_be_processed


@pytest.mark.parametrize("end", [b"", bytes(9)], ids=["closed", "junk"])
async def test_what_was_written_may_be_processed(end: bytes) -> None:
    request = Request(b"POST", b"/v1/other", [], is_framed=True)
    met = {await _lost_by(end, request) for _ in range(100)}
    assert (True, False) not in met, "asked again, although upstream has it"
    assert (True, True) in met, "no request has met the junk"


class _Full(_Socket):
    """Has taken the bytes, and never says so, as a socket whose buffer is full does."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        await trio.sleep_forever()


async def test_what_is_being_written_may_be_processed() -> None:
    socket = _Full()
    connection = Http2(socket, _Wire(), b"server.test")  # type: ignore[arg-type]
    stream = connection.open()
    await stream.send(Request(b"POST", b"/v1/other", [], is_framed=True), body_of(b"body"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await trio.testing.wait_all_tasks_blocked()
        assert b"body" in socket.sent
        await socket.aclose()
        with pytest.raises(LostError) as caught:
            await stream.response()
        stream.release()
        nursery.cancel_scope.cancel()
    assert caught.value.may_be_processed


async def test_a_body_that_is_not_wanted_any_more_is_not_ended() -> None:
    """The answer is complete before the body is: what is left out may not look as if it were."""
    socket = _Socket()
    connection = Http2(socket, _Wire(), b"server.test")  # type: ignore[arg-type]
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    seen: list[type[h2.events.Event]] = []
    pieces = iter((b"bo", b"dy", None))

    def read() -> list[type[h2.events.Event]]:
        new = [type(event) for event in server.receive_data(bytes(socket.sent))]
        socket.sent.clear()
        seen.extend(new)
        return new

    async def receive(flush: Flush) -> bytes | None:
        await flush()
        await trio.testing.wait_all_tasks_blocked()
        if h2.events.DataReceived in read():
            server.send_headers(1, [(":status", "413")], end_stream=True)
            socket.put(server.data_to_send())
            await trio.testing.wait_all_tasks_blocked()
        return next(pieces)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        socket.put(server.data_to_send())
        await connection.settled()
        stream = connection.open()
        request = Request(b"POST", b"/v1/other", [], is_framed=True)
        await stream.send(request, Body(receive, Guest(), Room()))
        stream.release()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    read()
    assert h2.events.StreamReset in seen
    assert h2.events.StreamEnded not in seen


@dataclass
class _Peer:
    """A connection that runs, and the server at its other end."""

    socket: _Socket
    connection: Http2
    server: h2.connection.H2Connection
    ended: trio.Event
    """Set when run() has returned."""

    async def exchange(self, more: bytes = b"") -> None:
        """Have each side receive what the other has sent."""
        await trio.testing.wait_all_tasks_blocked()
        self.server.receive_data(bytes(self.socket.sent))
        self.socket.sent.clear()
        if data := self.server.data_to_send() + more:
            self.socket.put(data)
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def _connected() -> AsyncIterator[_Peer]:
    socket = _Socket()
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    peer = _Peer(socket, Http2(socket, _Wire(), b"server.test"), server, trio.Event())  # type: ignore[arg-type]

    async def run() -> None:
        await peer.connection.run()
        peer.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield peer
        nursery.cancel_scope.cancel()


POST = Request(b"POST", b"/v1/other", [], is_framed=True)


async def test_settings_that_do_not_come_are_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with _connected() as peer:
        assert not peer.connection.engine.has_room
        await peer.connection.settled()
        assert trio.current_time() == SETTINGS_WAIT
        assert peer.connection.engine.has_room


async def test_a_goaway_between_opening_a_stream_and_its_head_refuses_it() -> None:
    async with _connected() as peer, trio.open_nursery() as nursery:
        await peer.exchange()
        stream = peer.connection.open()
        losses: list[LostError] = []

        async def take() -> None:
            with pytest.raises(LostError) as caught:
                await stream.response()
            losses.append(caught.value)

        nursery.start_soon(take)
        await peer.exchange(GoAwayFrame(0).serialize())
        assert not losses
        await stream.send(POST, body_of(b"body"))
        await trio.testing.wait_all_tasks_blocked()
        assert [(each.cause, each.may_be_processed) for each in losses] == [("GOAWAY", False)]
        assert not peer.ended.is_set()
        stream.release()
        await peer.ended.wait()


async def test_a_connection_ends_with_the_last_stream_after_it_was_retired() -> None:
    async with _connected() as peer:
        await peer.exchange()
        first, second = peer.connection.open(), peer.connection.open()
        first.condemn()
        assert not peer.connection.engine.has_room
        first.release()
        await second.send(POST, body_of(b"body"))
        await peer.exchange()
        peer.server.send_headers(1, [(":status", "200")], end_stream=True)
        await peer.exchange()
        assert (await second.response()).status == 200
        second.release()
        await peer.ended.wait()


@pytest.mark.parametrize("is_last", [False, True])
async def test_a_body_that_waits_for_windows_ends_with_its_stream(*, is_last: bool) -> None:
    """As it does when more of the body is to come."""
    pieces = [bytes(100_000)] if is_last else [bytes(100_000), b"more"]
    async with _connected() as peer, trio.open_nursery() as nursery:
        await peer.exchange()
        stream = peer.connection.open()
        is_sent = trio.Event()

        async def send() -> None:
            await stream.send(POST, body_of(*pieces))
            is_sent.set()

        nursery.start_soon(send)
        for _ in range(6):
            await peer.exchange()
        assert not is_sent.is_set()
        peer.server.reset_stream(1, ErrorCodes.REFUSED_STREAM)
        await peer.exchange()
        assert is_sent.is_set()
        with pytest.raises(LostError, match="REFUSED_STREAM"):
            await stream.response()


class Refusing(Upstream):
    """Does not wait for the body."""

    answers = h2.events.RequestReceived
    is_reset = False

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        it.send_headers(number, [(":status", "413"), ("content-length", "2")])
        it.send_data(number, b"no", end_stream=True)
        if self.is_reset:
            it.reset_stream(number, ErrorCodes.NO_ERROR)


class Resetting(Refusing):
    """And says so, RFC 9113 section 8.1."""

    is_reset = True


@pytest.mark.parametrize("refusing", [Refusing, Resetting])
async def test_an_early_answer_reaches_a_program_that_still_sends(
    refusing: type[Refusing],
) -> None:
    upstream = refusing()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        async with it.raw() as stream:
            head = b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
            await stream.send_all(head)
            assert (await until(stream, b"\r\n\r\nno")).startswith(b"HTTP/1.1 413")
        await it.assert_nothing_is_left()


async def test_secrets_are_indexed_nowhere() -> None:
    """RFC 7541 7.1.3: nor may anybody on the way index them."""
    upstream = Upstream()
    secret = {"Authorization": "Bearer no", "X-API-Key": "no", "Cookie": "no=" + "no" * 20}
    async with (
        bare_upstream(upstream.serve, protocols=("h2",)) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        fields = [*secret.items(), ("X-App", "cli")]
        assert (await program.ask("POST", "/v1/messages", STREAM, fields)).status == 200
    assert upstream.unindexed >= {name.lower().encode() for name in secret}


async def test_the_last_piece_of_a_body_says_so() -> None:
    upstream = Upstream()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        assert await ask(it) == (200, "")
    assert upstream.frames == [(STREAM, True)]


async def test_a_piece_does_not_wait_for_the_next() -> None:
    upstream = Upstream()
    async with (
        bare_upstream(upstream.serve, protocols=("h2",)) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        headers = [("Host", "x"), ("Content-Length", "4")]
        await program.send(h11.Request(method="POST", target="/other", headers=headers))
        for piece in (b"bo", b"dy"):
            await program.send(h11.Data(piece))
            with trio.fail_after(patience(10)):
                while upstream.frames[-1:] != [(piece, piece == b"dy")]:
                    await trio.testing.wait_all_tasks_blocked()
        await program.send(h11.EndOfMessage())
        assert (await program.answer()).is_complete


async def test_trailers_of_a_request() -> None:
    upstream = Upstream()
    async with (
        bare_upstream(upstream.serve, protocols=("h2",)) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        headers = [("Host", "x"), ("Transfer-Encoding", "chunked")]
        await program.send(h11.Request(method="POST", target="/other", headers=headers))
        await program.send(h11.Data(b"body"))
        await program.send(h11.EndOfMessage(headers=[("X-Checksum", "1")]))
        assert (await program.answer()).is_complete
    assert upstream.trailers == [(b"x-checksum", b"1")]


async def test_upstream_is_asked_for_life_while_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    upstream = Upstream()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        assert await ask(it) == (200, "")
        await trio.sleep(19)
        assert upstream.pings == 0
        await trio.sleep(82)
        assert upstream.pings in (4, 5)
        assert await ask(it) == (200, "")
    assert upstream.connections == 1


@pytest.mark.parametrize("path", ["/v1/messages", "/other"])
@pytest.mark.parametrize(
    "head",
    [
        {":status": "abc"},
        {":status": "099"},
        {":status": "1000"},
        {":status": "200", "bad name": "x"},
        {":status": "200", "x": "a\x01b"},
        {":status": "200", "content-length": "5"},
        {":status": "200", "content-length": "x"},
        {":status": "200", "transfer-encoding": "chunked"},
        {":status": "200", "x": "y" * 100_000},
        {"no-status": "200"},
        {},
    ],
    ids=repr,
)
async def test_what_cannot_be_said_on_is_a_loss(
    head: dict[str, str], path: str, autojump_clock: trio.testing.MockClock
) -> None:
    upstream = Upstream(head=head)
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        status, loss = await ask(it, path)
        assert loss or status in (502, 200), status
        await trio.sleep(100)
        await it.assert_nothing_is_left()


@pytest.mark.parametrize("status", ["204", "304"])
async def test_a_body_where_none_may_be_is_left_out(status: str) -> None:
    upstream = Upstream(head={":status": status})
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        assert await ask(it) == (int(status), "")


class Odd(Upstream):
    """Sends fields that HTTP/2 forbids, and a body whatever it is asked."""

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        fields = [
            *((":status", "200"), ("X-A", "1"), ("connection", "keep-alive"), ("bad name", "2")),
            *(("transfer-encoding", "chunked"), ("content-length", "5")),
        ]
        it.send_headers(number, fields)
        it.send_data(number, b"hello", end_stream=True)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_fields_that_http2_forbids_are_dropped_and_so_is_a_body_to_head(
    method: str,
) -> None:
    upstream = Odd()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        async with it.connection() as program:
            for _ in range(2):
                answer = await program.ask(method, "/v1/models")
                assert answer.status == 200
                assert answer.body == (b"hello" if method == "GET" else b"")
                assert answer.is_complete
                assert answer.fields == [(b"X-A", b"1"), (b"content-length", b"5")]
        assert not it.resends()
    assert upstream.connections == 1


@pytest.mark.parametrize("how", ["wanted", "reset", "goaway", "junk"])
async def test_who_is_unfit_for_http2_is_asked_over_http1(
    how: str, autojump_clock: trio.testing.MockClock
) -> None:
    asked = []

    async def serve(stream: trio.abc.Stream) -> None:
        assert isinstance(stream, trio.SSLStream)
        protocol = stream.selected_alpn_protocol()
        asked.append(protocol)
        if protocol == "h2":
            await UNFIT[how].serve(stream)
            return
        while await stream.receive_some():
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    async with (
        bare_upstream(serve, protocols=("h2", "http/1.1")) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        for _ in range(2):
            answer = await program.ask("GET", "/v1/models")
            assert (answer.body, answer.is_complete) == (b"hello", True)
        assert len(it.resends()) == 1
    assert asked == ["h2", "http/1.1"]


class Erring(Upstream):
    """Answers by an error."""

    def __init__(self, code: ErrorCodes) -> None:
        super().__init__()
        self.code = code

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        it.reset_stream(number, self.code)


class Complaining(Upstream):
    """Ends the connection because of our errors."""

    async def serve(self, stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        gone = GoAwayFrame(0, error_code=ErrorCodes.COMPRESSION_ERROR)
        await stream.send_all(SettingsFrame(0).serialize() + gone.serialize())
        async for _ in stream:
            pass


class Junk(Upstream):
    """Breaks the protocol."""

    async def serve(self, stream: trio.abc.Stream) -> None:
        await stream.send_all(bytes(99))
        async for _ in stream:
            pass


UNFIT = {
    "wanted": Erring(ErrorCodes.HTTP_1_1_REQUIRED),
    "reset": Erring(ErrorCodes.PROTOCOL_ERROR),
    "goaway": Complaining(),
    "junk": Junk(),
}


class Unchanged(Upstream):
    """Tells the length of what it does not send."""

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        it.send_headers(number, [(":status", "304"), ("content-length", "100")], end_stream=True)


async def test_a_304_may_tell_a_length() -> None:
    upstream = Unchanged()
    async with bare_upstream(upstream.serve, protocols=("h2",)) as served, gateway(served) as it:
        assert await ask(it, "/a") == (304, "")


class Short(Upstream):
    """Says less than it announced, in its very first answer."""

    def answer(self, it: h2.connection.H2Connection, number: int) -> None:
        if (self.connections, number) == (1, 1):
            self.lose(it, number, [*self.head.items(), ("content-length", "100")])
        else:
            super().answer(it, number)

    def lose(
        self, it: h2.connection.H2Connection, number: int, head: list[tuple[str, str]]
    ) -> None:
        """Say it."""
        it.send_headers(number, head)
        it.send_data(number, b"{}", end_stream=True)


class ShortByTrailers(Short):
    """The same, by an answer that trailers end."""

    def lose(
        self, it: h2.connection.H2Connection, number: int, head: list[tuple[str, str]]
    ) -> None:
        it.send_headers(number, head)
        it.send_data(number, b"{}")
        it.send_headers(number, [("x-checksum", "1")], end_stream=True)


class ShortByHead(Short):
    """The same, by an answer without a body."""

    def lose(
        self, it: h2.connection.H2Connection, number: int, head: list[tuple[str, str]]
    ) -> None:
        it.send_headers(number, head, end_stream=True)


@pytest.mark.parametrize("short", [Short, ShortByTrailers, ShortByHead])
async def test_a_body_that_is_too_short_is_the_loss_of_its_stream_alone(
    short: type[Short], autojump_clock: trio.testing.MockClock
) -> None:
    upstream = short(head={":status": "200", "content-type": "application/json"})
    async with (
        bare_upstream(upstream.serve, protocols=("h2",)) as served,
        gateway(served) as it,
        trio.open_nursery() as nursery,
    ):
        for _ in range(5):
            nursery.start_soon(ask, it)
    assert upstream.requests == 6
