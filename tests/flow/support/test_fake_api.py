"""The fake API does what its scripts say, over loopback, in both protocols."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h11
import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame

from relay.tls import was_cut
from tests.support.internet.servers.api import stream
from tests.support.internet.servers.api.answers import Answer
from tests.support.internet.servers.api.faults import (
    ONLY_H2,
    STATUS_OF_ERROR,
    UNPROCESSED,
    Failure,
    Fault,
    Status,
    possible,
)
from tests.support.internet.servers.api.log import Log, Request
from tests.support.internet.servers.api.messages import dumps, message
from tests.support.internet.servers.api.server import Served, fake_api
from tests.support.internet.servers.api.stream import Position
from tests.support.pace import patience

SEEDS = (4, 7)  # an odd seed is cut within an event
WATCHED = 0.05
"""Seconds, in which silence is seen to be one."""


@dataclass
class Seen:
    """What a client got."""

    status: int | None = None
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    end: str = ""


async def receive(tls: trio.SSLStream[trio.SocketStream]) -> bytes | str:
    """Receive bytes, or how the connection ended."""
    try:
        data = bytes(await tls.receive_some())
    except trio.BrokenResourceError as error:
        return "FIN" if was_cut(error.__cause__) else "RST"
    return data or "TLS close"


class Client1:
    """One connection of HTTP/1.1."""

    def __init__(self, tls: trio.SSLStream[trio.SocketStream]) -> None:
        self.tls = tls
        self._h11 = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, path: str, body: bytes = b"", **fields: str) -> Seen:
        headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
        headers += [("Host", "127.0.0.1"), ("content-length", str(len(body)))]
        seen = Seen()
        for event in (
            h11.Request(method=method, target=path, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            await self.tls.send_all(self._h11.send(event) or b"")
        with trio.move_on_after(WATCHED if "silent" in fields.get("x_note", "") else 20):
            await self._read(seen)
            return seen
        seen.end = "silence"
        return seen

    async def _read(self, seen: Seen) -> None:
        while True:
            match event := self._h11.next_event():
                case h11.NEED_DATA:
                    data = await receive(self.tls)
                    if isinstance(data, str):
                        seen.end = data
                        return
                    self._h11.receive_data(data)
                case h11.Response():
                    seen.status, seen.fields = event.status_code, list(event.headers)
                case h11.Data():
                    seen.body += event.data
                case h11.EndOfMessage():
                    seen.end = "end"
                    self._h11.start_next_cycle()
                    return


class Draining(h2.connection.H2Connection):
    """Goes on after a GOAWAY, as RFC 9113 wants."""

    def _receive_goaway_frame(
        self, frame: GoAwayFrame
    ) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class Client2:
    """One connection of HTTP/2, and all that was seen of its streams."""

    def __init__(self, tls: trio.SSLStream[trio.SocketStream]) -> None:
        self.tls = tls
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = Draining(config)
        self.h2.initiate_connection()
        self.streams: dict[int, Seen] = {}
        self.last: int | None = None
        """The last stream of a GOAWAY."""
        self.acked = False

    async def ask(self, method: str, path: str, body: bytes = b"", **fields: str) -> Seen:
        number = await self.begin(method, path, body, **fields)
        seen = self.streams[number]
        with trio.move_on_after(WATCHED if "silent" in fields.get("x_note", "") else 20):
            while not seen.end:
                await self.read()
            return seen
        seen.end = "silence"
        return seen

    async def begin(self, method: str, path: str, body: bytes = b"", **fields: str) -> int:
        number = self.h2.get_next_available_stream_id()
        pseudo = {":method": method, ":path": path, ":scheme": "https", ":authority": "x.test"}
        headers = [*pseudo.items(), *((n.replace("_", "-"), v) for n, v in fields.items())]
        self.streams[number] = Seen()
        self.h2.send_headers(number, headers)
        self.h2.send_data(number, body, end_stream=True)
        await self.tls.send_all(self.h2.data_to_send())
        return number

    async def read(self) -> None:
        data = await receive(self.tls)
        if isinstance(data, str):
            for seen in self.streams.values():
                seen.end = seen.end or data
            return
        for event in self.h2.receive_data(data):
            self._handle(event)
        await self.tls.send_all(self.h2.data_to_send())

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=int(number), headers=list(headers)):
                (_status, value), *rest = headers
                self.streams[number].status = int(value)
                self.streams[number].fields = [(bytes(n), bytes(v)) for n, v in rest]
            case h2.events.DataReceived(stream_id=int(number), data=bytes(data)):
                self.streams[number].body += data
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            case h2.events.StreamEnded(stream_id=int(number)):
                self.streams[number].end = "end"
            case h2.events.StreamReset(stream_id=int(number)):
                self.streams[number].end = ErrorCodes(event.error_code or 0).name
            case h2.events.ConnectionTerminated():
                self.last = event.last_stream_id
            case h2.events.PingAckReceived():
                self.acked = True


Client = Client1 | Client2


@asynccontextmanager
async def connected(served: Served, protocol: str) -> AsyncIterator[Client]:
    tcp = await trio.open_tcp_stream("127.0.0.1", served.port)
    tls = trio.SSLStream(tcp, served.client_context([protocol]), server_hostname="127.0.0.1")
    async with tcp:
        with trio.fail_after(patience(20)):
            await tls.do_handshake()
            assert tls.selected_alpn_protocol() == protocol
            yield Client2(tls) if protocol == "h2" else Client1(tls)


def asking(seed: int, *, streamed: bool = True) -> bytes:
    return dumps({"seed": seed, "stream": streamed}).encode()


PROTOCOLS = ("h2", "http/1.1")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_serves_messages_as_stream_and_as_document(protocol: str) -> None:
    async with fake_api() as served, connected(served, protocol) as client:
        for seed in range(5):
            body = asking(seed)
            seen = await client.ask("POST", "/v1/messages", body, X_Odd='a  b;c="d"')
            assert (seen.status, seen.end) == (200, "end")
            assert seen.body == stream.body(message(seed))
        seen = await client.ask("POST", "/v1/messages", asking(3, streamed=False))
        assert seen.body == message(3).document()
    assert served.log.connections == 1
    first, *_ = served.log.asked
    assert first.request.protocol == protocol
    assert first.request.field("x-odd") == 'a  b;c="d"'
    assert (first.sent, first.ended) == (len(stream.body(message(0))), "well")
    assert 0 < first.content_sent < first.sent


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_serves_the_other_paths(protocol: str) -> None:
    async with fake_api() as served, connected(served, protocol) as client:
        counted = await client.ask("POST", "/v1/messages/count_tokens", b"12345678")
        assert counted.body == b'{"input_tokens":2}'
        models = await client.ask("GET", "/v1/models")
        assert models.body.startswith(b'{"data":[{"type":"model"')
        head = await client.ask("HEAD", "/v1/models")
        assert (head.status, bytes(head.body)) == (200, b"")
        assert dict(head.fields)[b"content-length"] == b"%d" % len(models.body)
        assert (await client.ask("GET", "/nothing")).status == 404
        for number in (1, 2):
            other = await client.ask("POST", "/v1/other", b"{}")
            assert other.body == b'{"processed":%d}' % number


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_each_fault_is_met_at_each_position(protocol: str) -> None:
    async with fake_api() as served:
        for fault in Fault:
            if protocol != "h2" and fault in ONLY_H2:
                continue
            for position in possible(fault):
                for seed in SEEDS:
                    await meets(served, protocol, Failure(fault, position), seed)


async def meets(served: Served, protocol: str, failure: Failure, seed: int) -> None:
    """Ask twice, the second time well, and compare with what the script said."""
    fault, position = failure.fault, failure.position
    served.script.add(failure)
    note = "silent" if fault is Fault.SILENCE else f"{fault} {position}"
    key = f"{fault.name} {position.name} {seed}"
    is_streamed = position is not Position.IN_BODY
    body = asking(seed, streamed=is_streamed)
    async with connected(served, protocol) as client:
        seen = await client.ask("POST", "/v1/messages", body, x_request_key=key, x_note=note)
        if isinstance(client, Client2):
            assert client.last == {
                Fault.GOAWAY_ABOVE: 0,
                Fault.GOAWAY: 1,
                Fault.GOAWAY_DRAIN: 1,
            }.get(fault)
    said = message(seed)
    whole = stream.body(said) if is_streamed else said.document()
    assert seen.end == expected_end(fault)
    assert bytes(seen.body) == expected_bytes(failure, seed, whole)
    assert (seen.status is None) == (position is Position.START and fault is not Fault.GOAWAY_DRAIN)
    (asked,) = served.log.tries(key)
    assert asked.sent == len(seen.body)
    assert asked.processed == (fault not in UNPROCESSED)
    assert asked.ended == fault.value
    async with connected(served, protocol) as client:
        seen = await client.ask("POST", "/v1/messages", body, x_request_key=key, x_note=note)
    said = message(seed, version=1)
    assert seen.body == (stream.body(said) if is_streamed else said.document())
    assert list(served.log.broken(key)) == []


def expected_end(fault: Fault) -> str:
    match fault:
        case Fault.FIN | Fault.TLS_CLOSE | Fault.RST | Fault.SILENCE:
            return str(fault.value)
        case Fault.GOAWAY | Fault.GOAWAY_ABOVE:
            return "FIN"
        case Fault.RST_INTERNAL:
            return "INTERNAL_ERROR"
        case Fault.RST_CANCEL:
            return "CANCEL"
        case Fault.REFUSED:
            return "REFUSED_STREAM"
        case _:
            return "end"


def expected_bytes(failure: Failure, seed: int, whole: bytes) -> bytes:
    fault, position = failure.fault, failure.position
    if fault is Fault.GOAWAY_DRAIN:
        return whole
    if position is Position.START:
        return b""
    if position is Position.IN_BODY:
        return whole[: len(whole) // 2]
    if fault in STATUS_OF_ERROR:
        whole = whole[: stream.cut(message(seed), position)]
        return whole + bytes(stream.error(fault.value))
    ragged = seed % 2 == 1 and fault is not Fault.CLEAN_END
    return whole[: stream.cut(message(seed), position, ragged=ragged)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_script_counts_and_keys_have_their_own(protocol: str) -> None:
    async with fake_api(*[Status(529)] * 2) as served, connected(served, protocol) as client:
        served.script.add(Status(429, should_retry=False, retry_after=1.5), key="a")
        first = await client.ask("GET", "/v1/models", x_request_key="a.0")
        assert first.status == 429
        assert {(b"x-should-retry", b"false"), (b"retry-after", b"1.5")} <= set(first.fields)
        assert (await client.ask("GET", "/v1/models", x_request_key="a.1")).status == 200
        statuses = [(await client.ask("GET", "/v1/models")).status for _ in range(3)]
        assert statuses == [529, 529, 200]


async def test_a_connection_takes_its_other_streams_with_it() -> None:
    async with fake_api() as served, connected(served, "h2") as client:
        assert isinstance(client, Client2)
        served.script.add(Failure(Fault.SILENCE, Position.IN_TEXT), key="a")
        served.script.add(Failure(Fault.FIN, Position.IN_TEXT), key="b")
        silent = await client.begin("POST", "/v1/messages", asking(4), x_request_key="a")
        while not client.streams[silent].body:
            await client.read()
        client.h2.ping(b"12345678")
        while not client.acked:
            await client.tls.send_all(client.h2.data_to_send())
            await client.read()
        served.script.add(Failure(Fault.SILENCE, Position.START), key="c")
        await client.begin("POST", "/v1/messages", asking(5), x_request_key="c")
        seen = await client.ask("POST", "/v1/messages", asking(6), x_request_key="b")
        assert {seen.end, client.streams[silent].end} == {"FIN"}
    assert [asked.ended for asked in served.log.asked] == ["silence", "silence", "FIN"]


async def test_a_drained_connection_serves_what_it_has_and_takes_no_more() -> None:
    async with fake_api(Failure(Fault.GOAWAY_DRAIN)) as served, connected(served, "h2") as client:
        assert isinstance(client, Client2)
        seen = await client.ask("POST", "/v1/messages", asking(1))
        assert (bytes(seen.body), client.last) == (stream.body(message(1)), 1)
        assert await receive(client.tls) == "FIN"


async def test_what_a_client_resets_is_noted() -> None:
    async with fake_api() as served, connected(served, "h2") as client:
        assert isinstance(client, Client2)

        def endless(_request: Request) -> Answer:
            return Answer(200, (), iter(lambda: b"x" * 1000, b""))

        served.api.respond = endless
        number = await client.begin("GET", "/v1/models")
        while not client.streams[number].body:
            await client.read()
        client.h2.reset_stream(number, ErrorCodes.CANCEL)
        served.api.respond = None
        seen = await client.ask("GET", "/v1/models")
        assert seen.end == "end"
    assert [asked.ended for asked in served.log.asked] == ["by the client", "well"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_any_bytes_can_be_served(protocol: str) -> None:
    pieces = [b"\r\n", b"\xff", b"x" * 300_000]
    answer = Answer(200, ((b"x-a", b"b"),), pieces, trailers=((b"x-after", b"1"),))
    async with fake_api() as served, connected(served, protocol) as client:
        served.api.respond = lambda _request: answer
        seen = await client.ask("GET", "/")
        assert (bytes(seen.body), seen.end) == (b"".join(pieces), "end")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_idle_connection_is_closed(protocol: str) -> None:
    async with fake_api(idle_limit=0.01) as served, connected(served, protocol) as client:
        await client.ask("GET", "/v1/models")
        if isinstance(client, Client2):
            with trio.fail_after(patience(5)):
                while client.last is None:
                    await client.read()
            assert client.last == 1
        assert await receive(client.tls) == "FIN"


async def test_speaks_without_tls_too() -> None:
    async with (
        fake_api(is_tls=False) as served,
        await trio.open_tcp_stream("127.0.0.1", served.port) as tcp,
    ):
        await tcp.send_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        said = b"".join([bytes(piece) async for piece in tcp])
        assert said.startswith(b"HTTP/1.1 200 ")


def test_what_breaks_the_rules_is_found() -> None:
    log = Log()

    def ask(path: str, key: str, body: bytes = b"", **fields: str) -> None:
        named = tuple((name.encode(), value.encode()) for name, value in fields.items())
        fields_of = ((b"x-request-key", key.encode()), *named)
        request = Request("POST", path, fields_of, body, "h2", 1)
        log.note(request, None, processed=True)

    for _ in range(6):
        ask("/v1/messages", "six")
        ask("/v1/messages", "seven")
    ask("/v1/messages", "seven")
    ask("/v1/other", "once")
    ask("/v1/other", "twice")
    ask("/v1/other", "twice")
    ask("/v1/messages", "other body")
    ask("/v1/messages", "other body", b"{}")
    ask("/v1/messages", "other fields")
    ask("/v1/messages", "other fields", beta="1")
    found = {asked.request.key: list(log.broken(asked.request.key)) for asked in log.asked}
    assert found == {
        "six": [],
        "seven": ["7 tries of one request"],
        "once": [],
        "twice": ["processed twice, and not on the list"],
        "other body": ["its tries differ in their bodies"],
        "other fields": ["its tries differ in their header fields"],
    }
    early = log.asked[0].at - 1
    assert list(log.broken("six", content_at=early)) == ["sent again after content was committed"]


# Messages and where they are cut


def events_before(seed: int, position: Position) -> Iterator[stream.Event]:
    size = stream.cut(message(seed), position)
    for event in stream.events(message(seed)):
        if size <= 0:
            return
        size -= len(bytes(event))
        yield event
    assert size == 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["thinking", "text", "tool_use"])
def test_a_cut_in_a_block_is_within_it(seed: int, kind: str) -> None:
    position = Position(f"in {kind}")
    before = [event for event in events_before(seed, position) if "index" in event.data]
    starts = [event.data for event in before if "content_block" in event.data]
    assert starts[-1]["content_block"]["type"] == kind
    assert before[-1].kind != "content_block_stop"
    kinds = [start["content_block"]["type"] for start in starts]
    assert kinds.count(kind) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_other_cuts_are_where_they_say(seed: int) -> None:
    assert [*events_before(seed, Position.BETWEEN)][-1].kind == "content_block_stop"
    assert [*events_before(seed, Position.AFTER_DELTA)][-1].kind == "message_delta"
    assert [*events_before(seed, Position.AFTER_HEAD)] == []
    for position in Position:
        even = stream.cut(message(seed), position)
        ragged = stream.cut(message(seed), position, ragged=True)
        assert even < ragged
        assert not stream.body(message(seed))[:ragged].endswith(b"\n\n")


@pytest.mark.parametrize("seed", range(20))
def test_stream_and_document_say_the_same_and_versions_differ(seed: int) -> None:
    said = message(seed)
    assert b"".join(stream.pieces(said)) == stream.body(said)
    texts: dict[int, str] = {}
    for event in stream.events(said):
        if "delta" in event.data and "index" in event.data:
            delta = {n: v for n, v in event.data["delta"].items() if n not in {"type", "signature"}}
            text = texts.get(event.data["index"], "") + "".join(delta.values())
            texts[event.data["index"]] = text
    whole = [
        block.get("thinking") or block.get("text") or dumps(block["input"]) for block in said.blocks
    ]
    assert list(texts.values()) == whole
    again = message(seed, version=1)
    assert again.digest() != said.digest()
    assert [block["type"] for block in again.blocks] == [block["type"] for block in said.blocks]
