from pathlib import Path
from typing import Any, get_args

import pytest

from netns.private.shares import NAMES, Caller, shared
from relay.config import Share


def caller(home: str = "/home/me", **environment: Any) -> Caller:
    return Caller(7, home, "/work", environment)


@pytest.mark.parametrize(
    ("name", "environment", "paths"),
    [
        ("session-bus", {}, ["/run/user/7/bus"]),
        ("session-bus", {"XDG_RUNTIME_DIR": "/x"}, ["/x/bus"]),
        (
            "session-bus",
            {"DBUS_SESSION_BUS_ADDRESS": "tcp:path=/n;unix:path=/tmp/a%2cb,guid=0;unix:abstract=c"},
            ["/run/user/7/bus", "/tmp/a,b"],
        ),
        (
            "docker",
            {"DOCKER_HOST": "unix:///y/d.sock"},
            [
                "/y/d.sock",
                "/run/docker.sock",
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/home/me/.docker/run",
            ],
        ),
        ("podman", {"CONTAINER_HOST": "tcp://h:1"}, ["/run/podman", "/run/user/7/podman"]),
        ("podman", {"CONTAINER_HOST": "unix://x"}, ["/run/podman", "/run/user/7/podman"]),
        ("ssh-agent", {}, []),
        ("ssh-agent", {"SSH_AUTH_SOCK": "/tmp/ssh-x/agent.1"}, ["/tmp/ssh-x/agent.1"]),
        ("x11", {}, ["/tmp/.X11-unix", "/home/me/.Xauthority"]),
        ("x11", {"XAUTHORITY": "/run/x"}, ["/tmp/.X11-unix", "/run/x"]),
        ("wayland", {}, ["/run/user/7/wayland-0"]),
        ("wayland", {"WAYLAND_DISPLAY": "w"}, ["/run/user/7/w"]),
        ("wayland", {"WAYLAND_DISPLAY": "/w"}, ["/w"]),
    ],
)
def test_what_a_name_opens(name: str, environment: dict[str, str], paths: list[str]) -> None:
    assert list(shared(name, caller(**environment))) == paths


def test_gpg_opens_its_sockets_and_no_key() -> None:
    for environment, home in (({}, "/home/me/.gnupg"), ({"GNUPGHOME": "/g"}, "/g")):
        first, *sockets = shared("gpg-agent", caller(**environment))
        assert first == "/run/user/7/gnupg"
        assert f"{home}/S.gpg-agent" in sockets
        assert {path.removeprefix(home)[:3] for path in sockets} == {"/S."}


def test_who_has_no_home_shares_nothing_in_it() -> None:
    assert list(shared("gpg-agent", caller(""))) == ["/run/user/7/gnupg"]
    assert list(shared("x11", caller(""))) == ["/tmp/.X11-unix"]
    assert "/home" not in " ".join(shared("docker", caller("")))


def test_the_setting_takes_these_names() -> None:
    assert set(get_args(Share)) == set(NAMES)


def test_the_readme_says_of_each_what_it_opens() -> None:
    readme = (Path(__file__).parents[4] / "README.md").read_text()
    assert all(f"\n| `{name}` | " in readme for name in NAMES)
