"""Ports of the host's loopback, settings that name them, proxies, and who sees what comes of it."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.escape import witnesses
from tests.escape.arena import ALLOWED, DENIED, LOOPBACK_PORT, PORT
from tests.escape.attempts import Attempt
from tests.escape.row import Stage, Witness
from tests.support.internet.hosts import Host
from tests.support.internet.servers.listening import connect, listen, serve
from tests.support.internet.servers.proxy import Proxy
from tests.support.internet.world import CLIENT

_AT_ONCE: Final = 0.3
"""Seconds for a connection to an address of the host, where somebody listens or nobody does."""
_NAME: Final = "socket-maker"
_ANOTHER: Final = "127.1.2.3"
"""An address of the loopback that programs.ports dials too."""


@asynccontextmanager
async def listener(attempt: Attempt, address: str = "127.0.0.1") -> AsyncIterator[None]:
    """A server of the caller's at the host's loopback, and a home with a folder for editors."""
    arena = attempt.arena
    home = arena.home / f"{attempt.token}-home"
    ide = home / ".claude/ide"
    ide.mkdir(parents=True)
    for each in (home, ide.parent, ide):
        arena.own(each)
    async with _listening(attempt, address, 0) as (pid, port, stdout):
        attempt.kept |= {"heard": b"", "stdout": stdout}
        attempt.environment |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
        attempt.facts |= {"ide": str(ide), "listener": pid, "port": port}
        attempt.facts["settings"] = list(_settings(home, attempt.folder, port))
        attempt.kept["paths"] = [path for path, _text in attempt.facts["settings"]]
        yield


@asynccontextmanager
async def beside_an_editor(attempt: Attempt) -> AsyncIterator[None]:
    """The same, at an address where another server has the port of an editor."""
    async with listener(attempt, _ANOTHER):
        port = attempt.facts["port"]
        async with _listening(attempt, "127.0.0.1", port) as (pid, _port, _stdout):
            _write_lock(attempt, port, pid)
            yield


def _write_lock(attempt: Attempt, port: int, pid: int) -> None:
    """Say as an editor does that a process serves an agent."""
    lock = Path(attempt.facts["ide"], f"{port}.lock")
    lock.write_text(json.dumps({"pid": pid}))
    attempt.arena.own(lock)


@asynccontextmanager
async def _listening(
    attempt: Attempt, address: str, port: int
) -> AsyncIterator[tuple[int, int, int]]:
    """Start a server of the caller's; yield process, port, and from where its words are read."""
    arena = attempt.arena
    script = str(arena.folder / "programs/listener.py")
    process = arena.internet.client.popen(
        arena.argv(arena.python, "-I", "-S", script, address, str(port)), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        its_port = int(await trio.to_thread.run_sync(process.stdout.readline))
        os.set_blocking(process.stdout.fileno(), False)
        yield process.pid, its_port, process.stdout.fileno()
    finally:
        process.kill()
        await trio.to_thread.run_sync(process.wait)


def _settings(home: Path, folder: Path, port: int) -> list[tuple[str, str]]:
    """Return the files that name ports: this project's, and the user's own, also of agents."""
    server = f'{{"mcpServers": {{"own": {{"type": "http", "url": "http://127.0.0.1:{port}/"}}}}}}'
    return [
        (str(home / ".config/keepline/config.toml"), f"host_ports = [{port}]\n"),
        (str(folder / ".keepline.toml"), f"host_ports = [{port}]\n"),
        (str(folder / ".mcp.json"), server),
        (str(home / ".claude.json"), server),
        (str(home / ".claude/settings.json"), server),
        (str(home / ".codex/config.toml"), f'mcp_servers.own.url = "http://127.0.0.1:{port}/"\n'),
    ]


def listener_heard(attempt: Attempt) -> bool:
    """The server at the host's loopback heard the token."""
    with contextlib.suppress(BlockingIOError):
        attempt.kept["heard"] += os.read(attempt.kept["stdout"], 1 << 16)
    return attempt.token.encode() in attempt.kept["heard"]


def project(text: str) -> Stage:
    """Return a stage: the project's file, as it is at the start."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        path = attempt.folder / ".keepline.toml"
        path.write_text(text)
        attempt.arena.own(path)
        yield

    return stage


def rewriting(text: str) -> Stage:
    """Return a stage: settings of the user's and of the project, for the program to write."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        folder = attempt.arena.home / f"{attempt.token}-config"
        path = folder / "keepline/config.toml"
        path.parent.mkdir(parents=True)
        path.write_text("")
        for each in (folder, path.parent, path):
            attempt.arena.own(each)
        attempt.environment["XDG_CONFIG_HOME"] = str(folder)
        project_file = str(attempt.folder / ".keepline.toml")
        attempt.facts["settings"] = [(str(path), text), (project_file, text)]
        yield

    return stage


def served_at(address: str, port: int) -> Witness:
    """Return a witness: who connects to the server's port at an address of the host is served.

    At loopback it is a program of the host, at another address one of the local network.
    """

    def witness(attempt: Attempt) -> bool:
        internet = attempt.arena.internet
        host: Host = internet.router if address == CLIENT else internet.client
        return bool(host.call(partial(_sent, address, port)) == attempt.token.encode())

    return witness


def _sent(address: str, port: int) -> bytes:
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), _AT_ONCE) as connection,
    ):
        return connection.recv(4096)
    return b""


def _proxy(attempt: Attempt) -> str:
    """Return the URL of a proxy, with credentials; and let the session have a record of its own."""
    folder = attempt.arena.home / f"{attempt.token}-state"
    (folder / "keepline").mkdir(parents=True)
    for each in (folder, folder / "keepline"):
        attempt.arena.own(each)
    attempt.environment["XDG_STATE_HOME"] = str(folder)
    attempt.facts["folders"] = [str(folder)]
    return f"http://user:{attempt.secret}@{ALLOWED}:{PORT}"


@asynccontextmanager
async def proxy_of_environment(attempt: Attempt) -> AsyncIterator[None]:
    """A proxy with credentials, by the variables for it."""
    url = _proxy(attempt)
    attempt.environment |= dict.fromkeys(("HTTPS_PROXY", "https_proxy", "http_proxy"), url)
    yield


@asynccontextmanager
async def proxy_of_flag(attempt: Attempt) -> AsyncIterator[None]:
    """A proxy with credentials, by a flag."""
    attempt.keepline += ["--proxy", _proxy(attempt)]
    yield


@asynccontextmanager
async def proxy_of_file(attempt: Attempt) -> AsyncIterator[None]:
    """A proxy with credentials, by the user's settings."""
    url = _proxy(attempt)
    folder = attempt.arena.home / f"{attempt.token}-config"
    path = folder / "keepline/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'proxy = "{url}"\n')
    path.chmod(0o600)
    for each in (folder, path.parent, path):
        attempt.arena.own(each)
    attempt.environment["XDG_CONFIG_HOME"] = str(folder)
    attempt.facts["folders"].append(str(folder))
    yield


@asynccontextmanager
async def denied_proxy(attempt: Attempt) -> AsyncIterator[None]:
    """A proxy at a denied address, which the relay alone may dial."""
    attempt.keepline += ["--proxy", f"http://{DENIED}:{PORT}"]
    yield


@asynccontextmanager
async def proxy_at_loopback(attempt: Attempt) -> AsyncIterator[None]:
    """A proxy at the host's loopback, which the relay alone may dial."""
    attempt.environment["HTTPS_PROXY"] = f"http://127.0.0.1:{LOOPBACK_PORT}"
    yield


def proxy_that_resolves(port: int, *, is_near: bool = False) -> Stage:
    """Return a stage: a proxy for which each name is a denied address.

    If it is near, it is at the host's loopback, and each name is that loopback.
    """

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        internet = attempt.arena.internet
        its_host: Host = internet.client if is_near else internet.server
        address, target = ("127.0.0.1",) * 2 if is_near else (ALLOWED, DENIED)

        async def reach(_name: str, its_port: int) -> trio.SocketStream:
            return await connect(its_host, target, its_port)

        attempt.keepline += ["--proxy", f"http://{address}:{port}"]
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, Proxy(reach).http, listen(its_host, address, port))
            yield
            nursery.cancel_scope.cancel()

    return stage


def maker_ended(attempt: Attempt) -> bool:
    """The process that makes sockets is gone, and the relay that has it is not."""
    assert attempt.process is not None
    makers = [state for _pid, state in _makers(attempt) if state != "Z"]
    return not makers and attempt.process.poll() is None


def maker_opened(attempt: Attempt) -> bool:
    """It has a tracer, or the program holds what is its own."""
    for pid, _state in _makers(attempt):
        with contextlib.suppress(OSError):
            is_traced = "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
            if is_traced or witnesses.holds_what_is_of(attempt, pid):
                return True
    return False


def _makers(attempt: Attempt) -> list[tuple[int, str]]:
    """Return the pid and the state of what the relay has started by that name."""
    found = []
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{attempt.pid}/task/{attempt.pid}/children").read_text()
        for pid in text.split():
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
            if name.endswith(f"({_NAME}"):
                found.append((int(pid), rest[0]))
    return found


def written_for_later(attempt: Attempt) -> bool:
    """A file of the user's own settings names the port, and is there when the session ends."""
    port = str(attempt.facts["port"])
    own = [Path(path) for path in attempt.kept["paths"] if "-home" in path]
    return any(path.exists() and port in path.read_text() for path in own)
