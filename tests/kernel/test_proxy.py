"""Behind a proxy, which alone leads out: real programs, their errors, outages, and the gateway."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.message
import dns.rcode
import pytest
import trio

from relay.record.events import (
    ConnectionClosed,
    DialFailed,
    DialHeld,
    Dialled,
    PathDown,
    PathUp,
    SessionStarted,
)
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.asking import (
    TLS,
    answers,
    ask,
    explained,
    keepline_of,
    other_authority,
    serve_api,
)
from tests.support.command.driver import Program, inside
from tests.support.command.keepline import Keepline
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import connect, listen, over_tls, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.servers.proxy import Proxy
from tests.support.internet.world import CLIENT, GATEWAY, NAMES, SECOND, SERVER, Internet
from tests.support.pace import within

NAME = "server.test"
"""No resolver is within reach: the proxy alone knows it."""
USER = "corp%5Cme:p%40ss"
PASSWORD = "p@ss"
PORT = 3128
ECHO = 7
OUTSIDE = "203.0.113.0/24"
AT_ONCE = 1.0
FORGOTTEN_WITHIN = 10.0


@dataclass
class Office:
    """A client whose way out is a proxy, on another host and on its own loopback."""

    internet: Internet
    keepline: Keepline
    proxy: Proxy
    serving: trio.Nursery
    scopes: list[trio.CancelScope] = field(default_factory=list)

    async def open(self) -> None:
        """Have the proxy listen, by HTTP at PORT and by SOCKS5 at the next one."""

        async def run(task_status: trio.TaskStatus[None]) -> None:
            with trio.CancelScope() as scope:
                self.scopes.append(scope)
                async with trio.open_nursery() as nursery:
                    for host, address in (
                        (self.internet.router, GATEWAY),
                        (self.internet.client, "127.0.0.1"),
                    ):
                        for number, handler in enumerate((self.proxy.http, self.proxy.socks)):
                            listener = listen(host, address, PORT + number)
                            await nursery.start(serve, handler, listener)
                    task_status.started()

        await self.serving.start(run)

    def end(self) -> None:
        """End the proxy, with all of its connections."""
        self.proxy.forget()
        for scope in self.scopes:
            scope.cancel()


@pytest.fixture
async def office(internet: Internet, nursery: trio.Nursery) -> AsyncIterator[Office]:
    async def reach(host: str, port: int) -> trio.SocketStream:
        assert host in {NAME, SERVER}
        return await connect(internet.server, SERVER, port)

    made = Office(internet, keepline_of(internet, internet.authority), Proxy(reach), nursery)
    await made.open()
    with drop(internet.router, Packets(source=CLIENT, destination=OUTSIDE)):
        yield made


def tls(office: Office, name: str) -> ssl.SSLContext:
    return office.internet.authority.server_context(name)


@asynccontextmanager
async def program(office: Office, *options: str, **variables: str) -> AsyncIterator[Program]:
    async with inside(office.keepline, options, env=variables) as made:
        yield made


@pytest.mark.parametrize("host", [GATEWAY, "localhost"])
async def test_a_program_of_plain_sockets_is_proxied_by_name(office: Office, host: str) -> None:
    authority = office.internet.authority
    site = over_tls(Site(), authority.server_context(NAME))
    await office.serving.start(serve, site, listen(office.internet.server, SERVER, 443))
    office.proxy.credentials = f"corp\\me:{PASSWORD}"
    variables = {"https_proxy": f"http://{USER}@{host}:{PORT}/", "NPM_CONFIG_PROXY": "http://x"}
    script = f"env | grep -i '^[a-z_]*_proxy='; curl -sS https://{NAME}/"
    done = await office.keepline.run("sh", "-c", script, env=variables)
    assert done.stdout == b"KEEPLINE_PROXY=off\nhello"
    assert office.proxy.asked == [f"{NAME}:443"]
    assert not office.internet.zone.queries
    told = done.only(SessionStarted).proxy
    assert told == f"proxy http://{host}:{PORT} (https_proxy)"
    address = GATEWAY if host == GATEWAY else "127.0.0.1"
    assert done.only(Dialled).proxy == f"{host}:{PORT}"
    assert done.only(Dialled).address == address
    lines = "\n".join(await explained(office.keepline))
    assert told in lines
    assert PASSWORD not in repr(done.events) + lines


async def test_tls_with_a_proxy(office: Office) -> None:
    internet, proxy = office.internet, over_tls(office.proxy.http, tls(office, "proxy.test"))
    await office.serving.start(serve, proxy, listen(internet.router, GATEWAY, PORT + 2))
    site = over_tls(Site(), tls(office, NAME))
    await office.serving.start(serve, site, listen(internet.server, SERVER, 443))
    with internet.client.hosts_file.open("a") as hosts:
        hosts.write(f"{GATEWAY} proxy.test\n")
    script = f"curl -sS https://{NAME}/bytes/3000000 | wc -c; curl -sS https://{NAME}/"
    variables = {"ALL_PROXY": f"https://proxy.test:{PORT + 2}"}
    done = await office.keepline.run("sh", "-c", script, env=variables)
    assert done.stdout == b"3000000\nhello"
    assert office.proxy.asked == [f"{NAME}:443"] * 2
    assert {event.address for event in done.all(Dialled)} == {GATEWAY}


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_errors_are_what_the_proxy_has_met(office: Office, scheme: str) -> None:
    port = PORT + (scheme == "socks5")
    proxy, sites = office.proxy, office.internet
    await office.serving.start(serve, echo, listen(sites.server, SERVER, ECHO))
    options = ("--proxy", f"{scheme}://{GATEWAY}:{port}", "--deny", "bad.test")
    async with program(office, *options) as made:
        number = await made(at.open_connection, NAME, ECHO)
        await made(at.send, number, b"both ways")
        assert await made(at.receive, number, 9) == b"both ways"
        await made(at.end_sending, number)
        assert await made(at.receive_to_end, number) == (b"", "fin")
        number = await made(at.open_connection, SERVER, ECHO)
        await made(at.reset, number)
        asked = [f"{NAME}:{ECHO}", f"{SERVER}:{ECHO}"]
        assert proxy.asked == asked
        for status, reply, number_told in (
            (b"403 Blocked by the company", 2, "EHOSTUNREACH"),
            (b"503 Service Unavailable", 5, "ECONNREFUSED"),
        ):
            proxy.refuse, proxy.reply = b"HTTP/1.1 " + status + b"\r\n\r\n", reply
            assert await made(at.refused, NAME, 443) == number_told
            assert within(made.seconds, AT_ONCE)
        assert await made(at.refused, "127.0.0.1", PORT) == "ECONNREFUSED"
        with pytest.raises(OSError, match="failure in name resolution"):
            await made(at.look_up, "bad.test")
        done = await made.session.end()
    causes = [event.cause for event in done.all(DialFailed)]
    assert causes[0].startswith("the proxy denies it: ")
    assert causes[1].startswith("the proxy did not reach it: ")
    if scheme == "http":
        assert "403 Blocked by the company" in causes[0]
        assert "proxy's owner decides that" in "\n".join(await explained(office.keepline))
    assert done.all(DialFailed)[0].kind is Kind.PROXY_DENIED
    assert not sites.zone.queries


async def test_a_proxy_that_dies_is_an_outage(office: Office) -> None:
    await office.serving.start(serve, echo, listen(office.internet.server, SERVER, ECHO))
    async with program(office, HTTPS_PROXY=f"http://127.0.0.1:{PORT}") as made:
        number = await made(at.open_connection, NAME, ECHO)
        await made(at.send, number, b"?")
        assert await made(at.receive, number, 1) == b"?"
        office.end()
        _data, end = await made(at.receive_to_end, number)
        assert end == "ConnectionResetError"
        (address,) = await made(at.look_up, NAME)
        number = await made(at.begin_connecting, address, ECHO)
        held = await made.session.until(DialHeld)
        assert held.cause == f"http://127.0.0.1:{PORT}: Connection refused"
        await office.open()
        assert await made(at.connected, number, 10) == "connected"


async def test_what_is_forgotten_on_the_way_to_a_proxy_is_told_from_an_outage(
    internet: Internet, nursery: trio.Nursery
) -> None:
    async def reach(_host: str, port: int) -> trio.SocketStream:
        return await connect(internet.server, SERVER, port)

    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    await nursery.start(serve, Proxy(reach).http, listen(internet.server, SECOND, PORT))
    async with inside(Keepline(internet), ["--proxy", f"http://{SECOND}:{PORT}"]) as made:
        number = await made(at.open_connection, NAME, ECHO)
        internet.nat.forget()
        await made(at.send, number, b"?")
        assert await made(at.receive_to_end, number) == (b"", "ConnectionResetError")
        assert within(made.seconds, FORGOTTEN_WITHIN)
        closed = await made.session.until(ConnectionClosed)
        assert (closed.by, closed.how) == ("upstream", "timeout")
        number = await made(at.open_connection, NAME, ECHO)
        internet.backbone.unplug()
        await made(at.send, number, b"!")
        down = await made.session.until(PathDown)
        assert down.address == SECOND
        internet.backbone.plug()
        assert await made(at.receive, number, 1) == b"!"
        await made.session.until(PathUp)


async def test_what_no_proxy_names_is_resolved_and_dialled_directly(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    variables = {"ALL_PROXY": f"http://{GATEWAY}:{PORT}", "NO_PROXY": f"{NAME},203.0.113.0/24"}
    async with inside(Keepline(internet), env=variables) as made:
        for host in (NAME, SERVER):
            number = await made(at.open_connection, host, ECHO)
            await made(at.send, number, b"?")
            assert await made(at.receive, number, 1) == b"?"
        with pytest.raises(OSError, match=r"not known"):
            await made(at.look_up, f"no.{NAME}")
        assert await made(at.refused, "elsewhere.test", 443) == "ECONNREFUSED"
        done = await made.session.end()
    assert [event.proxy for event in done.all(Dialled)] == ["", ""]
    assert {query.name for query in internet.zone.queries} == {NAME, f"no.{NAME}"}


async def test_off_leaves_variables_to_programs(office: Office) -> None:
    variables = {"https_proxy": f"http://{USER}@{GATEWAY}:{PORT}"}
    script = 'echo "$https_proxy"'
    done = await office.keepline.run("sh", "-c", script, options=["--proxy=off"], env=variables)
    assert done.stdout.decode() == f"{variables['https_proxy']}\n"
    assert done.only(SessionStarted).proxy == ""


async def test_what_cannot_be_used_is_said_and_left_to_programs(office: Office) -> None:
    variables = {"https_proxy": "socks4://me:secret@proxy"}
    done = await office.keepline.run("sh", "-c", 'echo "$https_proxy"', env=variables)
    assert done.stdout == b"socks4://me:secret@proxy\n"
    assert "the proxy is left to programs, for https_proxy has a scheme" in done.stderr
    assert "secret" not in done.stderr
    done = await office.keepline.run("true", options=["--proxy=http://p/proxy.pac"], check=False)
    assert done.status == 125
    assert "--proxy: proxy is a PAC file" in done.stderr


async def test_doctor_tries_each_proxy(office: Office) -> None:
    variables = {
        "HTTPS_PROXY": f"http://{USER}@{GATEWAY}:{PORT}",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    told = (await office.keepline.call("doctor", env=variables)).stdout.decode()
    assert f"works   the way out: http://{GATEWAY}:{PORT}\n" in told
    assert "lacks   the way out: http://127.0.0.1:9: Connection refused\n" in told
    assert PASSWORD not in told


@pytest.mark.parametrize("host", [GATEWAY, "127.0.0.1"])
async def test_the_gateway_is_reached_and_reaches_the_api(office: Office, host: str) -> None:
    api = await serve_api(office.internet, office.serving)
    done = await office.keepline.run(
        *ask("node", "GET", f"https://{NAME}/v1/models"),
        options=TLS,
        env={"HTTPS_PROXY": f"http://{host}:{PORT}"},
    )
    assert answers(done)[0].status == 200
    assert api.log.connections == 1
    assert office.proxy.asked == [f"{NAME}:443"]


async def test_status_names_the_proxies_of_a_session_and_of_a_connection(office: Office) -> None:
    await office.serving.start(serve, echo, listen(office.internet.server, SERVER, ECHO))
    async with program(office, https_proxy=f"http://{USER}@{GATEWAY}:{PORT}") as made:
        await made(at.look_up, NAME)  # it runs by now
        told = (await office.keepline.call("status")).stdout.decode()
        assert f"  proxy http://{GATEWAY}:{PORT} (https_proxy)\n" in told
        await made(at.open_connection, NAME, ECHO)
        await made.session.until(Dialled)
        told = (await office.keepline.call("status")).stdout.decode()
        assert f"through the proxy {GATEWAY}:{PORT}" in told
        assert PASSWORD not in told


async def test_a_proxy_of_http_1_0_that_ends_idle_tunnels(office: Office) -> None:
    """What it ends is told as it was, and the next connection is dialled as ever."""
    await office.serving.start(serve, echo, listen(office.internet.server, SERVER, ECHO))
    office.proxy.established = b"HTTP/1.0 200 Connection established\r\nProxy-agent: old\r\n\r\n"
    async with program(office, ALL_PROXY=f"http://{GATEWAY}:{PORT}") as made:
        for _ in range(2):
            number = await made(at.open_connection, NAME, ECHO)
            await made(at.send, number, b"?")
            assert await made(at.receive, number, 1) == b"?"
            await office.proxy.end_tunnels()
            assert await made(at.receive_to_end, number) == (b"", "fin")
        done = await made.session.end()
    closed = done.all(ConnectionClosed)
    assert [(event.by, event.how) for event in closed] == [("upstream", "fin")] * 2


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"])
async def test_a_proxy_that_looks_into_tls(office: Office, variable: str) -> None:
    """Its certificates are the company's: programs trust them, and so does the gateway."""
    company = other_authority(office.internet, "company")
    api = await serve_api(office.internet, office.serving, authority=company)
    trusting = {variable: str(company.file), "HTTPS_PROXY": f"http://{GATEWAY}:{PORT}"}
    office.keepline.environment.pop("NODE_EXTRA_CA_CERTS", None)
    asking = ask("node", "GET", f"https://{NAME}/v1/models")
    done = await office.keepline.run(*asking, options=TLS, env=trusting)
    assert answers(done)[0].status == 200
    assert api.log.connections == 1
    assert office.proxy.asked == [f"{NAME}:443"]
    if variable == "SSL_CERT_FILE":  # which Node does not read, but curl
        office.keepline.environment.pop("CURL_CA_BUNDLE", None)
        done = await office.keepline.run("curl", "-sS", f"https://{NAME}/v1/models", env=trusting)
        assert b"data" in done.stdout


async def test_nothing_about_a_name_is_asked_but_of_the_proxy(office: Office) -> None:
    office.proxy.reply = 2
    async with program(office, "--proxy", f"socks5://{GATEWAY}:{PORT + 1}") as made:
        for kind in ("A", "AAAA", "HTTPS", "TXT", "MX", "SRV", "NS", "PTR", "CAA", "ANY"):
            query = dns.message.make_query(f"secret.{NAME}", kind)
            answer = dns.message.from_wire(await made(at.ask, NAMES, query.to_wire()))
            assert answer.rcode() == dns.rcode.NOERROR
        await made(at.refused, f"other.{NAME}", 443)
    assert not office.internet.zone.queries
