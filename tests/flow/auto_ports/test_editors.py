"""Lock files of editors open ports, and close them, by what is true of the process they name."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from relay.addresses import Destination
from relay.auto_ports.editors import MOST, EditorFolder, Editors
from relay.auto_ports.setup import EditorFolders, prepared
from relay.config import Settings
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.patience import DialError
from relay.policy.host_ports import HostItself, HostPorts
from relay.policy.policy import Policy
from relay.record.events import Event, HostPortClosed, HostPortOpened
from tests.support.machine.limits import at_the_limit
from tests.support.pace import patience

PORT = 4711


@contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that lives until it is killed."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


class Watched:
    """A folder of lock files that is watched for a session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.ports = HostPorts()
        self.events: list[Event] = []
        self.serving: set[tuple[int, int]] = set()
        """Process and port; a process has one socket, of its own number."""
        self.asked: list[tuple[int, int]] = []

    def serves(self, pid: int, port: int) -> frozenset[int]:
        self.asked.append((pid, port))
        return frozenset({pid} if (pid, port) in self.serving else ())

    def says(self, pid: int, port: int = PORT) -> Path:
        lock = self.path / f"{port}.lock"
        lock.write_text(json.dumps({"pid": pid, "transport": "ws"}))
        return lock

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(patience(5)):
            while not condition():  # noqa: ASYNC110 - there is no event for it
                await trio.sleep(0.01)

    async def opened(self, port: int = PORT) -> None:
        await self.until(lambda: self.ports.why(port))

    async def closed(self, port: int = PORT) -> None:
        await self.until(lambda: self.ports.why(port) is None)

    async def looked(self, times: int = 1) -> None:
        """Wait until somebody has been asked who serves, so many times more."""
        wanted = len(self.asked) + times
        await self.until(lambda: len(self.asked) >= wanted)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        folder = EditorFolder.opened(self.path)
        assert folder is not None
        editors = Editors(folder, self.ports, self.events.append, self.serves)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(editors.watch)
            yield
            nursery.cancel_scope.cancel()
        folder.close()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / ".claude/ide")


async def test_an_editor_that_runs_and_one_that_is_started_later(watched: Watched) -> None:
    with process() as first, process() as second:
        watched.serving = {(first.pid, PORT), (second.pid, PORT + 1)}
        lock = watched.says(first.pid)
        async with watched.running():
            await watched.opened()
            source = f"IDE lock file {lock}"
            assert watched.ports.why(PORT) == source
            assert watched.events == [HostPortOpened(port=PORT, source=source)]
            watched.says(second.pid, PORT + 1)
            await watched.opened(PORT + 1)
    assert watched.ports.why(PORT) is None  # the session has ended


async def test_its_end_closes_the_port(watched: Watched) -> None:
    with process() as editor:
        watched.serving = {(editor.pid, PORT)}
        lock = watched.says(editor.pid)
        async with watched.running():
            await watched.opened()
            editor.kill()
            await watched.closed()
            assert watched.events[1:] == [HostPortClosed(port=PORT, source=f"IDE lock file {lock}")]


async def test_so_does_the_end_of_its_lock_file(watched: Watched) -> None:
    with process() as editor:
        watched.serving = {(editor.pid, PORT)}
        lock = watched.says(editor.pid)
        async with watched.running():
            await watched.opened()
            lock.unlink()
            await watched.closed()
            watched.says(editor.pid)
            await watched.opened()


async def test_a_port_that_another_opens_too_stays_open(watched: Watched) -> None:
    watched.ports.open(PORT, "--host-port")
    with process() as editor:
        watched.serving = {(editor.pid, PORT)}
        lock = watched.says(editor.pid)
        async with watched.running():
            await watched.looked()
            lock.unlink()
            lock = watched.says(editor.pid, PORT + 1)
            await watched.looked(3)
    assert watched.ports.why(PORT) == "--host-port"
    assert watched.events == []


async def test_an_editor_that_listens_after_it_has_written(watched: Watched) -> None:
    with process() as editor:
        watched.says(editor.pid)
        async with watched.running():
            await watched.looked()
            watched.serving = {(editor.pid, PORT)}
            await watched.opened()


async def test_a_file_that_is_written_late_or_changed(watched: Watched) -> None:
    with process() as first, process() as second:
        watched.serving = {(first.pid, PORT), (second.pid, PORT)}
        lock = watched.path / f"{PORT}.lock"
        lock.touch()
        async with watched.running():
            watched.says(first.pid)
            await watched.opened()
            watched.says(second.pid)
            first.kill()
            await watched.looked(2)
            await watched.opened()


async def test_what_serves_no_longer_is_closed_at_the_next_change(watched: Watched) -> None:
    with process() as editor:
        watched.serving = {(editor.pid, PORT), (editor.pid, PORT + 1)}
        watched.says(editor.pid)
        async with watched.running():
            await watched.opened()
            watched.serving = {(editor.pid, PORT + 1)}
            watched.says(editor.pid, PORT + 1)
            await watched.opened(PORT + 1)
            await watched.closed()


_EDITOR = """
import socket, sys
def listen(port):
    sock = socket.create_server(("127.0.0.1", port))
    print(sock.getsockname()[1], flush=True)
    return sock
sock = listen(0)
port = sock.getsockname()[1]
for line in sys.stdin:
    sock.close()
    print("closed", flush=True)
    if line == "again\\n":
        sock = listen(port)
"""


@contextmanager
def editor() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a process that listens, and its port; by a line on stdin it closes, or listens anew."""
    command, pipe = [sys.executable, "-c", _EDITOR], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def tell(process: subprocess.Popen[str], line: str, lines: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    for _ in range(lines):
        process.stdout.readline()


async def test_who_listens_is_looked_at_before_each_connection(watched: Watched) -> None:
    """At the address that is dialled; another who has the port closes it, and is not reached."""
    itself, refusals = HostItself("198.18.0.2", ("host.internal",)), list[int]()
    loopback = HostLoopback(itself, watched.ports, Policy(), watched.events.append)

    async def reaches(address: str, port: int) -> bool:
        try:
            opened = await loopback.open(Destination(address, port), 1)
        except DialError as error:
            refusals.append(error.number)
            return False
        opened.sock.close()
        return True

    folder = EditorFolder.opened(watched.path)
    assert folder is not None
    with editor() as (process, port):
        watched.says(process.pid, port)
        editors = Editors(folder, watched.ports, watched.events.append)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(editors.watch)
            await watched.opened(port)
            assert await reaches("127.0.0.1", port)
            with socket.create_server(("127.0.0.5", port)):
                assert not await reaches("127.0.0.5", port)
            tell(process, "again", 2)
            assert await reaches("127.0.0.1", port)
            tell(process, "close", 1)
            assert not await reaches("127.0.0.1", port)
            assert watched.ports.why(port) is not None, "it may listen again"
            with socket.create_server(("127.0.0.1", port)):
                assert not await reaches("127.0.0.1", port)
                await watched.closed(port)
            nursery.cancel_scope.cancel()
    folder.close()
    assert refusals == [errno.ECONNREFUSED] * 3
    assert isinstance(watched.events[-1], HostPortClosed)


async def test_a_process_that_does_not_serve_opens_nothing(watched: Watched) -> None:
    with process() as other:
        watched.says(other.pid)
        async with watched.running():
            await watched.looked(3)
            assert watched.ports.why(PORT) is None
    assert watched.events == []


async def test_a_process_that_is_gone_opens_nothing(watched: Watched) -> None:
    with process() as other, process() as editor:
        other.kill()
        other.wait()
        watched.serving = {(other.pid, PORT), (editor.pid, PORT + 1)}
        watched.says(other.pid)
        watched.says(editor.pid, PORT + 1)
        async with watched.running():
            await watched.opened(PORT + 1)
            assert watched.ports.why(PORT) is None


async def test_what_is_no_plain_file_of_the_caller_s_says_nothing(
    watched: Watched, tmp_path: Path
) -> None:
    """A link, a second name and a FIFO could each be somebody else's to write."""
    with process() as editor:
        watched.serving = {(editor.pid, port) for port in range(1, 10)}
        content = json.dumps({"pid": editor.pid})
        outside = tmp_path / "outside"
        outside.write_text(content)
        (watched.path / "1.lock").symlink_to(outside)
        (watched.path / "2.lock").hardlink_to(outside)
        os.mkfifo(watched.path / "3.lock")
        (watched.path / "4.lock").mkdir()
        (watched.path / "5.lock.tmp").write_text(content)
        watched.says(editor.pid, 9)
        async with watched.running():
            await watched.opened(9)
    assert set(watched.asked) == {(editor.pid, 9)}


async def test_of_very_many_files_some_are_read(watched: Watched) -> None:
    with process() as editor:
        for port in range(1000, 1000 + 2 * MOST):
            watched.says(editor.pid, port)
        async with watched.running():
            await watched.looked(MOST)
    assert len(set(watched.asked)) == MOST


async def test_what_killed_editors_have_left_hides_none_that_is_new(watched: Watched) -> None:
    with process() as editor:
        watched.serving = {(editor.pid, 9999)}
        for port in range(1000, 1000 + 2 * MOST):
            os.utime(watched.says(editor.pid, port), (port, port))
        watched.says(editor.pid, 9999)
        async with watched.running():
            await watched.opened(9999)
            assert len(set(watched.asked)) <= MOST


async def test_another_folder_in_its_place_says_nothing(watched: Watched) -> None:
    with process() as editor:
        watched.serving = {(editor.pid, PORT), (editor.pid, PORT + 1)}
        async with watched.running():
            moved = watched.path.with_name("moved")
            watched.path.rename(moved)
            watched.path.mkdir()
            watched.says(editor.pid)
            watched.path = moved
            watched.says(editor.pid, PORT + 1)
            await watched.opened(PORT + 1)
            assert watched.ports.why(PORT) is None


def test_without_a_descriptor_left_nothing_is_watched(tmp_path: Path) -> None:
    with at_the_limit():
        assert EditorFolder.opened(tmp_path) is None
    with at_the_limit(spare=1), pytest.raises(OSError, match="Too many open files"):
        EditorFolder.opened(tmp_path)


def test_a_folder_that_others_can_write_is_none(tmp_path: Path) -> None:
    assert EditorFolder.opened(tmp_path / "none") is None
    folder = tmp_path / "ide"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert EditorFolder.opened(folder) is None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with an MCP server and a folder of lock files."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME", "OPENCODE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".claude/ide").mkdir(parents=True)
    (tmp_path / ".claude.json").write_text('{"mcpServers":{"a":{"url":"http://localhost:3000"}}}')
    return tmp_path


@dataclass
class Passed:
    """What a sandbox passes on."""

    passes_folders: bool = False


@contextmanager
def prepared_for(
    settings: Settings | None = None,
    passed: Passed | None = None,
) -> Iterator[tuple[set[int], EditorFolders, list[str]]]:
    told: list[str] = []
    with ExitStack() as opened:
        chosen, sandbox = settings or Settings(), passed or Passed()
        ports, editors = prepared(chosen, sandbox, told.append, opened)
        yield {each.first for each in ports}, editors, told


def test_what_is_open_from_the_start_and_what_is_watched(home: Path) -> None:
    with prepared_for() as (ports, editors, told):
        assert 3000 in ports
        assert editors.read_only == [str(home / ".claude/ide")]
        editors.trust([])
        assert editors.opened == []
    assert told == []


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("settings", [Settings(auto_ports=False), Settings(strict=True)])
def test_where_none_is_open_by_itself(settings: Settings) -> None:
    with prepared_for(settings) as (ports, editors, told):
        assert (ports, editors.opened, told) == (set(), [], [])


@pytest.mark.usefixtures("home")
def test_a_proxy_is_the_relay_s_unless_it_is_left_to_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://localhost:3128")
    with prepared_for() as (ports, _, _):
        assert 3128 not in ports
    with prepared_for(Settings(proxy="off")) as (ports, _, _):
        assert 3128 in ports


@pytest.mark.usefixtures("home")
def test_an_inherited_folder_leads_past_every_mount() -> None:
    with prepared_for(passed=Passed(passes_folders=True)) as (ports, editors, told):
        assert 3000 in ports
        assert editors.opened == []
    assert told == []


def test_a_folder_that_others_can_write_is_not_watched(home: Path) -> None:
    (home / ".claude/ide").chmod(0o777)
    with prepared_for() as (_, editors, told):
        assert editors.opened == []
    assert told == []


def test_why_editors_are_not_found_is_told(home: Path) -> None:
    with at_the_limit(spare=1), prepared_for() as (_, editors, told):
        assert editors.opened == []
        assert told == [
            f"no port of the host is opened by {home}/.claude/ide: inotify_init1: Too many open"
            " files"
        ]


def test_why_a_file_opens_nothing_is_told_in_a_line(home: Path) -> None:
    (home / ".codex/config.toml").mkdir(parents=True)
    (home / ".gemini/settings.json").mkdir(parents=True)
    with prepared_for() as (_, _, told):
        assert told == [
            "no port of the host is opened by ~/.codex/config.toml: it is not a regular file;"
            " ~/.gemini/settings.json: it is not a regular file"
        ]
