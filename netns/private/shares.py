"""Which sockets and files of the host each name of `--share` stands for; pure.

    session-bus   DBUS_SESSION_BUS_ADDRESS, or $XDG_RUNTIME_DIR/bus
    docker        DOCKER_HOST, /run/docker.sock, $XDG_RUNTIME_DIR/docker.sock, ~/.docker/run
    podman        CONTAINER_HOST, /run/podman, $XDG_RUNTIME_DIR/podman
    ssh-agent     SSH_AUTH_SOCK
    gpg-agent     $XDG_RUNTIME_DIR/gnupg, and the sockets of GNUPGHOME, ~/.gnupg by default
    x11           /tmp/.X11-unix, and XAUTHORITY, ~/.Xauthority by default
    wayland       WAYLAND_DISPLAY, a name in $XDG_RUNTIME_DIR or a path

What does not exist is not there either: such a service does not run, and the program is told so as
it is without keepline.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_ESCAPED: Final = re.compile("%([0-9a-fA-F]{2})")
_GPG_SOCKETS: Final = (
    *("S.gpg-agent", "S.gpg-agent.extra", "S.gpg-agent.browser", "S.gpg-agent.ssh"),
    *("S.scdaemon", "S.dirmngr", "S.keyboxd"),
)


@dataclass(frozen=True)
class Caller:
    """Who starts the command, and where."""

    uid: int
    home: str
    """Without a link on its way; empty if it has none."""
    folder: str
    """The working folder, without a link on its way."""
    environment: Mapping[str, str]
    registered_home: str = ""
    """What passwd(5) says, which HOME need not be; likewise."""

    @property
    def runtime(self) -> str:
        """Return the folder of its sockets, the XDG Base Directory Specification."""
        return self.environment.get("XDG_RUNTIME_DIR") or f"/run/user/{self.uid}"


def shared(name: str, caller: Caller) -> Sequence[str]:
    """Return the paths that a name of `--share` opens; relative ones are no paths of the host's."""
    return [path for path in _PATHS[name](caller) if path.startswith("/")]


def _session_bus(caller: Caller) -> list[str]:
    """Return the paths of a server address, D-Bus Specification: kind:key=value,...;kind:..."""
    address = caller.environment.get("DBUS_SESSION_BUS_ADDRESS", "")
    found = [f"{caller.runtime}/bus"]
    for one in address.split(";"):
        kind, _, keys = one.partition(":")
        for key in keys.split(",") if kind == "unix" else ():
            name, _, value = key.partition("=")
            if name == "path":
                found.append(_ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), value))
    return found


def _docker(caller: Caller) -> list[str]:
    return [
        *_of_address(caller, "DOCKER_HOST"),
        "/run/docker.sock",
        "/var/run/docker.sock",
        f"{caller.runtime}/docker.sock",
        *([f"{caller.home}/.docker/run"] if caller.home else ()),
    ]


def _podman(caller: Caller) -> list[str]:
    return [*_of_address(caller, "CONTAINER_HOST"), "/run/podman", f"{caller.runtime}/podman"]


def _of_address(caller: Caller, variable: str) -> list[str]:
    """Return the path of an address such as unix:///run/docker.sock."""
    scheme, _, path = caller.environment.get(variable, "").partition("://")
    return [path] if scheme == "unix" else []


def _ssh_agent(caller: Caller) -> list[str]:
    return [caller.environment.get("SSH_AUTH_SOCK", "")]


def _gpg_agent(caller: Caller) -> list[str]:
    home = caller.environment.get("GNUPGHOME") or (caller.home and f"{caller.home}/.gnupg")
    sockets = [f"{home}/{name}" for name in _GPG_SOCKETS] if home else []
    return [f"{caller.runtime}/gnupg", *sockets]


def _x11(caller: Caller) -> list[str]:
    cookie = caller.environment.get("XAUTHORITY") or (caller.home and f"{caller.home}/.Xauthority")
    return ["/tmp/.X11-unix", cookie]  # noqa: S108 - where X servers listen


def _wayland(caller: Caller) -> list[str]:
    display = caller.environment.get("WAYLAND_DISPLAY") or "wayland-0"
    return [display if display.startswith("/") else f"{caller.runtime}/{display}"]


_PATHS: Final[Mapping[str, Callable[[Caller], Sequence[str]]]] = {
    "session-bus": _session_bus,
    "docker": _docker,
    "podman": _podman,
    "ssh-agent": _ssh_agent,
    "gpg-agent": _gpg_agent,
    "x11": _x11,
    "wayland": _wayland,
}
NAMES: Final = tuple(_PATHS)
