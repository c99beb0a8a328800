"""Which commands have somebody outside do their work, and whom."""

from collections.abc import Collection, Mapping

import pytest

from relay.command.side_doors import DOORS, side_door

ENGINE = "the container engine"


def found(
    command: str,
    environment: Mapping[str, str] | None = None,
    share: Collection[str] | None = None,
    running: Collection[str] = (),
) -> tuple[str, str] | None:
    def runs(names: Collection[str]) -> bool:
        return bool(set(names) & set(running))

    return side_door(command.split(), environment or {}, share, runs, "/run/there".__eq__)


@pytest.mark.parametrize(
    ("command", "program", "asks"),
    [
        ("docker run --rm alpine true", "docker", ENGINE),
        ("/usr/bin/docker compose up", "docker", ENGINE),
        ("docker-compose up", "docker-compose", ENGINE),
        ("devcontainer up", "devcontainer", ENGINE),
        ("podman --remote ps", "podman", ENGINE),
        ("systemd-run --user true", "systemd-run", "systemd"),
        ("systemctl --user restart x", "systemctl", "systemd"),
        ("flatpak-spawn --host true", "flatpak-spawn", "the desktop"),
        ("env -u X A=1 nice -n 5 timeout -k 1 5 docker ps", "docker", ENGINE),
    ],
)
def test_a_known_one(command: str, program: str, asks: str) -> None:
    assert found(command) == (program, asks)


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "claude",
        "docker --version",
        "podman run alpine",
        "systemctl status x",
        "flatpak-spawn true",
        "mydocker run",
        "echo docker",
        "env",
        "timeout 5",
        "",
    ],
)
def test_others(command: str) -> None:
    assert found(command) is None


@pytest.mark.parametrize(
    ("command", "process"),
    [
        ("code .", "code"),
        ("chromium https://a.example", "chromium"),
        ("google-chrome", "chrome"),
        ("firefox", "firefox"),
        ("tmux new-window", "tmux: server"),
    ],
)
def test_what_hands_over_to_one_that_runs_already(command: str, process: str) -> None:
    assert found(command) is None
    assert found(command, running=["bash"]) is None
    assert found(command, running=[process]) is not None


def test_an_ssh_master_is_asked_where_its_socket_is_named() -> None:
    assert found("ssh -S /run/there host true") == ("ssh", "the ssh master that runs already")
    assert found("ssh -S /run/gone host true") is None
    assert found("ssh -S none host true") is None
    assert found("ssh host true") is None


def test_an_engine_that_is_reached_over_the_network_is_seen() -> None:
    assert found("docker ps", {"DOCKER_HOST": "tcp://10.0.0.1:2375"}) is None
    assert found("docker ps", {"DOCKER_HOST": "ssh://host"}) is None
    assert found("docker ps", {"DOCKER_HOST": "unix:///run/user/1/docker.sock"}) is not None


def test_in_a_strict_session_only_what_is_shared_is_asked() -> None:
    assert found("docker ps", share=[]) is None
    assert found("docker ps", share=["docker"]) is not None
    assert found("systemd-run true", share=["docker"]) is None
    assert found("virsh list", share=["docker"]) is None


def test_each_is_told_as_somebody() -> None:
    assert all(door.asks for door in DOORS.values())


@pytest.mark.parametrize(
    ("command", "process"),
    [
        ("tmux -L of-its-own new-session", "tmux: server"),
        ("chromium --user-data-dir=/p http://a.test", "chrome"),
        ("code --user-data-dir /p .", "code"),
        ("firefox --profile /p", "firefox"),
    ],
)
def test_who_is_to_start_one_of_its_own_asks_nobody(command: str, process: str) -> None:
    assert found(command, running=[process]) is None
