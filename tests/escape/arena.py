"""The host of one level's attempts: a small internet, servers that listen for tokens, its files.

Each attempt has a token of its own. Whatever hears a token keeps it, so that all attempts share the
servers, the wire and the folders.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from netns import syscalls
from netns.process import idmap
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.wire import Capture
from tests.support.internet.world import CLIENT, GATEWAY, SERVER, Internet
from tests.support.machine.ordinary import Ordinary

from .levels import Caller, Level

HERE: Final = Path(__file__).parent
PUBLIC: Final = "45.67.89.0/24"
"""The internet of the attempts: `--strict` denies addresses for documentation without a rule."""
ALLOWED: Final = "45.67.89.10"
DENIED: Final = "45.67.89.66"
DENIED_NETWORK: Final = "45.67.89.64/28"
HIDDEN: Final = "45.67.89.90"
"""Denied by its name alone."""
METADATA: Final = "169.254.169.254"
LOOPBACK_PORT: Final = 7007
PORT: Final = 8080
OTHER_PORT: Final = 9999
"""At which nobody listens that may be reached."""

CLOSED_SOCKETS: Final = (
    "/run/dbus/system_bus_socket",
    "/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/avahi-daemon/socket",
)
BUS: Final = "/run/user/1/bus"
SYSTEMD: Final = "/run/user/1/systemd/private"
DOCKER: Final = "/run/docker.sock"
ABSTRACT: Final = ("@/tmp/.X11-unix/X77", "@keepline-escape")
_BELOW: Final = "below-tmp"
_SPARE: Final = ("/mnt", "/media", "/srv", "/opt")


@dataclass
class Arena:
    """Where the attempts of one level are made."""

    level: Level
    caller: Caller
    internet: Internet
    capture: Capture
    folder: Path
    python: str
    home: Path
    ordinary: Ordinary | None
    environment: dict[str, str]
    heard: bytearray = field(default_factory=bytearray)
    calls: str = ""
    """The program of C; empty where the machine has no compiler."""
    temporary: Path = Path("/tmp")

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs a command as the caller."""
        return self.ordinary.argv(*command) if self.ordinary else list(command)

    def own(self, path: Path) -> None:
        """Let the caller own a file."""
        if self.ordinary:
            os.chown(path, USER, USER)

    async def hear(self, stream: trio.abc.ReceiveStream) -> None:
        """Keep what comes first, and hang up: who asks a name service waits for no answer."""
        self.heard += await stream.receive_some()

    @property
    def agent(self) -> str:
        """The path of the ssh-agent's socket."""
        return str(self.temporary / "agent")

    @property
    def multiplexer(self) -> str:
        """The path of the terminal multiplexer's socket."""
        return str(self.temporary / "tmux")

    @property
    def keys(self) -> str:
        """The path of the gpg-agent's socket."""
        return str(self.home / ".gnupg/S.gpg-agent")


USER: Final = 4711


def spare_folder() -> Path:
    """Return a folder that is covered for the time of the run, and that nothing needs."""
    needed = [HERE, Path(sys.base_prefix), Path(sys.prefix)]
    for name in _SPARE:
        path = Path(name)
        if path.is_dir() and not any(path in each.resolve().parents for each in needed):
            return path
    raise OSError(f"none of {', '.join(_SPARE)} can be covered")


def cover_spare_folder() -> None:
    """Have all temporary files of this process in a file system that goes with it."""
    path = spare_folder()
    syscalls.mount("tmpfs", str(path), "tmpfs", 0, "mode=755")
    tempfile.tempdir = str(path)


@asynccontextmanager
async def open_arena(level: Level, caller: Caller) -> AsyncIterator[Arena]:
    """Make it; everything ends with the with statement."""
    async with AsyncExitStack() as undo:
        internet = undo.enter_context(Internet())
        nursery = await undo.enter_async_context(trio.open_nursery())
        undo.callback(nursery.cancel_scope.cancel)
        await nursery.start(internet.serve_names)
        temporary = _temporary()
        undo.callback(shutil.rmtree, temporary, ignore_errors=True)
        capture = undo.enter_context(Capture(internet.access))
        arena = _arena(level, caller, internet, capture, temporary)
        await _serve(arena, nursery)
        _add_names(internet)
        yield arena


def _temporary() -> Path:
    """Make a folder in the host's /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="keepline-escape-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


def _arena(
    level: Level, caller: Caller, internet: Internet, capture: Capture, temporary: Path
) -> Arena:
    is_other = caller == "user" and idmap.can_map_range()
    ordinary = Ordinary(internet) if is_other else None
    home = ordinary.home if ordinary else internet.directory / "home"
    home.mkdir(exist_ok=True)
    environment = (
        ordinary.environment
        if ordinary
        else {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(home)}
    )
    folder = internet.directory / "work"
    folder.mkdir()
    shutil.copytree(HERE / "programs", folder / "programs")
    python = os.path.realpath(sys.executable)
    arena = Arena(level, caller, internet, capture, folder, python, home, ordinary, environment)
    arena.temporary = temporary
    for path in (folder, temporary, home):
        arena.own(path)
    arena.calls = _compiled(folder)
    return arena


def _compiled(folder: Path) -> str:
    """Compile the program of C."""
    source, target = folder / "programs/calls.c", folder / "calls"
    argv = ["gcc", "-O1", "-Wall", "-Werror", "-o", str(target), str(source)]
    subprocess.run(argv, check=True)
    return str(target)


async def _serve(arena: Arena, nursery: trio.Nursery) -> None:
    """Listen wherever a token may come to."""
    internet = arena.internet
    for address in (ALLOWED, DENIED, HIDDEN, METADATA):
        internet.backbone.right.add_address(f"{address}/32")
    for network in (PUBLIC, f"{METADATA}/32"):
        internet.backbone.left.add_route(network, SERVER)
    places = [
        *((internet.server, ALLOWED, port) for port in (80, 443, PORT)),
        *((internet.server, DENIED, port) for port in (80, 443, PORT, OTHER_PORT)),
        *((internet.server, address, PORT) for address in (HIDDEN, METADATA)),
        (internet.server, "2001:db8:2::10", 80),
        (internet.router, GATEWAY, PORT),
        (internet.client, "127.0.0.1", LOOPBACK_PORT),
        (internet.client, CLIENT, LOOPBACK_PORT),
    ]
    await nursery.start(serve, arena.hear, *(listen(*place) for place in places))
    internet.client.call(lambda: syscalls.mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
    paths = [*CLOSED_SOCKETS, BUS, SYSTEMD, DOCKER, arena.agent, arena.multiplexer, arena.keys]
    for path in (*paths, *ABSTRACT):
        nursery.start_soon(serve, arena.hear, listen_at(arena, path))


def listen_at(arena: Arena, path: str) -> Any:
    """Listen at a path of the host's, or at an abstract name; everybody may connect."""
    return arena.internet.client.call(partial(_bound, path))


def _bound(path: str) -> Any:
    listener = socket.socket(socket.AF_UNIX)
    if path.startswith("@"):
        listener.bind(path.replace("@", "\0", 1))
    else:
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        listener.bind(path)
        Path(path).chmod(0o777)
    listener.listen(16)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listener))


def _add_names(internet: Internet) -> None:
    """Give denied places their names, and some that are not denied."""
    zone = internet.zone
    for name, address in (
        ("v4.test", ALLOWED),
        ("www.denied.test", HIDDEN),
        ("innocent.test", DENIED),
        ("loop.test", "127.0.0.1"),
        ("zero.test", "0.0.0.0"),
        ("metadata.test", METADATA),
        ("lan.test", GATEWAY),
        ("other.test", ALLOWED),
    ):
        zone.add(name, "A", address)
    zone.add("alias.test", "CNAME", "www.denied.test.")
    zone.add("far.test", "CNAME", "alias.test.")
    zone.add("two.denied.test", "A", DENIED)
    zone.add("several.test", "A", DENIED, ALLOWED)


def options_that_deny() -> Sequence[str]:
    """Return the rules of all attempts whose row has none of its own."""
    return ("--deny", DENIED_NETWORK, "--deny", "*.denied.test", "--deny", "denied.test")
