"""Dialling through a proxy: what it is asked for, what is left in the socket, what a failure is."""

import contextlib
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from relay.addresses import Destination
from relay.host.network import NetworkWatch
from relay.outbound import icmp
from relay.outbound.dialer import Dialer, Resolve
from relay.outbound.door import DeniedError, Door, Own
from relay.outbound.keepalive import KeepAlive
from relay.outbound.opener import Opener
from relay.outbound.patience import RESET, DialError
from relay.outbound.proxied.bridges import LAST_WORDS, Bridges
from relay.outbound.proxied.dialer import ProxiedDialer
from relay.outbound.proxied.proxies import Proxies, resolving
from relay.outbound.proxied.renewal import Renewal
from relay.outbound.proxied.secured import PAUSE
from relay.outbound.standing import Standing
from relay.policy.policy import Policy
from relay.proxies.routes import routes
from relay.record.events import DialHeld, Dialled, Event
from relay.record.kinds import Kind
from tests.support.inprocess.judges import open_door
from tests.support.internet.servers.listening import over_tls
from tests.support.internet.servers.proxy import Proxy
from tests.support.internet.servers.tls import Authority

KEEPALIVE = KeepAlive(idle=20, interval=5, count=3, user_timeout=300, rto_max=1000)
PATIENCE = 30.0
BANNER = b"SSH-2.0-server\r\n"
NAME = "api.example.com"
Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Dialling:
    """An opener through a proxy that runs in this process, in front of one server."""

    def __init__(self, policy: Policy, setting: str, variables: dict[str, str]) -> None:
        self.events: list[Event] = []
        self.looked_up: list[str] = []
        door, found = Door(policy), routes(setting, variables)
        assert found is not None
        known = resolving({"proxy.test": "127.0.0.1"}, self.lookup)
        self.direct = Dialer(self.lookup, KEEPALIVE, door)
        self.door, self.own, self.routes = door, Dialer(known, KEEPALIVE, door), found
        nursery = trio.lowlevel.current_task().parent_nursery
        assert nursery is not None
        self.bridges = Bridges(nursery, self.events.append)
        self.context: ssl.SSLContext | None = None
        self.renewal = Renewal()
        self.use_direct()

    def use_direct(self) -> None:
        self.opener = self.opener_of(None)

    def opener_of(self, dialer: ProxiedDialer | None) -> Opener:
        made = dialer or self.dialer_of(self.direct)
        return Opener(made, NetworkWatch(), Standing(), self.events.append, patience=PATIENCE)

    def dialer_of(self, direct: Dialer, resolve: Resolve | None = None) -> ProxiedDialer:
        proxies = Proxies(self.own, self.bridges, self.renewal, self.context)
        return ProxiedDialer(self.routes, direct, proxies, self.door, resolve)

    async def lookup(self, destination: Destination, *, fresh: bool) -> list[str]:
        self.looked_up.append(destination.host)
        return ["127.0.0.1"] if destination.host == "other.test" else ["192.0.2.1", "192.0.2.2"]

    async def banner(self, host: str = NAME, port: int = 22) -> bytes:
        """Dial, and return all that can be read at once after that."""
        opened = await self.opener.open(Destination(host, port), 1)
        with opened.sock as sock:
            assert isinstance(opened.destination, Own)
            assert opened.reached == sock.getpeername()
            data = b""
            while len(data) < len(BANNER):
                await trio.lowlevel.wait_readable(sock)
                data += sock.recv(100)
            return data


async def say_nothing(_stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def greet(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(BANNER)
        await stream.receive_some()


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        start = partial(trio.serve_tcp, handler, port, host="127.0.0.1", handler_nursery=nursery)
        (listener,) = await nursery.start(start)
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def proxied(
    scheme: str = "http",
    policy: Policy | None = None,
    *,
    host: str = "127.0.0.1",
    user: str = "",
    variables: bool = False,
    authority: Authority | None = None,
) -> AsyncIterator[tuple[Proxy, Dialling]]:
    async with serving(greet) as server:

        async def reach(_host: str, _port: int) -> trio.SocketStream:
            return await trio.open_tcp_stream("127.0.0.1", server)

        proxy = Proxy(reach)
        handler: Any = proxy.socks if scheme == "socks5" else proxy.http
        if authority is not None:
            handler = over_tls(handler, authority.server_context("proxy.test"))
        async with serving(handler) as port:
            url = f"{scheme}://{user}{host}:{port}"
            given = ("auto", {"ALL_PROXY": url}) if variables else (url, {})
            made = Dialling(policy or Policy(), *given)
            if authority is not None:
                made.context = authority.client_context()
                made.use_direct()
            yield proxy, made


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("piece", [1, 4096])
async def test_a_server_that_speaks_first_is_heard(scheme: str, piece: int) -> None:
    async with proxied(scheme) as (proxy, made):
        proxy.piece, proxy.with_first_bytes = piece, scheme == "http"
        assert await made.banner() == BANNER
        assert proxy.asked == [f"{NAME}:22"]
        assert made.looked_up == []
        (dialled,) = made.events
        assert isinstance(dialled, Dialled)
        assert dialled.proxy.startswith("127.0.0.1:")
        assert "through the proxy 127.0.0.1:" in dialled.text()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_credentials_and_an_address(scheme: str) -> None:
    async with proxied(scheme, user="me:pw@") as (proxy, made):
        proxy.credentials = "me:pw"
        assert await made.banner("203.0.113.7") == BANNER
        assert proxy.asked == ["203.0.113.7:22"]
        proxy.credentials = "me:other"
        with pytest.raises(DialError, match="the proxy wants") as told:
            await made.banner()
        assert told.value.kind is Kind.PROXY_CREDENTIALS


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_none_where_the_proxy_wants_some(scheme: str) -> None:
    async with proxied(scheme) as (proxy, made):
        proxy.credentials = "me:pw"
        with pytest.raises(DialError, match="the proxy wants") as told:
            await made.banner()
        assert told.value.kind is Kind.PROXY_CREDENTIALS


async def test_each_proxy_is_told_its_own_credentials_alone() -> None:
    async with serving(greet) as server:

        async def reach(_host: str, _port: int) -> trio.SocketStream:
            return await trio.open_tcp_stream("127.0.0.1", server)

        one, two = Proxy(reach), Proxy(reach)
        async with serving(one.http) as first, serving(two.http) as second:
            variables = {
                "https_proxy": f"http://me:one@127.0.0.1:{first}",
                "http_proxy": f"http://you:two@127.0.0.1:{second}",
            }
            made = Dialling(Policy(), "auto", variables)
            for port in (443, 80):
                assert await made.banner(port=port) == BANNER
    known = [b64encode(each) for each in (b"me:one", b"you:two")]
    told = [[each in b"".join(proxy.heads) for each in known] for proxy in (one, two)]
    assert told == [[True, False], [False, True]]


async def test_a_proxy_by_name_is_looked_up_here() -> None:
    async with proxied(host="proxy.test") as (_proxy, made):
        assert await made.banner() == BANNER
        assert made.looked_up == []  # its address is known
    async with proxied(host="other.test") as (_proxy, made):
        assert await made.banner() == BANNER
        assert made.looked_up == ["other.test"]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_what_a_proxy_denies_fails_at_once(scheme: str) -> None:
    async with proxied(scheme, variables=True) as (proxy, made):
        proxy.refuse, proxy.reply = b"HTTP/1.1 403 Not for you\r\n\r\n", 2
        with pytest.raises(DialError, match="the proxy denies it") as told:
            await made.banner(port=443)
        assert (told.value.code, told.value.kind) == (icmp.PROHIBITED, Kind.PROXY_DENIED)
        assert made.looked_up == []


async def test_what_no_program_of_the_web_asks_for_goes_past_a_proxy_that_denies_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Bare, the client of a company's database knows of no proxy."""
    async with serving(greet) as server, proxied(variables=True) as (proxy, made):
        proxy.refuse = b"HTTP/1.1 403 Not for you\r\n\r\n"

        async def nearby(*_arguments: object, **_words: object) -> list[str]:
            return ["127.0.0.1"]

        direct = Dialer(nearby, KEEPALIVE, open_door())
        opener = made.opener_of(made.dialer_of(direct))
        opened = await opener.open(Destination("db.corp.test", server), 1)
        with opened.sock:
            assert opened.reached == ("127.0.0.1", server)
        proxy.refuse = b"HTTP/1.1 503 Unavailable\r\n\r\n"  # it may not know the name
        (await opener.open(Destination("other.corp.test", server), 1)).sock.close()
        word = b"X-Squid-Error: ERR_CONNECT_FAIL 111\r\n"  # it has reached the host
        proxy.refuse = b"HTTP/1.1 503 Unavailable\r\n" + word + b"\r\n"
        with pytest.raises(DialError, match="did not reach it"):
            await opener.open(Destination("third.corp.test", server), 1)


async def test_where_neither_way_leads_the_proxys_word_is_told() -> None:
    async with proxied(policy=Policy(deny=["192.0.2.0/24"]), variables=True) as (proxy, made):
        proxy.refuse = b"HTTP/1.1 403 Not for you\r\n\r\n"
        with pytest.raises(DialError, match="the proxy denies it: 403 Not for you"):
            await made.banner("db.corp.test", 5432)
        assert made.looked_up == ["db.corp.test"]


async def test_a_proxy_that_is_away_is_an_outage_once_it_was_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = Dialling(Policy(), f"http://127.0.0.1:{port}", {})
    with pytest.raises(DialError, match="Connection refused") as told:
        await made.banner()
    assert told.value.code == icmp.REFUSED

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + BANNER)
            await stream.receive_some()

    async with serving(answer, port):
        assert await made.banner() == BANNER
    done = trio.Event()

    async def dial_again() -> None:
        assert await made.banner() == BANNER
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial_again)
        await trio.sleep(2)
        assert isinstance(made.events[-1], DialHeld)
        assert made.events[-1].cause == f"http://127.0.0.1:{port}: Connection refused"
        async with serving(answer, port):
            await done.wait()


async def test_a_proxy_that_hangs_up_is_asked_again_and_then_resets(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = []

    async def hang_up(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())
        await stream.aclose()

    async with serving(hang_up) as port:
        for scheme, times in (("http", 4), ("socks5", 8)):
            made = Dialling(Policy(), f"{scheme}://127.0.0.1:{port}", {})
            with pytest.raises(DialError, match="closed before it answered") as told:
                await made.banner()
            assert told.value.code == RESET
            assert len(asked) == times


async def test_what_is_no_proxy_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(greet) as port:
        for scheme in ("http", "socks5"):
            made = Dialling(Policy(), f"{scheme}://127.0.0.1:{port}", {})
            with pytest.raises(DialError, match="no proxy of this kind"):
                await made.banner()


async def test_a_proxy_that_answers_without_end_keeps_nobody_waiting() -> None:
    async def flood(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    async with serving(flood) as port:
        made = Dialling(Policy(), f"http://127.0.0.1:{port}", {})
        with pytest.raises(DialError, match="its answer does not end"), trio.fail_after(10):
            await made.banner()


async def test_a_proxy_that_is_silent_has_no_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(say_nothing) as port:
        for scheme in ("http", "socks5"):
            made = Dialling(Policy(), f"{scheme}://127.0.0.1:{port}", {})
            with pytest.raises(DialError, match="does not answer, for 30 s"):
                await made.banner()


async def test_a_name_is_judged_by_rules_for_names() -> None:
    async with proxied(policy=Policy(deny=["*.evil.test"])) as (proxy, made):
        with pytest.raises(DeniedError):
            await made.banner("a.evil.test")
        assert await made.banner() == BANNER
        assert proxy.asked == [f"{NAME}:22"]


async def test_an_address_is_judged_as_ever() -> None:
    async with proxied(policy=Policy(deny=["203.0.113.0/24"])) as (proxy, made):
        with pytest.raises(DeniedError):
            await made.banner("203.0.113.7")
        assert proxy.asked == []


async def test_rules_for_networks_allow_no_name() -> None:
    async with proxied(policy=Policy(["10.0.0.0/8", "b.test"])) as (proxy, made):
        with pytest.raises(DeniedError, match="its addresses are the proxy's to find out"):
            await made.banner("a.test")
        assert await made.banner("b.test") == BANNER
        assert await made.banner("10.0.0.1") == BANNER
        assert proxy.asked == ["b.test:22", "10.0.0.1:22"]


async def test_names_may_be_resolved_here_and_judged_by_address() -> None:
    async with proxied(policy=Policy(deny=["192.0.2.1"])) as (proxy, made):
        made.opener = made.opener_of(made.dialer_of(made.direct, made.lookup))
        assert await made.banner() == BANNER
        assert proxy.asked == ["192.0.2.2:22"]
        proxy.refuse = b"HTTP/1.1 403 Not for you\r\n\r\n"
        with pytest.raises(DialError, match="the proxy denies it"):
            await made.banner()


async def test_a_name_that_no_proxy_takes_is_not_asked_for() -> None:
    async with proxied() as (proxy, made):
        for name in (r"a\000b.test", "127.1", "2130706433", "0x7f000001"):
            with pytest.raises(DialError, match="characters that no proxy takes"):
                await made.banner(name)
        assert proxy.asked == []


async def test_no_proxy_is_dialled_directly() -> None:
    async with serving(greet) as server:
        made = Dialling(Policy(), "http://127.0.0.1:9", {"NO_PROXY": "127.0.0.1"})
        with pytest.raises(DeniedError):  # the host's loopback is no program's
            await made.opener.open(Destination("127.0.0.1", server), 1)


async def test_a_cancelled_dial_leaves_no_socket() -> None:
    async with serving(say_nothing) as port:
        made = Dialling(Policy(), f"http://127.0.0.1:{port}", {})
        with trio.move_on_after(0.05) as scope:
            await made.banner()
        assert scope.cancelled_caught  # a socket that is not closed warns, which is an error here


async def forwarded(made: Dialling, *pieces: bytes) -> tuple[bytes, str]:
    """Say something to a web server; return what comes, and how it ends."""
    opened = await made.opener.open(Destination("web.test", 80), 1)
    assert isinstance(opened.destination, Own)
    assert opened.carrier is not None
    assert opened.reached == opened.carrier.getpeername()
    data = b""
    async with trio.SocketStream(trio.socket.from_stdlib_socket(opened.sock)) as stream:
        for piece in pieces:
            await stream.send_all(piece)
        try:
            async for more in stream:
                data += more
        except trio.BrokenResourceError:
            return data, "reset"
    return data, "fin"


REQUEST = b"POST /a?b HTTP/1.1\r\nHost: other.test\r\nContent-Length: 4\r\n\r\nbo"


async def test_plain_http_is_forwarded_where_connect_is_for_tls_alone() -> None:
    async with proxied(user="me:pw@") as (proxy, made):
        proxy.refuse, proxy.forwards = b"HTTP/1.1 403 Not for you\r\n\r\n", True
        for asked in (["web.test:80", "http://web.test/a?b"], ["http://web.test/a?b"]):
            proxy.asked.clear()
            answer = await forwarded(
                made, REQUEST, b"dy", b"GET http://evil.test/ HTTP/1.1\r\n\r\n"
            )
            assert answer == (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody", "fin")
            assert proxy.asked == asked
        assert b"Proxy-Authorization: Basic" in proxy.heads[-1]
        assert b"evil.test" not in b"".join(proxy.heads)
        with trio.fail_after(5):
            await made.bridges.finish()


async def test_a_proxy_that_keeps_the_connection_of_a_request() -> None:
    async with proxied() as (proxy, made):
        proxy.refuse, proxy.forwards = b"HTTP/1.1 403 Not for you\r\n\r\n", True
        proxy.keeps = True
        with trio.fail_after(5):
            answer = await forwarded(made, REQUEST, b"dy")
        assert answer == (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "fin")


async def test_what_is_no_http_is_not_forwarded() -> None:
    async with proxied() as (proxy, made):
        proxy.refuse, proxy.forwards = b"HTTP/1.1 403 Not for you\r\n\r\n", True
        assert await forwarded(made, b"SSH-2.0-x\r\n\r\n") == (b"", "reset")
        assert await forwarded(made, b"CONNECT a.test:1 HTTP/1.1\r\nHost: a\r\n\r\n") == (
            b"",
            "reset",
        )
        assert proxy.asked == ["web.test:80"]
        proxy.refuse = b""
        assert proxy.forwards
        proxy.cuts = True
        assert await forwarded(made, REQUEST, b"dy") == (b"", "reset")


async def test_what_was_sent_last_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with proxied() as (proxy, made):
        proxy.refuse, proxy.forwards = b"HTTP/1.1 403 Not for you\r\n\r\n", True
        opened = await made.opener.open(Destination("web.test", 80), 1)
        began = trio.current_time()
        await made.bridges.finish()
        assert trio.current_time() - began == LAST_WORDS
        opened.sock.close()
        await made.bridges.finish()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("together", [False, True])
async def test_tls_with_a_proxy(authority: Authority, together: bool) -> None:
    secured = proxied("https", host="proxy.test", user="me:pw@", authority=authority)
    async with secured as (proxy, made):
        proxy.credentials, proxy.with_first_bytes = "me:pw", together
        opened = await made.opener.open(Destination(NAME, 22), 1)
        assert opened.carrier is not None
        assert opened.reached == opened.carrier.getpeername()
        async with trio.SocketStream(trio.socket.from_stdlib_socket(opened.sock)) as stream:
            assert await stream.receive_some() == BANNER
            await stream.send_all(b"bye")
            assert await stream.receive_some() == b""
        assert proxy.asked == [f"{NAME}:22"]
        with trio.fail_after(5):
            await made.bridges.finish()


async def test_a_refusal_within_tls(authority: Authority) -> None:
    async with proxied("https", host="proxy.test", authority=authority) as (proxy, made):
        proxy.refuse = b"HTTP/1.1 403 Not for you\r\n\r\n"
        with pytest.raises(DialError, match="the proxy denies it"):
            await made.banner(port=443)
        proxy.forwards = True
        answer = await forwarded(made, REQUEST, b"dy")
        assert answer == (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody", "fin")


async def test_a_proxy_that_is_not_trusted(authority: Authority) -> None:
    async with proxied("https", authority=authority) as (_proxy, made):  # by another name
        with pytest.raises(DialError, match="is not trusted") as told:
            await made.banner()
        assert told.value.kind is Kind.UNTRUSTED


async def test_no_tls_where_it_was_named(authority: Authority) -> None:
    async with serving(greet) as port:
        made = Dialling(Policy(), f"https://proxy.test:{port}", {})
        made.context = authority.client_context()
        made.use_direct()
        with pytest.raises(DialError, match="no TLS with") as told:
            await made.banner()
        assert told.value.kind is Kind.TLS


async def test_a_proxy_that_hangs_up_in_the_handshake(authority: Authority) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with serving(hang_up) as port:
        made = Dialling(Policy(), f"https://proxy.test:{port}", {})
        made.context = authority.client_context()
        made.use_direct()
        with pytest.raises(DialError, match="closed in the TLS handshake"):
            await made.banner()


async def test_what_still_comes_after_the_programs_end(
    authority: Authority, autojump_clock: trio.testing.MockClock
) -> None:
    """TLS has no half-close: the proxy is left once the answer pauses."""
    async with proxied("https", host="proxy.test", authority=authority) as (_proxy, made):
        opened = await made.opener.open(Destination(NAME, 22), 1)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(opened.sock)) as stream:
            began = trio.current_time()
            await stream.send_eof()
            data = b"".join([bytes(piece) async for piece in stream])
        assert data == BANNER
        assert trio.current_time() - began >= PAUSE
