"""Real programs' dialogues with the proxy, over loopback: served, forwarded, refused in words."""

import base64
import errno
import socket
from contextlib import AsyncExitStack

import h11
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay.addresses import Destination
from relay.inbound.offer import Refusal
from relay.inbound.proxy import listener, requests
from relay.inbound.proxy.answers import reply
from relay.inbound.proxy.forwarded import ForwardedSocket
from relay.inbound.proxy.offer import ProxyOffer
from relay.inbound.proxy.secret import USER
from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    DialHeld,
    Dialled,
    ProxyRefused,
)
from relay.record.kinds import Kind
from relay.sockets import TCP_CLOSE, resets_on_close, state
from relay.tcp.connection import Connection, Handler
from tests.support.inprocess.proxy import LOGIN, SECRET, echo, proxied, until
from tests.support.inprocess.tcp import connected, read_all, read_until_reset
from tests.support.pace import patience

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
BASIC = base64.b64encode(f"{USER}:{SECRET.token}".encode())
OPEN = b"\x05\x01\x00"
BULK = bytes(range(256)) * (12 * 1024)


def connect(host: bytes = b"www.example:443", *fields: bytes) -> bytes:
    return b"\r\n".join((b"CONNECT %s HTTP/1.1" % host, b"Host: x", *fields, b"", b""))


def socks(name: bytes = b"www.example", port: int = 443, command: int = 1) -> bytes:
    return bytes([5, command, 0, 3, len(name)]) + name + port.to_bytes(2, "big")


async def take(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := await stream.receive_some(size - len(data))):
        data += more
    return data


async def answer(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Read an answer of HTTP to its end, and see that the connection ends with it."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    status, body = 0, b""
    while True:
        event = reader.next_event()
        if event is h11.NEED_DATA:
            reader.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert await stream.receive_some() == b""
            return status, body


async def test_a_tunnel_carries_what_was_sent_behind_its_head() -> None:
    async with proxied({"www.example": echo}) as it, it.program() as program:
        await program.send_all(connect() + b"hello")
        assert await take(program, len(ESTABLISHED) + 5) == ESTABLISHED + b"hello"
        await program.send_all(b", more")
        await program.send_eof()
        assert await read_all(program) == b", more"
        closed = await it.seen(ConnectionClosed)
        assert (closed.sent, closed.received, closed.how) == (11, 11, "fin")
        opened = it.only(ConnectionOpened)
        assert opened.to == "www.example:443"
        assert it.dialled == [("192.0.2.1", 443)]


async def test_a_request_that_comes_byte_by_byte() -> None:
    async with proxied({"www.example": echo}) as it, it.program() as program:
        for each in connect():
            await program.send_all(bytes([each]))
            await trio.testing.wait_all_tasks_blocked()
        assert await take(program, len(ESTABLISHED)) == ESTABLISHED
        await program.send_all(b"x")
        assert await take(program, 1) == b"x"


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_socks_by_name_and_by_address(secret: object) -> None:
    greeting = OPEN if secret is None else b"\x05\x02\x00\x02" + LOGIN
    said = b"\x05\x00" if secret is None else b"\x05\x02\x01\x00"
    by_address = b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"
    shown = SECRET if secret is not None else None
    async with proxied({"www.example": echo}, secret=shown) as it:
        for request in (socks(), by_address, socks(b"192.0.2.1")):
            async with it.program() as program:
                await program.send_all(greeting + request + b"hello")
                wanted = said + reply(0) + b"hello"
                assert await take(program, len(wanted)) == wanted
    assert {each.to for each in it.events if isinstance(each, ConnectionOpened)} == {
        "www.example:443",
        "192.0.2.1:443",
    }


async def test_bulk_both_ways() -> None:
    async with proxied({"www.example": echo}) as it, it.program() as program:
        await program.send_all(connect())
        await take(program, len(ESTABLISHED))
        got = bytearray()

        async def read() -> None:
            got.extend(await read_all(program))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await program.send_all(BULK)
            await program.send_eof()
        assert bytes(got) == BULK


class Web:
    """A server that keeps what was asked, and answers without closing by itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        reader, body = h11.Connection(h11.SERVER), b""
        request: h11.Request | None = None
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                reader.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return
        assert request is not None
        fields = [(name, value) for name, value in request.headers]
        self.asked.append((request.method, request.target, fields, body))
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert await stream.receive_some() == b""  # nothing stands behind the request


async def test_a_request_is_forwarded_and_nothing_behind_it() -> None:
    web = Web()
    async with proxied({"www.example": web.serve, "other.example": web.serve}) as it:
        async with it.program() as program:
            await program.send_all(
                b"POST http://www.example/a?b HTTP/1.1\r\nHost: other.example\r\n"
                b"Proxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n"
            )
            await program.send_all(b"3\r\none\r\n")
            await trio.testing.wait_all_tasks_blocked()
            await program.send_all(b"3\r\ntwo\r\n0\r\n\r\n")
            wanted = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            assert await take(program, len(wanted)) == wanted
            # A server that keeps the connection has the program think that it may be used again.
            await program.send_all(b"GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await program.receive_some() == b""
        assert [each[:2] for each in web.asked] == [(b"POST", b"/a?b")]
        _method, _target, fields, body = web.asked[0]
        assert dict(fields) == {
            b"host": b"www.example",
            b"transfer-encoding": b"chunked",
            b"x": b"1",
            b"connection": b"close",
        }
        assert body == b"onetwo"
        assert [each.address for each in it.events if isinstance(each, Dialled)] == ["192.0.2.1"]


async def test_a_large_body_is_forwarded_whole_and_alone() -> None:
    web = Web()
    async with proxied({"www.example": web.serve}) as it, it.program() as program:
        head = b"PUT http://www.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        await program.send_all(head % len(BULK) + BULK + b"GET http://other/ HTTP/1.1\r\n\r\n")
        assert (await take(program, 15)).startswith(b"HTTP/1.1 200 OK")
        assert web.asked[0][3] == BULK


async def test_a_program_that_ends_its_request_by_closing_its_side_is_answered() -> None:
    web = Web()
    async with proxied({"www.example": web.serve}) as it, it.program() as program:
        await program.send_all(b"GET http://www.example/ HTTP/1.0\r\n\r\n")
        await program.send_eof()
        assert (await read_all(program)).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (errno.ECONNREFUSED, 502, 5),
        (errno.ENETUNREACH, 504, 6),
        (errno.EPERM, 403, 2),
    ],
)
async def test_a_dial_that_fails_is_told_by_its_cause(number: int, status: int, code: int) -> None:
    async with proxied({"www.example": echo}, limit=0.2) as it:
        it.failures["192.0.2.1"] = number
        async with it.program() as program:
            await program.send_all(connect())
            told, body = await answer(program)
            assert told == status
            assert body.startswith(b"keepline: ")
        async with it.program() as program:
            await program.send_all(OPEN + socks())
            assert await read_all(program) == b"\x05\x00" + reply(code)
        assert len([each for each in it.events if isinstance(each, DialFailed)]) == 2


async def test_an_outage_is_held_and_the_program_is_connected_after_it() -> None:
    async with proxied({"www.example": echo}) as it, it.program() as program:
        it.failures["192.0.2.1"] = errno.ENETUNREACH
        await program.send_all(connect() + b"hello")
        await it.seen(DialHeld)
        del it.failures["192.0.2.1"]
        assert await take(program, len(ESTABLISHED) + 5) == ESTABLISHED + b"hello"
        assert it.only(Dialled).attempts > 1


async def test_a_program_that_gives_up_ends_the_dial() -> None:
    async with proxied({"www.example": echo}) as it:
        it.failures["192.0.2.1"] = 0
        async with it.program() as program:
            await program.send_all(connect())
            await until(lambda: bool(it.dialled))
        failed = await it.seen(DialFailed)
        assert failed.kind is Kind.PROGRAM_GONE


async def test_a_reset_of_the_server_is_the_programs() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        stream.socket.close()

    async with proxied({"www.example": reset}) as it, it.program() as program:
        await program.send_all(connect())
        await take(program, len(ESTABLISHED))
        await program.send_all(b"plain")
        assert await read_until_reset(program) == b""
        assert (await it.seen(ConnectionClosed)).how == "reset"


async def test_what_policy_denies_is_told_with_the_rule() -> None:
    async with proxied({"www.example": echo}, deny=["*.example:443"]) as it:
        async with it.program() as program:
            await program.send_all(connect())
            assert await answer(program) == (403, b"keepline: denied: *.example:443\n")
        async with it.program() as program:
            await program.send_all(b"GET http://www.example:443/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(program))[0] == 403
        async with it.program() as program:
            await program.send_all(OPEN + socks())
            assert await read_all(program) == b"\x05\x00" + reply(2)
        denials = [each for each in it.events if isinstance(each, ConnectionDenied)]
        assert [each.rule for each in denials] == ["*.example:443"] * 3
        assert not it.dialled


async def test_addresses_of_names_are_judged() -> None:
    async with proxied({"www.example": echo}, deny=["192.0.2.0/24"]) as it:
        async with it.program() as program:
            await program.send_all(connect())
            status, body = await answer(program)
            assert status == 403
            assert b"192.0.2.0/24" in body
        assert not it.dialled


async def test_a_name_that_does_not_exist() -> None:
    async with proxied() as it, it.program() as program:
        await program.send_all(connect(b"none.example:443"))
        assert await answer(program) == (502, b"keepline: the name does not exist\n")


@pytest.mark.parametrize("place", [b"127.0.0.1", b"localhost", b"127.1", b"[::1]", b"0.0.0.0"])
async def test_the_hosts_loopback_is_closed_but_for_open_ports(place: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        to = place + b":%d" % port
        async with proxied() as it, it.program() as program:
            await program.send_all(connect(to))
            status, body = await answer(program)
            assert (status, b"no --host-port opens port" in body) == (502, True)
        async with proxied(host_ports=[port]) as it, it.program() as program:
            await program.send_all(connect(to))
            assert await take(program, len(ESTABLISHED)) == ESTABLISHED


async def test_a_proxy_does_not_lead_to_itself() -> None:
    async with proxied() as it:
        port = it.address[1]
    async with proxied(host_ports=range(max(port - 50, 1024), port + 50)) as it:
        async with it.program() as program:
            await program.send_all(connect(b"127.0.0.1:%d" % it.address[1]))
            assert (await answer(program))[0] == 502
        async with it.program() as program:
            await program.send_all(OPEN + socks(b"host.internal", it.address[1]))
            assert await read_all(program) == b"\x05\x00" + reply(5)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (connect(), 407),
        (connect(b"www.example:443", b"Proxy-Authorization: Basic eDp5"), 407),
        (b"GET http://www.example/ HTTP/1.1\r\nHost: x\r\n\r\n", 407),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (connect(b"www.example:0", b"Proxy-Authorization: Basic " + BASIC), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
async def test_who_does_not_know_the_token_is_not_served(request_: bytes, status: int) -> None:
    async with proxied({"www.example": echo}, secret=SECRET) as it, it.program() as program:
        await program.send_all(request_)
        assert (await answer(program))[0] == status
        assert it.only(ProxyRefused).how.startswith(f"HTTP/1.1 {status} ")
        assert not it.dialled


async def test_who_knows_it_is_served() -> None:
    async with proxied({"www.example": echo}, secret=SECRET) as it, it.program() as program:
        login = b"Proxy-Authorization: Basic " + BASIC
        await program.send_all(connect(b"www.example:443", login) + b"hello")
        assert await take(program, len(ESTABLISHED) + 5) == ESTABLISHED + b"hello"


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        (OPEN, b"\x05\xff"),
        (b"\x05\x01\x02\x01\x01a\x01b", b"\x05\x02\x01\x01"),
        (b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", b"\x00\x5b" + bytes(6)),
        (b"\x05\x02\x00\x02" + LOGIN + socks(command=2), b"\x05\x02\x01\x00" + reply(7)),
        (b"\x05\x02\x00\x02" + LOGIN + socks(command=3), b"\x05\x02\x01\x00" + reply(7)),
    ],
)
async def test_socks_that_is_not_served(messages: bytes, wanted: bytes) -> None:
    async with proxied({"www.example": echo}, secret=SECRET) as it, it.program() as program:
        await program.send_all(messages)
        assert await read_all(program) == wanted
        assert it.only(ProxyRefused).how.startswith("SOCKS: ")
        assert not it.dialled


async def test_a_refusal_reaches_a_program_that_still_sends() -> None:
    async with proxied(secret=SECRET) as it, it.program() as program:
        await program.send_all(b"POST http://www.example/ HTTP/1.1\r\nHost: x\r\n")
        await program.send_all(b"Content-Length: 300000\r\n\r\n" + bytes(300_000))
        assert (await answer(program))[0] == 407


async def test_programs_that_say_nothing_and_end_are_forgotten() -> None:
    async with proxied({"www.example": echo}) as it:
        for words in (b"", b"\x05", b"CONNECT", b"\x05\x01"):
            async with it.program() as program:
                if words:
                    await program.send_all(words)
                await program.send_eof()
                assert len(await read_all(program)) <= 400
        async with it.program() as program:
            await program.send_all(connect())
            assert await take(program, len(ESTABLISHED)) == ESTABLISHED


async def test_a_request_has_to_come_in_time(autojump_clock: MockClock) -> None:
    async with proxied() as it, it.program() as program:
        began = trio.current_time()
        await program.send_all(b"CONNECT")
        with trio.fail_after(10 * listener.HEAD):
            assert await read_until_reset(program) == b""
        assert trio.current_time() - began >= listener.HEAD


async def test_of_too_many_without_a_request_the_oldest_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "MOST", 2)
    async with proxied({"www.example": echo}) as it, it.program() as first:
        await first.send_all(b"C")
        await trio.testing.wait_all_tasks_blocked()
        async with it.program() as second, it.program() as third:
            assert await read_until_reset(first) == b""
            for each in (second, third):
                await each.send_all(connect())
                assert await take(each, len(ESTABLISHED)) == ESTABLISHED


def standing(programs: list[trio.SocketStream]) -> list[bool]:
    return [state(each.socket) != TCP_CLOSE for each in programs]  # type: ignore[arg-type]


async def test_of_many_at_once_no_more_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are accepted in one step, in which none of them has run yet; trio starts them in any
    order.
    """
    monkeypatch.setattr(listener, "MOST", 2)
    async with proxied() as it, AsyncExitStack() as opened:
        programs: list[trio.SocketStream] = []
        for _ in range(10):
            sock = socket.create_connection(it.address)
            sock.setblocking(False)
            made = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
            programs.append(await opened.enter_async_context(made))
        await until(lambda: sum(standing(programs)) == 2)


async def test_who_was_refused_and_stays_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST", 2)
    monkeypatch.setattr(listener, "LINGER", 1000)
    async with proxied(secret=SECRET) as it, AsyncExitStack() as opened:
        programs: list[trio.SocketStream] = []
        for _ in range(5):
            programs.append(await opened.enter_async_context(it.program()))
            await programs[-1].send_all(connect())
            assert (await answer(programs[-1]))[0] == 407
        for each in programs:
            await each.send_all(b"x")  # who is not there any more resets
        await until(lambda: standing(programs) == [False] * 3 + [True] * 2)


async def test_the_end_of_a_session_delivers_what_was_sent_last() -> None:
    got = bytearray()

    async def keep(stream: trio.SocketStream) -> None:
        got.extend(await read_all(stream))

    async with proxied({"www.example": keep}) as it:
        async with it.program() as program:
            await program.send_all(connect())
            await take(program, len(ESTABLISHED))
            await program.send_all(b"last words")
        it.listener.take_waiting(it.connections.start)
        await it.connections.finish()
        await until(lambda: bool(got))
        assert bytes(got) == b"last words"


async def test_an_offer_that_a_session_drops_closes_its_socket() -> None:
    async with proxied({"www.example": echo}) as it, it.program() as program:
        it.failures["192.0.2.1"] = 0
        await program.send_all(connect())
        await it.seen(ConnectionOpened)
        await it.connections.finish()
        assert (await answer(program))[0] == 504


class Server:
    """A gateway's stand-in: it reads what the program has asked, whole."""

    destination = Destination("www.example", 443)

    async def serve(self, connection: Connection) -> None:
        assert not connection.offer.is_held
        sock = await connection.offer.accept()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        asked = await stream.receive_some()
        await stream.send_all(b"read: " + asked)
        await stream.aclose()


async def test_a_path_below_the_token_is_left_to_the_gateway_unread() -> None:
    server = Server()

    def gateway(destination: Destination, _past: Handler) -> Handler | None:
        return server if destination == base_url else None

    base_url = ("127.0.0.1", 4430)
    async with proxied(secret=SECRET, base_url=base_url, gateway=gateway) as it:
        asked = f"GET {SECRET.path}/v1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        async with it.program() as program:
            await program.send_all(asked)
            assert await read_all(program) == b"read: " + asked
        for path in (b"/v1", b"/", b"/" + bytes(22)):
            async with it.program() as program:
                await program.send_all(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
                assert (await answer(program))[0] in {400, 404}


async def test_a_copy_of_a_forwarded_socket_is_a_plain_one() -> None:
    mine, other = connected()
    with other:
        request = requests.Reader(None).receive(b"GET http://h/ HTTP/1.0\r\n\r\n")
        assert isinstance(request, requests.Forward)
        with ForwardedSocket.of(mine, request) as sock, sock.dup() as copy:
            other.send(b"x")
            assert copy.recv(9) == b"x"
            assert sock.recv(9).startswith(b"GET / HT")


async def test_what_was_accepted_is_refused_by_a_reset() -> None:
    mine, other = connected()
    program = trio.SocketStream(trio.socket.from_stdlib_socket(other))
    offer = ProxyOffer(mine, ("127.0.0.1", 1), requests.Tunnel(("h", 1)), ("h", 1))
    with trio.fail_after(patience(20)):
        assert await offer.accept() is await offer.accept()
        offer.refuse(Refusal.HOST_UNREACHABLE)
        offer.refuse(Refusal.HOST_UNREACHABLE)
        assert not offer.has_time_wait(0)
        assert await read_until_reset(program) in {b"", ESTABLISHED}
    offer.close()
    await program.aclose()


async def test_a_reset_while_it_waits_is_a_withdrawal() -> None:
    mine, other = connected()
    request = requests.Reader(None).receive(b"GET http://h/ HTTP/1.0\r\n\r\n")
    assert isinstance(request, requests.Forward)
    offer = ProxyOffer(mine, ("127.0.0.1", 1), request, request.to)
    withdrawn = trio.Event()
    offer.on_withdrawal(withdrawn.set)
    resets_on_close(other)
    other.close()
    with trio.fail_after(patience(20)):
        await offer.watch()
        assert withdrawn.is_set()
    assert not offer.has_words
    offer.close()


async def test_a_request_by_a_path_that_comes_in_pieces_is_served_whole() -> None:
    """Its server reads the whole of it, also what had come before it was known to be one."""
    got = bytearray()

    class Server:
        destination = Destination("www.example", 443)

        async def serve(self, connection: Connection) -> None:
            sock = await connection.offer.accept()
            while not got.endswith(b"end"):
                await trio.lowlevel.wait_readable(sock)
                got.extend(sock.recv(4096))

    base_url = "127.0.0.1", 1
    head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    async with proxied(base_url=base_url, gateway=lambda _to, _past: Server()) as it:
        async with it.program() as program:
            for each in (head[:3], head[3:6], head[6:20], head[20:40], head[40:], b"end"):
                await program.send_all(each)
                await trio.testing.wait_all_tasks_blocked()
            await until(lambda: got.endswith(b"end"))
        assert bytes(got) == head + b"end"
