"""Commands that have somebody outside do their work, where keepline sees none of it; pure.

A client of a service of the host runs inside, and what it asks for does not. The list has those of
which that is known; whether an editor or a browser hands over depends on whether one runs already.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from relay.gateway.setup.command import unwrapped


class Door(NamedTuple):
    """Whom a program asks, and when."""

    asks: str
    """For people."""
    share: str = ""
    """The service by its name in `--share`, which --strict leaves within reach only if asked."""
    variable: str = ""
    """The variable that may name a host instead: then the relay sees a connection to it."""
    only_with: tuple[str, ...] = ()
    """It asks only if one of these is among its words."""
    running: tuple[str, ...] = ()
    """It asks only if a process of one of these names runs already."""
    never_with: tuple[str, ...] = ()
    """It asks nobody, but starts one of its own, if one of these is among its words."""
    socket: str = ""
    """It asks only if the word behind this one is a socket that is there."""


_DOCKER: Final = Door("the container engine", "docker", "DOCKER_HOST")
_REMOTE: Final = Door("the container engine", "podman", "CONTAINER_HOST")
_SYSTEMD: Final = Door("systemd", "session-bus")
_DESKTOP: Final = Door("the desktop", "session-bus")
_VIRTUAL: Final = Door("the daemon of virtual machines")
_CODE: Final = ("code", "code-insiders", "codium", "cursor", "windsurf", "zed-editor", "zed")
_CHROMIUM: Final = ("chrome", "chromium", "chromium-browse", "brave", "msedge")
_FIREFOX: Final = ("firefox", "firefox-esr", "firefox-bin")

DOORS: Final[Mapping[str, Door]] = {
    "docker": _DOCKER,
    "docker-compose": _DOCKER,
    "devcontainer": _DOCKER,
    "kind": _DOCKER,
    "minikube": _DOCKER,
    "nerdctl": Door("containerd"),
    "podman": _REMOTE._replace(only_with=("--remote", "-r")),
    "podman-remote": _REMOTE,
    "systemd-run": _SYSTEMD,
    "systemctl": _SYSTEMD._replace(only_with=("start", "restart", "reload", "enable")),
    "machinectl": Door("systemd-machined"),
    "flatpak-spawn": _DESKTOP._replace(only_with=("--host",)),
    "xdg-open": _DESKTOP,
    "gio": _DESKTOP._replace(only_with=("open",)),
    "lxc": _VIRTUAL,
    "incus": _VIRTUAL,
    "virsh": _VIRTUAL,
    "at": Door("atd"),
    "batch": Door("atd"),
    "emacsclient": Door("the Emacs server"),
    "ssh": Door("the ssh master that runs already", socket="-S"),
    "tmux": Door(
        "the tmux server that runs already", running=("tmux: server",), never_with=("-L", "-S")
    ),
    **dict.fromkeys(
        _CODE,
        Door("the editor that runs already", running=_CODE, never_with=("--user-data-dir",)),
    ),
    **dict.fromkeys(
        ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "brave-browser"),
        Door("the browser that runs already", running=_CHROMIUM, never_with=("--user-data-dir",)),
    ),
    **dict.fromkeys(
        ("firefox", "firefox-esr"),
        Door(
            "the browser that runs already",
            running=_FIREFOX,
            never_with=("--no-remote", "--profile", "-P", "--headless"),
        ),
    ),
}

_ASKS_NOBODY: Final = frozenset({"--version", "-v", "--help", "-h", "help", "version"})


def side_door(
    command: Sequence[str],
    environment: Mapping[str, str],
    share: Collection[str] | None,
    runs: Callable[[Collection[str]], bool],
    is_socket: Callable[[str], bool],
) -> tuple[str, str] | None:
    """Return the program of a command that asks somebody outside, and whom; None for all others.

    `share`: what --strict leaves within reach, None without it. `runs` returns whether the caller
    has a process of one of these names, `is_socket` whether a path is that of a socket.
    """
    words = unwrapped(command)
    name = words[0].rpartition("/")[2] if words else ""
    door = DOORS.get(name)
    if door is None or set(words[1:2]) & _ASKS_NOBODY:
        return None
    is_elsewhere = "://" in environment.get(door.variable, "").replace("unix://", "")
    is_out_of_reach = share is not None and door.share not in share
    if is_elsewhere or is_out_of_reach:
        return None
    is_not_asked = (
        (door.only_with and not set(door.only_with) & set(words))
        or any(word.partition("=")[0] in door.never_with for word in words)
        or (door.running and not runs(door.running))
        or (door.socket and not any(map(is_socket, _behind(door.socket, words))))
    )
    return None if is_not_asked else (name, door.asks)


def _behind(option: str, words: Sequence[str]) -> list[str]:
    return [word for before, word in pairwise(words) if before == option]
