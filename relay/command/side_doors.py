"""Commands that have somebody outside do their work, where keepline sees none of it; pure.

A client of a service of the host runs inside, and what it asks for does not. The list has those of
which that is known, by the name that is called or, where that is a link, by what it leads to;
whether an editor, a browser or ssh hands over depends on whether one runs already.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from relay.gateway.setup.command import Options, operands_of, started


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
    is_ssh: bool = False
    """It asks only if a master of ssh's is there for its destination, ssh_config(5)."""


class Host(Protocol):
    """What is to be known of the host."""

    def runs(self, names: Collection[str]) -> bool:
        """Return whether the caller has a process of one of these names."""

    def is_socket(self, path: str) -> bool:
        """Return whether a path is that of a socket."""

    def listening(self, name: str) -> Collection[str]:
        """Return the paths at which the caller's processes of a name listen."""

    def real_name(self, word: str) -> str:
        """Return the name of the file that a word of a command leads to; empty if there is none."""


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
    "ssh": Door("the ssh master that runs already", is_ssh=True),
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

_OF_SSH: Final = Options("BbcDEeFIiJLlmOoPpQRSWw")
_CONTROL_PATH: Final = r"(?i:\s*ControlPath(?:\s*=\s*|\s+)(.*))"
_HASH: Final = r"[0-9a-f]{40}"
"""What `%C` of a path stands for: whose it is cannot be told."""


def side_door(
    command: Sequence[str],
    environment: Mapping[str, str],
    share: Collection[str] | None,
    host: Host,
) -> tuple[str, str] | None:
    """Return the first program of a command that asks somebody outside, and whom, or None.

    `share`: what --strict leaves within reach, None without it.
    """
    for words in started(command):
        name = words[0].rpartition("/")[2] if words else ""
        door = DOORS.get(host.real_name(words[0]) if words else "") or DOORS.get(name)
        if door is not None and _asks(door, words, environment, share, host):
            return name, door.asks
    return None


def _asks(
    door: Door,
    words: Sequence[str],
    environment: Mapping[str, str],
    share: Collection[str] | None,
    host: Host,
) -> bool:
    """Return whether a program with such words asks somebody outside."""
    is_elsewhere = "://" in environment.get(door.variable, "").replace("unix://", "")
    is_out_of_reach = share is not None and door.share not in share
    if is_elsewhere or is_out_of_reach or set(words[1:2]) & _ASKS_NOBODY:
        return False
    is_not_asked = (
        (door.only_with and not set(door.only_with) & set(words))
        or any(word.partition("=")[0] in door.never_with for word in words)
        or (door.running and not host.runs(door.running))
        or (door.is_ssh and not _has_master(words, host))
    )
    return not is_not_asked


def _has_master(words: Sequence[str], host: Host) -> bool:
    """Return whether a master runs that ssh would ask.

    A path that is named is looked at. Where its settings name one, which may be made of anything,
    it is a path with the destination's name in it, or with a hash.
    """
    for path in _control_paths(words):
        if "%" not in path:
            return host.is_socket(path)
    destination = (operands_of(list(words[1:]), _OF_SSH) or [""])[0].removeprefix("ssh://")
    name = destination.rpartition("@")[2].partition("/")[0].partition(":")[0]
    paths = host.listening("ssh") if name else ()
    return any(name in path or re.search(_HASH, path) for path in paths)


def _control_paths(words: Sequence[str]) -> Iterator[str]:
    """Yield what the words name as a master's socket, the first of which holds."""
    for before, word in pairwise((*words, "")):
        if before == "-S":
            yield word
        elif before.startswith("-S"):
            yield before.removeprefix("-S")
        elif before.startswith("-o") and (
            option := re.fullmatch(_CONTROL_PATH, before.removeprefix("-o") or word)
        ):
            yield option[1]
