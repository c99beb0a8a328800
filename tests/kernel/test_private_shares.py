"""--share NAME opens one service of the host again: real clients and servers, four ways each.

Bare and at the default level a client reaches its service, with --strict it does not, and with
--strict --share NAME it does.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

import pytest
import trio

from netns import syscalls
from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet
from tests.support.machine.unix_servers import CONNECT, UnixServers
from tests.support.pace import patience

_DEADLINE: Final = 10


@dataclass
class Desktop:
    """A host on which a person's services run."""

    internet: Internet
    folder: Path
    """A short one in /tmp, as ssh-agent makes."""
    keepline: Keepline
    environment: dict[str, str] = field(default_factory=dict)

    def path(self, *names: str) -> str:
        """Return a path in the folder, whose folders are made."""
        path = self.folder.joinpath(*names)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(path)

    def over(self, folder: str) -> None:
        """Have a folder of the host that is the test's own."""

        def mount() -> None:
            with contextlib.suppress(FileExistsError):
                Path(folder).mkdir()
            syscalls.mount("tmpfs", folder, "tmpfs", 0, "mode=755")

        self.internet.client.call(mount)

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a service."""
        environment = self.keepline.environment | self.environment
        return self.internet.client.popen(argv, env=environment, stdout=subprocess.PIPE)

    def serve(self, path: str) -> None:
        """Have a service that accepts."""
        UnixServers(self.internet.client).serve(path)

    async def reaches(self, argv: Sequence[str], says: str, *options: str) -> bool:
        """Return whether a client reaches its service; with `options`, under keepline."""
        environment = self.keepline.environment | self.environment
        command = list(argv)
        if options:
            command = Keepline.argv("run", *options, "--", *argv)
        work = self.internet.directory / "work"
        work.mkdir(exist_ok=True)
        done = await self.internet.client.run_process(
            command, env=environment, cwd=work, check=False
        )
        assert done.returncode != 125, done.stderr
        return says in (done.stdout + done.stderr).decode()


@pytest.fixture
def desktop(internet: Internet) -> Iterator[Desktop]:
    with tempfile.TemporaryDirectory(prefix="d-", dir="/tmp") as made:
        folder = Path(made)
        desktop = Desktop(internet, folder, Keepline(internet))
        (internet.directory / "home").mkdir()
        (folder / "runtime").mkdir(mode=0o700)
        desktop.environment |= {
            "HOME": str(internet.directory / "home"),
            "XDG_RUNTIME_DIR": str(folder / "runtime"),
        }
        desktop.over("/run")
        yield desktop


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(patience(_DEADLINE)):
        while not condition():  # noqa: ASYNC110, there is no event to wait for
            await trio.sleep(0.01)


async def four_ways(desktop: Desktop, share: str, argv: Sequence[str], says: str) -> None:
    """Have a client try bare, at the default level, with --strict, and with the share."""
    ways: tuple[tuple[str, ...], ...] = (
        (),
        ("--gateway=off",),
        ("--strict",),
        ("--strict", f"--share={share}"),
        ("--strict", f"--share={share}", "--home=private"),
    )
    reached = [await desktop.reaches(argv, says, *options) for options in ways]
    assert reached == [True, True, False, True, True]


@pytest.mark.parametrize("place", ["tmp", "link"])
async def test_ssh_agent(desktop: Desktop, place: str) -> None:
    path = desktop.path("ssh-x", "agent.1")
    desktop.start("ssh-agent", "-D", "-a", path)
    await until(Path(path).exists)
    if place == "link":  # as for those who keep one name for all their agents
        link = f"{desktop.environment['HOME']}/agent"
        os.symlink(path, link)  # noqa: PTH211 - a test is no server
        path = link
    desktop.environment["SSH_AUTH_SOCK"] = path
    await four_ways(desktop, "ssh-agent", ["ssh-add", "-l"], "The agent has no identities")


@pytest.mark.parametrize("is_named", [True, False])
async def test_session_bus(desktop: Desktop, is_named: bool) -> None:
    address = f"unix:path={desktop.path('runtime', 'bus')}"
    bus = desktop.start(
        "dbus-daemon", "--session", f"--address={address}", "--nofork", "--print-address"
    )
    cast("IO[bytes]", bus.stdout).readline()
    if is_named:
        desktop.environment["DBUS_SESSION_BUS_ADDRESS"] = address
    bus_itself = "org.freedesktop.DBus"
    argv = ["dbus-send", "--session", "--print-reply", f"--dest={bus_itself}", "/"]
    await four_ways(desktop, "session-bus", [*argv, f"{bus_itself}.GetId"], "method return")


async def test_gpg_agent(desktop: Desktop) -> None:
    path = desktop.path("gnupg", "S.gpg-agent")
    desktop.environment["GNUPGHOME"] = os.path.dirname(path)  # noqa: PTH120
    desktop.start("gpg-agent", "--daemon", "sleep", "600")
    await until(Path(path).exists)
    await four_ways(desktop, "gpg-agent", [*CONNECT, path], "connected")


@pytest.mark.parametrize(
    ("share", "path", "variable", "value"),
    [
        ("docker", "/run/docker.sock", None, None),
        ("docker", "{}/engine/docker.sock", "DOCKER_HOST", "unix://{}/engine/docker.sock"),
        ("docker", "{}/runtime/docker.sock", None, None),
        ("podman", "{}/runtime/podman/podman.sock", None, None),
        ("podman", "/run/podman/podman.sock", None, None),
        ("wayland", "{}/runtime/wayland-7", "WAYLAND_DISPLAY", "wayland-7"),
        ("x11", "/tmp/.X11-unix/X77", "DISPLAY", ":77"),
    ],
)
async def test_others(
    desktop: Desktop, share: str, path: str, variable: str | None, value: str | None
) -> None:
    path = path.format(desktop.folder)
    if variable and value:
        desktop.environment[variable] = value.format(desktop.folder)
    if share == "x11":
        desktop.over("/tmp/.X11-unix")
    if path.startswith(str(desktop.folder)):
        desktop.path(path)
    elif share == "podman":
        desktop.internet.client.call(Path(path).parent.mkdir)
    desktop.serve(path)
    await four_ways(desktop, share, [*CONNECT, path], "connected")


async def test_a_terminal_multiplexer_of_the_host(desktop: Desktop) -> None:
    """Whoever reaches it can run commands outside: nothing shares it."""
    desktop.environment["TMUX_TMPDIR"] = str(desktop.folder)
    desktop.start("tmux", "new-session", "-d", "sleep 600").wait()
    argv = ["tmux", "list-sessions"]
    ways: tuple[tuple[str, ...], ...] = ((), ("--gateway=off",), ("--strict",))
    assert [await desktop.reaches(argv, "1 windows", *way) for way in ways] == [True, True, False]
    desktop.start("tmux", "kill-server").wait()


async def test_sharing_one_opens_no_other(desktop: Desktop) -> None:
    agent, other = desktop.path("ssh-x", "agent.1"), desktop.path("ssh-x", "other")
    bus = desktop.path("runtime", "bus")
    desktop.environment["SSH_AUTH_SOCK"] = agent
    for path in (agent, other, bus):
        desktop.serve(path)
    environment = desktop.environment
    argv = ["--strict", "--share=ssh-agent"]
    done = await desktop.keepline.run(*CONNECT, agent, other, bus, options=argv, env=environment)
    assert json.loads(done.stdout) == {agent: "connected", other: "ENOENT", bus: "ENOENT"}


async def test_a_service_that_does_not_run_is_no_error(desktop: Desktop) -> None:
    done = await desktop.keepline.run(
        "echo", "ran", options=["--strict", "--share=docker,x11"], env=desktop.environment
    )
    assert done.stdout == b"ran\n"


async def test_an_unknown_name_is_an_error_that_lists_them(desktop: Desktop) -> None:
    done = await desktop.keepline.run(
        "true", options=["--strict", "--share=doker"], env=desktop.environment, check=False
    )
    assert done.status == 125
    assert "doker" in done.stderr
    assert "session-bus, docker, podman, ssh-agent, gpg-agent, x11, wayland" in done.stderr
