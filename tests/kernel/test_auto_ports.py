"""Ports of the host that are open by themselves: for the real agent, and for nobody's own word."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from relay.auto_ports.owner import serves
from relay.record.events import (
    ConnectionOpened,
    Dialled,
    HostPortClosed,
    HostPortOpened,
    SessionEnded,
)
from tests.support.command import clients
from tests.support.command.asking import keepline_of
from tests.support.command.inside import inside
from tests.support.command.keepline import DEADLINE, Keepline, Session
from tests.support.command.programs import VERSIONS, needs_version
from tests.support.command.terminal import Terminal
from tests.support.internet.hosts import Host
from tests.support.internet.servers.api.answers import Answer, read, saying
from tests.support.internet.servers.api.log import Request
from tests.support.internet.servers.api.messages import Message
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.http import Exchange
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.world import SERVER, Internet
from tests.support.pace import patience

API: Final = "api.anthropic.com"
EDITOR: Final = Path(clients.__file__).with_name("editor.py")
NOTE: Final = {"type": "tool_use", "id": "toolu_1", "name": "mcp__probe__note", "input": {}}
SAID_LAST: Final = "It is noted."
MCP_PORT: Final = 3000
_KEY: Final = "sk-ant-not-a-key-of-anybody"


def respond(request: Request) -> Answer | None:
    """Have the tool used, and end when it was; the usual answer to whatever else it asks."""
    if (request.method, request.path.partition("?")[0]) != ("POST", "/v1/messages"):
        return None
    asked = read(request)
    has_run = '"tool_result"' in json.dumps(asked["messages"])
    blocks = ({"type": "text", "text": SAID_LAST},) if has_run else (NOTE,)
    return saying(Message(0, 0, blocks), streamed=asked.get("stream", False))


@dataclass
class Person:
    """Somebody with a home folder, who has told the agent all that it asks at its first start."""

    keepline: Keepline
    home: Path
    work: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def locks(self) -> Path:
        """Where editors write their lock files."""
        return self.home / ".claude/ide"

    def write(self) -> None:
        """Write the agent's own file."""
        (self.home / ".claude.json").write_text(json.dumps(self.settings))


@pytest.fixture
async def person(internet: Internet, nursery: trio.Nursery) -> Person:
    """Return somebody whose agent reaches its API."""
    api = Api()
    api.respond = respond
    internet.zone.add(API, "A", SERVER)
    handler = over_tls(api, context(internet.authority, API))
    await nursery.start(serve, handler, listen(internet.server, SERVER, 443))
    keepline = keepline_of(internet, internet.authority)
    home, work = keepline.folder / "home", keepline.folder / "home/work"
    (home / ".claude/ide").mkdir(parents=True)
    work.mkdir()
    ours = ("ANTHROPIC_", "CLAUDE", "GEMINI", "OPENAI", "OLLAMA")
    kept = {name: text for name, text in keepline.environment.items() if not name.startswith(ours)}
    keepline.environment = kept | {
        "HOME": str(home),
        "ANTHROPIC_API_KEY": _KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    settings = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [_KEY[-20:]], "rejected": []},
        "projects": {str(work): {"hasTrustDialogAccepted": True}},
    }
    made = Person(keepline, home, work, settings)
    made.write()
    return made


class Editor:
    """An editor of the host that has a lock file."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    async def line(self) -> str:
        """Return what it tells next."""
        assert self.process.stdout is not None
        with trio.fail_after(patience(DEADLINE)):
            read_line = self.process.stdout.readline
            return (await trio.to_thread.run_sync(read_line, abandon_on_cancel=True)).decode()[:-1]

    async def hears(self, *methods: str) -> None:
        """Wait until it has been sent all of these, in any order."""
        missing = set(methods)
        while missing:
            missing.discard(await self.line())


@asynccontextmanager
async def editor_of(person: Person, locks: Path | None = None) -> AsyncIterator[tuple[Editor, int]]:
    """Start an editor, and yield it and its port; it ends with the with statement."""
    words = [sys.executable, "-I", str(EDITOR), str(locks or person.locks), str(person.work)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = person.keepline.host.popen(words, env=person.keepline.environment, **pipes)
    editor = Editor(process)
    try:
        yield editor, int(await editor.line())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await trio.to_thread.run_sync(process.wait)


def session_of(keepline: Keepline) -> Session | None:
    """Return the only session, whoever has started it; None before it is there."""
    paths = list(keepline.sessions.glob("*.jsonl"))
    if not paths:
        return None
    pid = int(paths[0].stem.rpartition("-")[2])
    process = subprocess.Popen(["true"])
    process.wait()
    session = Session(process, keepline.sessions)
    session.pid = pid
    return session


HEARD: Final = ("initialize", "ide_connected", "tools/list")
"""What an editor is sent at least, once an agent has found it."""


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_agent_finds_an_editor_that_is_started_after_it(
    person: Person, version: str
) -> None:
    """It connects once the editor's port is open, and that closes when the editor ends."""
    keepline, agent = person.keepline, needs_version("claude", version)
    argv = ["env", "-C", str(person.work), *keepline.argv("run", "--", agent, "--ide")]
    async with Terminal(keepline.host, keepline.folder, keepline.environment, argv) as terminal:
        await terminal.runs("claude")
        async with editor_of(person) as (editor, port):
            await editor.hears(*HEARD)
            session = session_of(keepline)
            assert session is not None
            opened = await session.until(HostPortOpened)
            lock = person.locks / f"{port}.lock"
            assert (opened.port, opened.source) == (port, f"IDE lock file {lock}")
            to_editor = await session.until(ConnectionOpened, lambda event: event.port == port)
            number = to_editor.connection
            await session.until(Dialled, lambda event: event.connection == number)
            status = (await keepline.call("status")).stdout.decode()
            assert f"  {opened.text()}, used " in status
        assert (await session.until(HostPortClosed)).port == port
        os.kill(session.pid, signal.SIGTERM)
        await session.until(SessionEnded)
    assert not lock.exists()


@pytest.mark.as_user_alone("keepline is not in it")
@pytest.mark.parametrize("version", VERSIONS)
async def test_bare_an_agent_finds_an_editor_alike(person: Person, version: str) -> None:
    keepline, agent = person.keepline, needs_version("claude", version)
    # The agent and all it starts have the lock until they have ended: they write to its home still
    # when the terminal is gone.
    lock = str(keepline.folder / "lock")
    argv = ["flock", lock, "env", "-C", str(person.work), agent, "--ide"]
    async with (
        editor_of(person) as (editor, _),
        Terminal(keepline.host, keepline.folder, keepline.environment, argv),
    ):
        await editor.hears(*HEARD)
    with trio.fail_after(patience(DEADLINE)):
        await keepline.host.run_process(["flock", lock, "true"])


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_agent_without_a_terminal_looks_for_no_editor(
    person: Person, version: str
) -> None:
    """It is the same bare: the editor has heard nothing when the agent has given its answer."""
    words = [needs_version("claude", version), "-p", "Say it.", "--ide", "--output-format", "json"]
    async with editor_of(person) as (editor, port):
        bare = await person.keepline.host.run_process(
            words, env=person.keepline.environment, cwd=person.work
        )
        done = await person.keepline.run(*words, cwd=person.work)
        assert done.only(HostPortOpened).port == port
    assert json.loads(bare.stdout)["is_error"] is json.loads(done.stdout)["is_error"] is False
    assert await editor.line() == "", "it has ended without having been told anything"


async def answer_mcp(stream: trio.abc.Stream) -> None:
    """Serve MCP over HTTP without a session: each POST is answered by JSON."""
    exchange = Exchange(stream)
    while (request := await exchange.read_request()) is not None:
        body = b"".join([piece async for piece in exchange.read_body(request)])
        if request.method != "POST":
            await exchange.send_text("405 Method Not Allowed", "")
            continue
        message = json.loads(body)
        if "id" not in message:
            await exchange.send_head("202 Accepted", "Content-Length: 0")
            continue
        unknown = {"error": {"code": -32601, "message": "Method not found"}}
        told = {"result": _MCP[message["method"]]} if message["method"] in _MCP else unknown
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], **told}).encode()
        fields = "Content-Type: application/json", f"Content-Length: {len(answer)}"
        await exchange.send_head("200 OK", *fields)
        await exchange.send(answer)
        NOTED.append(message["method"])


NOTED: Final[list[str]] = []
_MCP: Final[dict[str, Any]] = {
    "initialize": {
        "protocolVersion": "2025-03-26",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "probe", "version": "1"},
    },
    "tools/list": {
        "tools": [{"name": "note", "description": "Note it", "inputSchema": {"type": "object"}}]
    },
    "tools/call": {"content": [{"type": "text", "text": "noted"}]},
}


@pytest.mark.parametrize(
    ("how", "version"),
    [("for the user", "2.1.143"), ("in this folder", "2.1.143"), ("for the user", "newest")],
)
async def test_an_agent_uses_an_mcp_server_of_the_host(
    person: Person, nursery: trio.Nursery, how: str, version: str
) -> None:
    NOTED.clear()
    listener = listen(person.keepline.host, "127.0.0.1", MCP_PORT)
    await nursery.start(serve, answer_mcp, listener)
    servers = {"probe": {"type": "http", "url": f"http://localhost:{MCP_PORT}/mcp"}}
    if how == "for the user":
        person.settings["mcpServers"] = servers
    else:
        person.settings["projects"][str(person.work)]["mcpServers"] = servers
    person.write()
    words = ["-p", "Note it.", "--allowedTools", "mcp__probe__note", "--output-format", "json"]
    agent = needs_version("claude", version)
    done = await person.keepline.run(agent, *words, cwd=person.work)
    assert json.loads(done.stdout)["result"] == SAID_LAST
    assert "tools/call" in NOTED
    opened = done.only(HostPortOpened)
    assert (opened.port, opened.source) == (MCP_PORT, "MCP server probe of ~/.claude.json")


@contextmanager
def served(host: Host) -> Iterator[tuple[int, int]]:
    """Yield process and port of a server of the host that no session is to reach."""
    script = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = host.popen([sys.executable, "-I", "-c", script], **pipes)
    assert process.stdout is not None
    yield process.pid, int(process.stdout.readline())  # it ends with the host


async def test_what_a_program_writes_opens_nothing(person: Person) -> None:
    """It writes a lock file that is true but for its author, a setting, and an environment.

    An editor that is found afterwards shows that all of it has been looked at.
    """
    with served(person.keepline.host) as (pid, port):
        words = inside("open_a_port", str(pid), str(port), str(person.home))
        async with person.keepline.start(*words, cwd=person.work) as session:
            assert json.loads(await session.readline()) == {
                "a lock file": "EROFS",
                "a lock file, as root of a namespace": "EROFS",
                "a lock file in a new folder": "written",
                "a setting": "written",
                "the port": "ECONNREFUSED",
            }
            async with editor_of(person, person.home / "moved/ide") as (_, opened):
                assert (await session.until(HostPortOpened)).port == opened
                elsewhere = listen(person.keepline.host, "127.0.0.5", opened)
                for line, met in (
                    (f"{port}", "ECONNREFUSED"),
                    (f"{opened}", "reached"),
                    (f"{opened} 127.0.0.5", "ECONNREFUSED"),  # where another server listens
                ):
                    session.write(f"{line}\n".encode())
                    assert (await session.readline()).decode() == f"{met}\n"
                await elsewhere.aclose()
                done = await session.end()
    assert [event.port for event in done.all(HostPortOpened)] == [opened]


async def test_a_process_of_another_network_serves_nothing_here(internet: Internet) -> None:
    with served(internet.client) as (pid, port):
        assert internet.client.call(lambda: serves(pid, port))
        with internet.router:
            server = socket.create_server(("127.0.0.1", port))
        with server:
            assert not internet.router.call(lambda: serves(pid, port))


async def test_a_working_folder_in_the_editors_folder_is_read_only_too(person: Person) -> None:
    script = "touch here; touch ../ide/there; ls -A"
    done = await person.keepline.run("sh", "-c", script, cwd=person.locks, check=False)
    assert done.stderr.count("Read-only file system") == 2
    assert (done.stdout, list(person.locks.iterdir())) == (b"", [])


async def test_a_folder_behind_links_is_read_only_by_each_of_its_names(person: Person) -> None:
    """The agent's folder is a link, as people have it who keep their settings elsewhere."""
    kept, own = person.home / "kept", person.home / "own"
    (person.home / ".claude").rename(kept)
    (person.home / ".claude").symlink_to(kept)
    (own / "ide").mkdir(parents=True)
    (person.home / "link").symlink_to(own)
    names = [".claude/ide", "kept/ide", "own/ide", "link/ide"]
    script = 'for each; do touch "$HOME/$each/1.lock"; done; ln "$HOME/kept/ide/there" "$HOME/more"'
    (kept / "ide/there").touch()
    env = {"CLAUDE_CONFIG_DIR": str(person.home / "link")}
    words = ["sh", "-c", script, "sh", *names]
    done = await person.keepline.run(*words, env=env, cwd=person.work, check=False)
    assert done.stderr.count("Read-only file system") == len(names)
    assert done.stderr.count("Invalid cross-device link") == 1, (
        "no second name for one that is there"
    )
    async with person.keepline.start("cat", env=env, cwd=person.work) as session:
        ports = []
        for locks in (kept / "ide", own / "ide"):
            async with editor_of(person, locks) as (_, port):
                ports.append(port)
                await session.until(HostPortOpened, lambda event: event.port == ports[-1])
        await session.end()


async def test_an_inherited_folder_is_no_way_around(person: Person) -> None:
    """By it a program may write to any folder, so that lock files say nothing then."""
    with served(person.keepline.host) as (pid, port):
        fd = os.open(person.home, os.O_RDONLY | os.O_DIRECTORY)
        lock = f"/proc/self/fd/{fd}/.claude/ide/{port}.lock"
        script = f"""echo '{{"pid":{pid}}}' >{lock} && echo written; read line"""
        words = ["sh", "-c", script]
        async with person.keepline.start(*words, cwd=person.work, pass_fds=(fd,)) as session:
            os.close(fd)
            assert await session.readline() == b"written\n"
            done = await session.end(b"\n")
    assert (person.locks / f"{port}.lock").exists()
    assert done.all(HostPortOpened) == []


async def test_none_is_open_by_itself(person: Person) -> None:
    person.settings["mcpServers"] = {"a": {"url": f"http://localhost:{MCP_PORT}"}}
    person.write()
    for option in ("--keepidle=20", "--no-auto-ports", "--strict", "--allow=a.example"):
        env = {"OPENAI_BASE_URL": "http://localhost:4000"}
        done = await person.keepline.run("true", options=[option], env=env, cwd=person.work)
        ports = {event.port for event in done.all(HostPortOpened)}
        assert ports == ({MCP_PORT, 4000} if option == "--keepidle=20" else set())
