"""Behind real proxies: squid with Basic by CONNECT, microsocks with a password by SOCKS5."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import trio

from relay.record.events import AskedAgain, DialFailed, Dialled
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.asking import (
    HTTP,
    TLS,
    answers,
    ask,
    explained,
    keepline_of,
    serve_api,
)
from tests.support.command.driver import inside
from tests.support.command.keepline import Keepline
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.stream import Position
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import source
from tests.support.internet.servers.real_proxies import (
    PASSWORD,
    USER,
    listening,
    start_microsocks,
    start_squid,
)
from tests.support.internet.world import CLIENT, GATEWAY, NAMES, SERVER, Internet

NAME = "server.test"
SOURCE = 19
NOBODY = 4
CLOSED = 8443
PORTS = {"http": 3128, "socks5": 1080}
MEGABYTES = 16 << 20
CREDENTIALS = f"{USER}:{quote(PASSWORD, safe='')}@"


@pytest.fixture(params=["http", "socks5"])
async def proxy(
    internet: Internet, nursery: trio.Nursery, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """Yield a proxy's scheme; it runs at the router, and alone leads out."""
    scheme: str = request.param
    internet.router.use_resolvers(NAMES)
    internet.zone.remove(NAME, "AAAA")
    if scheme == "http":
        start_squid(internet.router, GATEWAY, PORTS[scheme], [SOURCE, NOBODY])
    else:
        start_microsocks(internet.router, GATEWAY, PORTS[scheme])
    await listening(internet.router, GATEWAY, PORTS[scheme])
    with drop(internet.router, Packets(source=CLIENT, destination="203.0.113.0/24")):
        yield scheme


def url(scheme: str, credentials: str = CREDENTIALS) -> str:
    return f"{scheme}://{credentials}{GATEWAY}:{PORTS[scheme]}"


async def test_a_real_proxy(internet: Internet, nursery: trio.Nursery, proxy: str) -> None:
    await nursery.start(serve, source, listen(internet.server, SERVER, SOURCE))
    keepline = Keepline(internet)
    async with inside(keepline, ["--proxy", url(proxy)]) as program:
        got, said = await program(at.download, NAME, SOURCE, MEGABYTES)
        assert got == said
        assert await program(at.refused, NAME, NOBODY) == "ECONNREFUSED"
        told = await program(at.refused, "no-such.test", SOURCE)
        assert told in {"EHOSTUNREACH", "ECONNREFUSED"}
        if proxy == "http":
            assert await program(at.refused, NAME, CLOSED) == "EHOSTUNREACH"
        done = await program.session.end()
    assert done.all(Dialled)[0].proxy == f"{GATEWAY}:{PORTS[proxy]}"
    kinds = [event.kind for event in done.all(DialFailed)]
    assert kinds[0] is Kind.REFUSED
    if proxy == "http":
        assert kinds[1:] == [Kind.PROXY_FAILED, Kind.PROXY_DENIED]
    assert PASSWORD not in repr(done.events)


async def test_plain_http_by_a_real_proxy_that_allows_connect_for_tls_alone(
    internet: Internet, nursery: trio.Nursery, proxy: str
) -> None:
    """As Debian's squid does: a program that knows of no proxy is answered all the same."""
    await nursery.start(serve, Site(), listen(internet.server, SERVER, 80))
    words = ["curl", "-sS", f"http://{NAME}/", "--next", "-sS", "-d", "body", f"http://{NAME}/echo"]
    done = await Keepline(internet).run(*words, env={"ALL_PROXY": url(proxy)})
    assert done.stdout == b"hellobody"
    assert {event.proxy for event in done.all(Dialled)} == {f"{GATEWAY}:{PORTS[proxy]}"}
    assert not done.all(DialFailed)


@pytest.mark.parametrize("door", [TLS, HTTP], ids=["tls", "http"])
async def test_an_api_of_plain_http_is_asked_again_by_a_real_proxy(
    internet: Internet, nursery: trio.Nursery, proxy: str, door: tuple[str, ...]
) -> None:
    """Its base URL is at port 80, where squid allows no CONNECT: requests are forwarded."""
    api = await serve_api(internet, nursery, plain=(80,))
    api.script.add(*[Failure(Fault.FIN, Position.IN_TOOL_USE, pause=0.1)] * 2)
    own = {"ANTHROPIC_BASE_URL": f"http://{NAME}", "ALL_PROXY": url(proxy)}
    keepline = keepline_of(internet)
    done = await keepline.run(*ask("bun", "POST", "/v1/messages"), options=door, env=own)
    (answer,) = answers(done)
    assert (answer.status, answer.error) == (200, None)
    assert len(done.all(AskedAgain)) == 2
    assert len(api.log.asked) == 3
    assert {event.proxy for event in done.all(Dialled)} == {f"{GATEWAY}:{PORTS[proxy]}"}
    assert PASSWORD not in repr(done.events)


async def test_a_real_proxy_wants_credentials(internet: Internet, proxy: str) -> None:
    keepline = Keepline(internet)
    for wrong in ("", f"{USER}:wrong@"):
        async with inside(keepline, ["--proxy", url(proxy, wrong)]) as program:
            assert await program(at.refused, NAME, 443) == "EHOSTUNREACH"
            done = await program.session.end()
        assert done.only(DialFailed).kind is Kind.PROXY_CREDENTIALS
    assert "proxy_command" in "\n".join(await explained(keepline))
    command = f"printf '%s' '{USER}:{PASSWORD}'"
    async with inside(keepline, ["--proxy", url(proxy, ""), "--proxy-command", command]) as program:
        assert await program(at.refused, NAME, SOURCE) == "ECONNREFUSED"
