"""Programs that refuse the session's certificate go past the gateway; the agent itself never does.

Each client trusts the API's own authority, and knows nothing of the session's. Bare it is answered
each time. Upstream, the gateway speaks HTTP/2, and none of these clients does: so the API's log
tells who has asked.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.record.events import Distrusted, WentPast
from tests.support.command.asking import TLS, URL, ask, explained, keepline_of, serve_api
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.api.server import Api
from tests.support.internet.world import Internet

MODELS: Final = f"{URL}/v1/models"
EXTRA: Final = "NODE_EXTRA_CA_CERTS"
CLIENTS: Final = Path(__file__).parents[1] / "support/command/clients"

FOUR_TIMES: Final = 'for each in 1 2 3 4; do "$@" >&2; echo "$?"; done'


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline, whose programs trust the internet's authority, and so does it."""
    return keepline_of(internet, internet.authority)


@pytest.fixture
async def api(internet: Internet, nursery: trio.Nursery) -> Api:
    """Serve https://server.test."""
    return await serve_api(internet, nursery)


# Who says so


def curl(_internet: Internet) -> list[str]:
    return [needs("curl"), "-sS", "--http1.1", MODELS]


def python(_internet: Internet) -> list[str]:
    fetch = "import sys; from urllib.request import urlopen; urlopen(sys.argv[1])"
    return [sys.executable, "-I", "-c", fetch, MODELS]


def s_client(_internet: Internet) -> list[str]:
    end = ["-brief", "-verify_return_error", "-connect", f"{URL.removeprefix('https://')}:443"]
    return [needs("openssl"), "s_client", *end]


def java(internet: Internet) -> list[str]:
    return [*_java(internet), str(CLIENTS / "Fetch.java"), "url", MODELS]


# Who closes without a word


def java_client(internet: Internet) -> list[str]:
    return [*_java(internet), str(CLIENTS / "Fetch.java"), "client", MODELS]


def node(internet: Internet) -> list[str]:
    """With the caller's own file in place of the session's."""
    own = f"{EXTRA}={internet.authority.file}"
    fetch = "fetch(process.argv[1]).then((a) => a.text(), () => process.exit(1))"
    return ["env", own, needs("node"), "-e", fetch, MODELS]


def git(_internet: Internet) -> list[str]:
    """By GnuTLS, on Debian; whatever it is answered, it was answered."""
    found = 'git ls-remote "$1" 2>&1 | grep "not found"'
    return ["sh", "-c", found, "sh", f"{URL}/a.git"]


def _java(internet: Internet) -> list[str]:
    store = internet.directory / "store.p12"
    if not store.exists():
        words = ["-importcert", "-noprompt", "-alias", "internet", "-storepass", "changeit"]
        files = ["-file", str(internet.authority.file), "-keystore", str(store)]
        subprocess.run([needs("keytool"), *words, *files], check=True, capture_output=True)
    trust = [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    return [needs("java"), "-XX:TieredStopAtLevel=1", *trust]


Client = Callable[[Internet], list[str]]
SAYING: Final[list[Client]] = [curl, python, s_client, java]
CLOSING: Final[list[Client]] = [java_client, node, git]


@pytest.mark.as_user_alone("keepline is not in it")
async def test_bare_all_are_answered(internet: Internet, api: Api, keepline: Keepline) -> None:
    for client in (*SAYING, *CLOSING):
        argv = ["sh", "-c", FOUR_TIMES, "sh", *client(internet)]
        done = await internet.client.run_process(argv, env=keepline.environment)
        assert done.stdout.split() == [b"0"] * 4, client


async def four_times(keepline: Keepline, argv: list[str]) -> tuple[Done, list[int]]:
    done = await keepline.run("sh", "-c", FOUR_TIMES, "sh", *argv, options=TLS)
    return done, [int(status) for status in done.stdout.split()]


@pytest.mark.parametrize("client", SAYING)
async def test_who_says_that_it_refuses_is_refused_once(
    internet: Internet, api: Api, keepline: Keepline, client: Client
) -> None:
    done, statuses = await four_times(keepline, client(internet))
    assert [status == 0 for status in statuses] == [False, True, True, True]
    assert {asked.request.protocol for asked in api.log.asked} <= {"http/1.1"}
    distrusted = done.only(Distrusted)
    assert (distrusted.how, distrusted.goes_past) == ("refused the certificate", True)
    assert len(done.all(WentPast)) == 3
    _first, loss, past, *_rest = await explained(keepline)
    assert loss.endswith("the next connections of such programs go past the gateway")
    assert "a program that had refused the gateway's certificate went past it" in past
    assert "(3 times, until " in past


@pytest.mark.parametrize("client", CLOSING)
async def test_who_closes_without_a_word_is_believed_the_second_time(
    internet: Internet, api: Api, keepline: Keepline, client: Client
) -> None:
    """If another program believes the certificate, as the agent does that has started it."""
    agent = " ".join(ask("bun", "GET", MODELS))
    script = f"{agent} >&2; {FOUR_TIMES}"
    done = await keepline.run("sh", "-c", script, "sh", *client(internet), options=TLS)
    assert [status == b"0" for status in done.stdout.split()] == [False, False, True, True]
    assert [event.goes_past for event in done.all(Distrusted)] == [False, True]
    assert len(done.all(WentPast)) == 2


async def test_who_closes_without_a_word_may_have_been_killed(
    internet: Internet, api: Api, keepline: Keepline
) -> None:
    """As long as nobody believes the certificate, the agent has not been heard."""
    done, statuses = await four_times(keepline, node(internet))
    assert 0 not in statuses
    assert [event.goes_past for event in done.all(Distrusted)] == [False] * 4
    assert api.log.asked == []


# Who never does


async def test_each_program_is_judged_by_itself(
    internet: Internet, api: Api, keepline: Keepline
) -> None:
    """curl goes past; the program that heeds the variable does not."""
    curls = " ".join(curl(internet))
    asks = " ".join(ask("bun", "GET", MODELS))
    done = await keepline.run("sh", "-c", f"{curls}; {asks} && {curls} && {asks}", options=TLS)
    assert [asked.request.protocol for asked in api.log.asked] == ["h2", "http/1.1", "h2"]
    assert len(done.all(WentPast)) == 1


async def test_a_child_with_the_agents_library_is_refused_as_ever(
    internet: Internet, api: Api, keepline: Keepline
) -> None:
    """The agent's own connections matter more."""
    own = " ".join(["env", f"{EXTRA}={internet.authority.file}", *ask("bun", "GET", MODELS)])
    asks = " ".join(ask("bun", "GET", MODELS))
    script = f"{asks}; {own}; {own}; {own}; {own}; {asks}"
    done = await keepline.run("sh", "-c", script, options=TLS)
    assert [asked.request.protocol for asked in api.log.asked] == ["h2", "h2"]
    assert not done.all(WentPast)


@pytest.mark.parametrize("program", ["bun", "node"])
async def test_no_end_of_its_own_makes_the_agent_go_past(
    api: Api, keepline: Keepline, program: str
) -> None:
    """It is killed, and gives up, at every moment of its connections, before any was answered."""
    script = str(CLIENTS / "giving_up.mjs")
    done = await keepline.run(needs(program), script, MODELS, options=TLS)
    assert done.stdout.split()[-1] == b"200"
    assert not done.all(WentPast)
    assert {asked.request.protocol for asked in api.log.asked} == {"h2"}
