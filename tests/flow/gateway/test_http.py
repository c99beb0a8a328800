"""HTTP through the gateway: what is passed on unchanged, and who may go away when."""

import dataclasses
import json
from types import SimpleNamespace

import h11
import pytest
import trio
import trio.testing

from relay.gateway.http import LostError, Request
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.watched_stream import WatchedStream
from relay.record.events import Dialled, UpstreamClosed
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import Running, bare_upstream, body_of, gateway, until
from tests.support.internet.servers.api.answers import Answer
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.server import fake_api
from tests.support.internet.servers.api.stream import Position
from tests.support.pace import patience

PROTOCOLS = [("h2", "http/1.1"), ("http/1.1",)]
BOTH = pytest.mark.parametrize("protocols", PROTOCOLS)
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"
STREAM = json.dumps({"seed": 7, "stream": True}).encode()
TEXT = (b"content-type", b"text/plain")


@BOTH
async def test_fields_are_passed_on_but_for_those_of_one_hop(protocols: tuple[str, ...]) -> None:
    kept = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a,b"),
        ("X-Stainless-Retry-Count", "0"),
        ("x-stainless-lang", "js"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("Accept", "*/*"),
    ]
    dropped = [
        ("Connection", "keep-alive, x-of-one-hop"),
        ("Keep-Alive", "3"),
        ("x-of-one-hop", "1"),
        ("TE", "trailers"),
        ("Proxy-Connection", "close"),
    ]
    async with (
        fake_api(protocols=protocols) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        for path in ("/v1/messages?beta=true", "/v1/other", "/unknown/%20path?q=a%2Fb"):
            encoding = ("Accept-Encoding", "gzip, br")
            await program.ask("POST", path, STREAM, [*kept, *dropped, encoding])
    for asked in served.log.asked:
        request = asked.request
        names = [name.decode().lower() for name, _value in request.fields]
        got = sorted((name.decode().lower(), value.decode()) for name, value in request.fields)
        is_listed = request.path.startswith("/v1/messages")
        wanted = [(name.lower(), value) for name, value in kept]
        wanted += [("content-length", str(len(STREAM)))]
        wanted += [("accept-encoding", "identity" if is_listed else "gzip, br")]
        if protocols[0] != "h2":
            wanted += [("host", f"server.test:{served.port}")]
        assert got == sorted(wanted), names
        assert request.body == STREAM
    paths = [asked.request.path for asked in served.log.asked]
    assert paths == ["/v1/messages?beta=true", "/v1/other", "/unknown/%20path?q=a%2Fb"]


@BOTH
async def test_chunked_bodies_and_trailers_both_ways(protocols: tuple[str, ...]) -> None:
    trailers = ((b"x-checksum", b"1"), (b"x-more", b"2"))
    async with fake_api(protocols=protocols) as served, gateway(served) as it:
        served.api.respond = lambda _: Answer(200, (TEXT,), (b"a", b"b"), trailers=trailers)
        async with it.connection() as program:
            await program.send(
                h11.Request(
                    method="POST",
                    target="/v1/other",
                    headers=[("Host", "x"), ("Transfer-Encoding", "chunked")],
                )
            )
            for piece in (b"one", b"two" * 50000, b"three"):
                await program.send(h11.Data(piece))
            await program.send(h11.EndOfMessage(headers=[("x-sent", "3")]))
            answer = await program.answer()
            assert (answer.body, answer.trailers) == (b"ab", list(trailers))
            assert served.log.asked[0].request.body == b"one" + b"two" * 50000 + b"three"


@BOTH
async def test_answers_without_a_body(protocols: tuple[str, ...]) -> None:
    async with (
        fake_api(protocols=protocols) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        head = await program.ask("HEAD", "/v1/models")
        whole = await program.ask("GET", "/v1/models")
        assert (head.status, head.body, head.is_complete) == (200, b"", True)
        assert dict(head.fields)[b"content-length"] == str(len(whole.body)).encode()
        for status in (204, 304):
            served.api.respond = lambda _, status=status: Answer(status, ((b"etag", b"x"),), ())
            answer = await program.ask("GET", "/v1/models")
            assert (answer.status, answer.body, answer.is_complete) == (status, b"", True)
    assert served.log.connections <= 2


@BOTH
async def test_a_head_request_that_is_lost_for_good(
    protocols: tuple[str, ...], autojump_clock: trio.testing.MockClock
) -> None:
    async with (
        fake_api(*[Failure(Fault.FIN)] * 6, protocols=protocols) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        answer = await program.ask("HEAD", "/v1/models")
        assert (answer.status, answer.is_complete) == (502, True)
        assert (await program.ask("HEAD", "/v1/models")).status == 200


async def test_expect_is_answered_by_the_gateway() -> None:
    async with fake_api() as served, gateway(served) as it, it.raw() as stream:
        await stream.send_all(
            b"POST /v1/other HTTP/1.1\r\nHost: x\r\n"
            b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 100")
        await stream.send_all(b"{}")
        assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200")
    assert served.log.asked[0].request.field("expect") is None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no HTTP\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBig: " + b"x" * 600_000, b"431"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_is_refused(sent: bytes, status: bytes) -> None:
    async with fake_api() as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(sent)
            said = b""
            while data := await stream.receive_some():
                said += data
            assert said.startswith(b"HTTP/1.1 " + status), said
        await it.assert_nothing_is_left()
    assert not served.log.asked


async def test_a_length_beside_chunks_is_not_believed() -> None:
    async with fake_api(protocols=("http/1.1",)) as served, gateway(served) as it, it.raw() as raw:
        await raw.send_all(
            b"POST /v1/other HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        )
        assert bytes(await raw.receive_some()).startswith(b"HTTP/1.1 200")
    assert served.log.asked[0].request.body == b"abcde"


async def test_pipelined_requests_and_http_1_0() -> None:
    async with fake_api() as served, gateway(served) as it, it.raw() as stream:
        one = b"GET http://me:secret@x/v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
        await stream.send_all(one * 3 + b"GET /v1/models HTTP/1.0\r\n\r\n")
        said = b""
        while data := await stream.receive_some():
            said += data
        assert said.count(b"HTTP/1.1 200") == 4
    assert [asked.request.path for asked in served.log.asked] == ["/v1/models"] * 4


async def test_an_early_answer_reaches_a_program_that_still_sends() -> None:
    said = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some(200_000)
        await stream.send_all(said)
        await stream.send_eof()
        async for _ in stream:
            pass

    async with bare_upstream(refuse) as served, gateway(served) as it, it.raw() as stream:
        async with trio.open_nursery() as nursery:

            async def upload() -> None:
                try:
                    await stream.send_all(
                        b"POST /v1/other HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
                    )
                    while True:
                        await stream.send_all(bytes(65536))
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(upload)
            got = await until(stream, b"\r\n\r\nno")
            nursery.cancel_scope.cancel()
        assert got.startswith(b"HTTP/1.1 413")


async def test_an_answer_that_comes_before_the_request_is_given() -> None:
    async def busy(stream: trio.SocketStream) -> None:
        await stream.send_all(BUSY)
        async for _ in stream:
            pass

    async with (
        bare_upstream(busy) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        answer = await program.ask("POST", "/v1/other", STREAM)
        assert (answer.status, answer.body) == (503, b"busy")


async def test_nothing_is_sent_to_who_has_answered_before() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    upstream = Http1(ours, SimpleNamespace(cause="closed"), b"x")  # type: ignore[arg-type]
    await theirs.send_all(BUSY)
    assert (await upstream.response()).status == 503
    await upstream.send(Request(b"GET", b"/", []), body_of())
    assert await upstream.receive() == b"busy"
    assert not upstream.rest()


async def test_an_idle_connection_is_taken_before_it_is_watched() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    upstream = Http1(ours, SimpleNamespace(cause="closed"), b"x")  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            await theirs.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            await upstream.send(Request(b"GET", b"/", []), body_of())
            assert (await upstream.response()).status == 204
            assert await upstream.receive() == b""
            assert upstream.rest()
            nursery.start_soon(upstream.watch)
            await upstream.wake()  # that task has not run yet
            assert not upstream.is_dead


@BOTH
async def test_an_upload_waits_for_an_upstream_that_does_not_read(
    protocols: tuple[str, ...],
) -> None:
    async def deaf(stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with (
        bare_upstream(deaf, protocols=protocols[:1]) as served,
        gateway(served) as it,
        it.raw() as stream,
        trio.open_nursery() as nursery,
    ):
        sent = 0

        async def upload() -> None:
            nonlocal sent
            head = b"POST /v1/other HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
            await stream.send_all(head)
            while True:
                await stream.send_all(bytes(65536))
                sent += 65536

        nursery.start_soon(upload)
        await trio.testing.wait_all_tasks_blocked(0.1)
        nursery.cancel_scope.cancel()
    # What the kernel's buffers and the first window of HTTP/2 take.
    assert 0 < sent < 24 * 1024 * 1024


@BOTH
async def test_a_body_over_the_limit_is_passed_on_once(protocols: tuple[str, ...]) -> None:
    big = bytes(33 * 1024 * 1024)
    async with (
        fake_api(Failure(Fault.FIN), protocols=protocols) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        answer = await program.ask("POST", "/v1/messages", big)
        assert answer.status == 502
    assert [len(asked.request.body) for asked in served.log.asked] == [len(big)]


@BOTH
@pytest.mark.parametrize("phase", ["before the answer", "in the answer", "in the body"])
async def test_upstream_is_told_when_the_program_goes_away(
    protocols: tuple[str, ...], phase: str, autojump_clock: trio.testing.MockClock
) -> None:
    slow = Failure(
        Fault.SILENCE, Position.START if phase == "before the answer" else Position.IN_TEXT
    )
    async with fake_api(slow, protocols=protocols) as served:
        async with gateway(served, hold="none", silence=1e9) as it:
            async with it.connection() as other, it.connection() as program:
                headers = [("Host", "x"), ("Content-Length", str(len(STREAM)))]
                await program.send(
                    h11.Request(method="POST", target="/v1/messages", headers=headers)
                )
                if phase == "in the body":
                    await program.send(h11.Data(STREAM[:5]))
                else:
                    await program.send(h11.Data(STREAM))
                if phase == "in the answer":
                    await program.stream.receive_some()
                await trio.testing.wait_all_tasks_blocked()
                await program.stream.aclose()
                await trio.testing.wait_all_tasks_blocked()
                if phase == "in the body":
                    served.script.take("")
                assert (await other.ask("GET", "/v1/models")).status == 200
            await it.assert_nothing_is_left()
            if protocols[0] == "h2":
                assert served.log.connections == 1
                taken_back = [asked.is_taken_back for asked in served.log.asked]
                # While the body is not complete, the fake has not noted the request yet.
                assert taken_back == ([False] if phase == "in the body" else [True, False])
        if phase != "in the body":
            assert served.log.asked[0].ended in ("by the client", "silence")


async def test_a_request_without_body_is_taken_back_when_the_program_goes_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with fake_api(Failure(Fault.SILENCE)) as served, gateway(served, silence=1e9) as it:
        async with it.connection() as program:
            await program.send(
                h11.Request(method="GET", target="/v1/models", headers=[("Host", "x")])
            )
            await program.send(h11.EndOfMessage())
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        assert [asked.is_taken_back for asked in served.log.asked] == [True]
        await it.assert_nothing_is_left()
        assert len(it.standing.connections) == 1


async def test_a_handshake_that_nobody_waits_for_any_more_says_so() -> None:
    async def mute(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with fake_api() as served, bare_upstream(mute) as other:
        async with (
            gateway(dataclasses.replace(served, port=other.port)) as it,
            it.connection() as program,
        ):
            await program.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
            await program.send(h11.EndOfMessage())
            while not any(isinstance(event, Dialled) for event in it.events):
                await trio.testing.wait_all_tasks_blocked(0.01)
        (closed,) = [event for event in it.events if isinstance(event, UpstreamClosed)]
        assert (closed.kind, closed.cause) == (Kind.CANCELLED, "no longer wanted")


@BOTH
async def test_a_small_request_is_written_at_once(
    protocols: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    send_all = WatchedStream.send_all

    async def noting(self: WatchedStream, data: bytes) -> None:
        written.append(len(data))
        await send_all(self, data)

    async with (
        fake_api(protocols=protocols) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        await program.ask("POST", "/v1/messages", STREAM)
        monkeypatch.setattr(WatchedStream, "send_all", noting)
        program.h11.start_next_cycle()
        headers = [("Host", "x"), ("Content-Length", str(len(STREAM)))]
        head = h11.Request(method="POST", target="/v1/messages", headers=headers)
        parts = [program.h11.send(part) for part in (head, h11.Data(STREAM), h11.EndOfMessage())]
        await program.stream.send_all(b"".join(filter(None, parts)))
        assert (await program.answer()).is_complete
    assert len(written) == 1


async def test_fifty_requests_at_once_on_one_connection() -> None:
    async with fake_api() as served, gateway(served) as it:
        await ask_at_once(it, 50)
    assert served.log.connections == 1
    assert len(served.log.asked) == 50


async def ask_at_once(it: Running, count: int) -> None:
    async def one() -> None:
        async with it.connection() as program:
            answer = await program.ask("POST", "/v1/messages", STREAM)
            assert (answer.status, answer.is_complete) == (200, True)

    with trio.fail_after(patience(60)):
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
    await it.assert_nothing_is_left()


async def test_a_goaway_drains() -> None:
    async with (
        fake_api(Failure(Fault.GOAWAY_DRAIN, Position.IN_TEXT)) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        for _ in range(2):
            answer = await program.ask("POST", "/v1/messages", STREAM)
            assert (answer.status, answer.is_complete) == (200, True)
        assert not it.resends()
    assert served.log.connections == 2


async def test_a_request_that_could_not_be_written_was_not_processed() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    tcp = SimpleNamespace(cause="closed", kind=Kind.CLOSED, will_end_so_again=False)
    upstream = Http1(ours, tcp, b"x")  # type: ignore[arg-type]
    await upstream.send(Request(b"POST", b"/", [], is_framed=True), body_of(b"abc"))
    with pytest.raises(LostError) as caught:
        await upstream.response()
    assert not caught.value.may_be_processed


async def upgraded_echo(stream: trio.SocketStream) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive_some(1)
    assert b"Sec-WebSocket-Key: 1" in head
    if b"/refused" in head:
        await stream.send_all(b"HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno")
        return
    await stream.send_all(b"HTTP/1.1 101 Yes\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly")
    async for data in stream:
        await stream.send_all(data)


UPGRADE = (
    b" HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\nSec-WebSocket-Key: 1\r\n\r\n"
)


async def test_an_upgrade_is_passed_through() -> None:
    async with bare_upstream(upgraded_echo) as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(b"GET /ws" + UPGRADE)
            got = await until(stream, b"early")
            assert got.startswith(b"HTTP/1.1 101")
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        await it.assert_nothing_is_left()
        async with it.raw() as stream:
            await stream.send_all(b"GET /refused" + UPGRADE)
            got = await until(stream, b"no")
            assert got.startswith(b"HTTP/1.1 426")
        await it.assert_nothing_is_left()


async def test_an_upgrade_leaves_http2_to_the_others() -> None:
    async with fake_api() as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(b"GET /ws" + UPGRADE)
            assert b"404" in bytes(await stream.receive_some())
        async with it.connection() as program:
            await program.ask("GET", "/v1/models")
    assert [asked.request.protocol for asked in served.log.asked] == ["http/1.1", "h2"]


async def test_a_program_that_leaves_before_an_upgrade() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    async with bare_upstream(silent) as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(b"GET /ws" + UPGRADE)
            await trio.testing.wait_all_tasks_blocked()
        await it.assert_nothing_is_left()


ASKING_FOR_ECHO = [("Connection", "upgrade"), ("Upgrade", "echo")]


async def test_an_upgrade_that_is_lost_is_not_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = []

    async def close(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())

    async with bare_upstream(close) as served, gateway(served, patience=3) as it:
        async with it.connection() as program:
            lost = await program.ask("GET", "/ws", fields=ASKING_FOR_ECHO)
        await it.assert_nothing_is_left()
    async with gateway(served, patience=3) as it:
        async with it.connection() as program:
            refused = await program.ask("GET", "/ws", fields=ASKING_FOR_ECHO)
        await it.assert_nothing_is_left()
    assert lost.status == refused.status == 502
    assert b"no answer from server.test: closed" in lost.body
    assert b"no answer from server.test: " in refused.body
    assert (b"x-should-retry", b"true") in lost.fields
    assert len(asked) == 1


async def test_an_answer_in_place_of_an_upgrade_is_cut_where_it_was_lost() -> None:
    async def half(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 426 No\r\nContent-Length: 9\r\n\r\nno")

    async with bare_upstream(half) as served, gateway(served) as it:
        async with it.connection() as program:
            answer = await program.ask("GET", "/ws", fields=ASKING_FOR_ECHO)
        await it.assert_nothing_is_left()
    assert (answer.status, answer.body, answer.is_complete) == (426, b"no", False)
    assert "reset" in answer.loss


async def test_an_upgrade_where_the_certificate_is_not_trusted() -> None:
    async with fake_api() as served, gateway(served, is_trusted=False) as it:
        async with it.connection() as program:
            answer = await program.ask("GET", "/ws", fields=ASKING_FOR_ECHO)
        await it.assert_nothing_is_left()
    assert answer.status == 502
    assert b"server.test is not trusted: " in answer.body
    assert (b"x-should-retry", b"false") in answer.fields


async def test_what_a_program_sends_with_its_upgrade_is_passed_on() -> None:
    async with bare_upstream(upgraded_echo) as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(b"GET /ws" + UPGRADE + b"eager")
            await until(stream, b"earlyeager")
        await it.assert_nothing_is_left()


async def test_a_program_that_leaves_within_a_body_nobody_wants() -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        async for _ in stream:
            pass

    async with bare_upstream(refuse) as served, gateway(served) as it:
        async with it.raw() as stream:
            await stream.send_all(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nabc")
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 413")
            await trio.testing.wait_all_tasks_blocked()
        await it.assert_nothing_is_left()


async def test_trailers_of_a_request() -> None:
    asked = bytearray()

    async def answer_at_the_end(stream: trio.SocketStream) -> None:
        while not asked.endswith(b"x-sent: 3\r\n\r\n"):
            asked.extend(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with (
        bare_upstream(answer_at_the_end) as served,
        gateway(served) as it,
        it.raw() as stream,
    ):
        await stream.send_all(
            b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\n0\r\nx-sent: 3\r\n\r\n"
        )
        assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 204")
