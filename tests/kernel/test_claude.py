"""The real client, `claude`, loses answers of the fake API in the middle: bare, and under keepline.

It is asked to use a tool and told so in a finished block; then the answer is cut. Its version is
the one whose rules tests/chaos/clients/agent.mjs has.
"""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
import trio

from relay.record.events import AskedAgain, Dialled, NameRefused, RequestLost, SessionStarted
from tests.kernel.test_rules import denied, publish
from tests.support.command.asking import keepline_of
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.api.answers import Answer, read, saying
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.log import Request
from tests.support.internet.servers.api.messages import Message
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.api.stream import Position
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.servers.real_proxies import PASSWORD, USER, listening, start_squid
from tests.support.internet.world import CLIENT, GATEWAY, NAMES, SERVER, Internet

HOST: Final = "api.anthropic.com"
KEY: Final = "claude"
"""Its messages have this x-request-key; what else it asks for does not fail."""

TEXT: Final = {"type": "text", "text": "I will use the tool now."}
TOOL: Final = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "Bash",
    "input": {"command": "echo ran >> ran", "description": "leave a trace"},
}
SAID_LAST: Final = "It has run."

REPORTED: Final = "The socket connection was closed unexpectedly"

CUTS: Final = [
    pytest.param(Failure(Fault.FIN, Position.IN_TOOL_USE, pause=0.1), id="fin"),
    pytest.param(Failure(Fault.RST, Position.IN_TOOL_USE, pause=0.1), id="rst"),
    pytest.param(Failure(Fault.CLEAN_END, Position.IN_TOOL_USE), id="clean-end"),
    pytest.param(Failure(Fault.SILENCE, Position.IN_TOOL_USE), id="silence"),
]


def respond(request: Request) -> Answer | None:
    """Have the tool used, and end when it was; the usual answer to whatever else it asks."""
    if (request.method, request.path.partition("?")[0]) != ("POST", "/v1/messages"):
        return None
    asked = read(request)
    has_run = any(
        block["type"] == "tool_result"
        for message in asked["messages"]
        for block in message["content"]
        if isinstance(block, dict)
    )
    blocks = ({"type": "text", "text": SAID_LAST},) if has_run else (TEXT, TOOL)
    return saying(Message(0, 0, blocks), streamed=asked.get("stream", False))


@pytest.fixture
async def api(internet: Internet, nursery: trio.Nursery) -> Api:
    """Serve the API host."""
    api = Api()
    api.respond = respond
    internet.zone.add(HOST, "A", SERVER)
    handler = over_tls(api, context(internet.authority, HOST))
    await nursery.start(serve, handler, listen(internet.server, SERVER, 443))
    return api


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline, in a home that knows of no other session."""
    made = keepline_of(internet, internet.authority)
    home = made.folder / "home"
    home.mkdir()
    ours = ("ANTHROPIC_", "CLAUDE")
    kept = {name: text for name, text in made.environment.items() if not name.startswith(ours)}
    made.environment = kept | {
        "HOME": str(home),
        "ANTHROPIC_API_KEY": "not-a-key",
        "ANTHROPIC_CUSTOM_HEADERS": f"x-request-key: {KEY}",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return made


def claude() -> list[str]:
    """Return its command line."""
    words = ["-p", "Use the tool.", "--allowedTools", "Bash", "--output-format", "json"]
    return [needs("claude"), *words]


async def bare(keepline: Keepline) -> tuple[int, str, int]:
    """Run it without keepline: its status, its last words, and how often the tool ran."""
    done = await keepline.host.run_process(
        claude(), env=keepline.environment, cwd=keepline.folder, check=False
    )
    return done.returncode, result(done.stdout), runs_of_the_tool(keepline.folder)


def result(stdout: bytes) -> str:
    """Return its last words."""
    return str(json.loads(stdout)["result"])


def runs_of_the_tool(folder: Path) -> int:
    """Return how often the tool ran."""
    ran = folder / "ran"
    return len(ran.read_text().split()) if ran.exists() else 0


async def went_well(keepline: Keepline, *options: str) -> Done:
    """Run it under keepline: the tool has run once, and it knows of that."""
    done = await keepline.run(*claude(), options=options, cwd=keepline.folder)
    assert result(done.stdout) == SAID_LAST
    assert runs_of_the_tool(keepline.folder) == 1
    return done


@pytest.mark.as_user_alone("keepline is not in it")
async def test_bare_it_works_when_nothing_is_lost(api: Api, keepline: Keepline) -> None:
    assert await bare(keepline) == (0, SAID_LAST, 1)
    assert len(api.log.tries(KEY)) == 2


@pytest.mark.as_user_alone("keepline is not in it")
async def test_bare_a_cut_is_the_reported_error(api: Api, keepline: Keepline) -> None:
    api.script.add(Failure(Fault.FIN, Position.IN_TOOL_USE, pause=0.1), key=KEY)
    status, said, ran = await bare(keepline)
    assert (status, ran) == (1, 0)
    assert REPORTED in said


@pytest.mark.as_user_alone("keepline is not in it")
async def test_bare_a_clean_end_is_silently_wrong(api: Api, keepline: Keepline) -> None:
    api.script.add(Failure(Fault.CLEAN_END, Position.IN_TOOL_USE), key=KEY)
    assert await bare(keepline) == (0, TEXT["text"], 0)


@pytest.mark.parametrize("options", [(), ("--gateway=http",)], ids=["tls", "http"])
@pytest.mark.parametrize("failure", CUTS)
async def test_under_keepline_it_sees_nothing_of_it(
    api: Api, keepline: Keepline, failure: Failure, options: Sequence[str]
) -> None:
    api.script.add(failure, failure, key=KEY)
    done = await went_well(keepline, "--stream-silence=2", *options)
    assert len(done.all(AskedAgain)) == 2
    assert not done.all(RequestLost)
    assert len(api.log.tries(KEY)) == 4


async def test_in_a_strict_session_it_sees_nothing_of_it(api: Api, keepline: Keepline) -> None:
    failure = Failure(Fault.FIN, Position.IN_TOOL_USE, pause=0.1)
    api.script.add(failure, failure, key=KEY)
    done = await went_well(keepline, "--strict", f"--allow={HOST}")
    assert len(done.all(AskedAgain)) == 2
    assert not done.all(RequestLost)


async def way_out(internet: Internet, address: str) -> str:
    """Start squid on another host, and on this one too if it is to be here; return its URL."""
    internet.router.use_resolvers(NAMES)
    start_squid(internet.router, GATEWAY, 3128)
    await listening(internet.router, GATEWAY, 3128)
    if address == GATEWAY:
        return f"http://{USER}:{quote(PASSWORD)}@{GATEWAY}:3128"
    start_squid(internet.client, address, 3128, behind=GATEWAY)
    await listening(internet.client, address, 3128)
    return f"http://{address}:3128"


@pytest.mark.parametrize("address", [GATEWAY, "127.0.0.1"])
async def test_behind_a_proxy_it_sees_nothing_of_it(
    internet: Internet, api: Api, keepline: Keepline, address: str
) -> None:
    """The API is reached through it alone: a real one, on another host or on this one."""
    ends = (Fault.RST, Fault.GOAWAY, Fault.SILENCE, Fault.CLEAN_END)  # of rows 18 to 21 of chaos
    for end in ends:
        api.script.add(Failure(end, Position.IN_TOOL_USE, pause=0.1), key=KEY)
    keepline.environment["HTTPS_PROXY"] = await way_out(internet, address)
    with drop(internet.router, Packets(source=CLIENT, destination="203.0.113.0/24")):
        done = await went_well(keepline, "--stream-silence=2")
    assert len(done.all(AskedAgain)) == len(ends)
    assert not done.all(RequestLost)
    assert {event.proxy for event in done.all(Dialled)} == {f"{address}:3128"}


def through(how: str, keepline: Keepline) -> Sequence[str]:
    """Return a command line that runs it in another way than by its name."""
    agent, *words = claude()
    match how:
        case "env":
            return ["env", "X=1", agent, *words]
        case "sh -c":
            return ["sh", "-c", 'cd . && exec "$@"', "sh", agent, *words]
        case "timeout":
            return ["timeout", "60", agent, *words]
        case "a link":
            link = keepline.folder / "helper"
            link.symlink_to(agent)
            return [str(link), *words]
        case _:
            packages = Path(agent).parents[1]
            (keepline.folder / "node_modules").symlink_to(packages)
            return [needs("npx"), "--offline", "claude", *words]


@pytest.mark.parametrize("how", ["env", "sh -c", "timeout", "a link", "npx"])
async def test_it_is_known_by_what_runs_it(api: Api, keepline: Keepline, how: str) -> None:
    """Bare, the same cut is the reported error, whatever runs it."""
    api.script.add(Failure(Fault.FIN, Position.IN_TOOL_USE, pause=0.1), key=KEY)
    command = through(how, keepline)
    done = await keepline.run(*command, cwd=keepline.folder)
    assert result(done.stdout) == SAID_LAST
    assert runs_of_the_tool(keepline.folder) == 1
    assert len(done.all(AskedAgain)) == 1


async def test_its_preset_is_enough(
    internet: Internet, nursery: trio.Nursery, api: Api, keepline: Keepline
) -> None:
    await publish(internet, nursery, api, HOST)
    done = await went_well(keepline, "--presets=claude")
    assert denied(done) == []
    assert done.only(SessionStarted).rules.startswith("mode allowlist, preset claude, ")


async def test_a_denied_api_is_told_before_it_starts_and_at_the_end(
    api: Api, keepline: Keepline
) -> None:
    """It asks again and again, and says nothing for minutes."""
    options = ["--deny", HOST]
    async with keepline.start(*claude(), options=options, cwd=keepline.folder) as session:
        first = (await session.readline_of_stderr()).decode()
        assert first == (
            f"keepline: claude needs {HOST}:443, which this session denies (deny {HOST}); --allow"
            " and --deny change that\n"
        )
        await session.until(NameRefused, lambda event: event.count >= 2)
        session.process.send_signal(signal.SIGTERM)
        done = await session.end()
    assert f"{HOST}: denied by the rule deny {HOST}, " in done.stderr


@pytest.mark.parametrize("failure", CUTS)
async def test_what_is_not_held_it_gets_over(
    api: Api, keepline: Keepline, failure: Failure
) -> None:
    # One only: whether the client asks for a stream again or falls back depends on whether it has
    # read what came before the reset.
    api.script.add(failure, key=KEY)
    done = await went_well(keepline, "--stream-silence=2", "--hold=block")
    assert done.only(RequestLost).saw == "reset"
    assert len(api.log.tries(KEY)) == 3


@pytest.mark.parametrize("options", [(), ("--hold=block",)], ids=["message", "block"])
async def test_nothing_is_missed_after_the_stop_reason(
    api: Api, keepline: Keepline, options: Sequence[str]
) -> None:
    api.script.add(Failure(Fault.FIN, Position.AFTER_DELTA, pause=0.1), key=KEY)
    done = await went_well(keepline, *options)
    assert not done.all(AskedAgain)
    assert not done.all(RequestLost)
    assert len(api.log.tries(KEY)) == 2
