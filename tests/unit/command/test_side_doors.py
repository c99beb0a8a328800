"""Which commands have somebody outside do their work, and whom."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pytest

from relay.command.side_doors import DOORS, side_door

ENGINE = "the container engine"


@dataclass
class Host:
    """A host with processes, masters of ssh's and links as a test says."""

    running: Collection[str] = ()
    masters: Collection[str] = ()

    def runs(self, names: Collection[str]) -> bool:
        return bool(set(names) & set(self.running))

    def is_socket(self, path: str) -> bool:
        return path == "/run/there"

    def listening(self, name: str) -> Collection[str]:
        return self.masters if name == "ssh" else ()

    def real_name(self, word: str) -> str:
        links = {"d": "docker", "podman-docker": "podman", "x-www-browser": "chromium"}
        return links.get(word.rpartition("/")[2], "")


def found(
    command: str,
    environment: Mapping[str, str] | None = None,
    share: Collection[str] | None = None,
    running: Collection[str] = (),
    masters: Collection[str] = (),
) -> tuple[str, str] | None:
    words = shlex.split(command)
    return side_door(words, environment or {}, share, Host(running, masters))


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
        ("sudo -u x A=1 docker ps", "docker", ENGINE),
        ("doas docker ps", "docker", ENGINE),
        ("sh -c 'cd /x && A=1 docker ps | wc -l'", "docker", ENGINE),
        ('bash -lc "set -e; sudo docker compose up"', "docker", ENGINE),
        ("""env sh -c 'bash -c "docker ps"'""", "docker", ENGINE),
        ("""sh -c '"$@"' sh docker ps""", "docker", ENGINE),
        ("/home/u/bin/d ps", "d", ENGINE),
        ("podman-docker --remote ps", "podman-docker", ENGINE),
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
        "podman-docker ps",
        "sh -c 'echo docker ps'",
        "sh -c",
        "sh docker",
        "sudo",
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
    for named in ("-S/run/there", "-o ControlPath=/run/there", "-ocontrolpath=/run/there"):
        assert found(f"ssh {named} host") is not None
        assert found(f"ssh {named.replace('there', 'gone')} host", masters=["/m/host"]) is None
    assert found("ssh -o 'ControlPath /run/there' -p 22 host") is not None


@pytest.mark.parametrize(
    ("command", "masters", "is_asked"),
    [
        ("ssh host true", ["/h/.ssh/cm-u@host:22.Xa1"], True),
        ("ssh -p 22 -o A=b u@host", ["/h/.ssh/cm-u@host:22.Xa1"], True),
        ("ssh ssh://u@host:22/", ["/h/.ssh/cm-u@host:22.Xa1"], True),
        ("ssh -o ControlPath=/m/%h host", ["/m/host"], True),
        ("sh -c 'ssh host'", [f"/m/{'0a' * 20}"], True),
        ("ssh host true", ["/h/.ssh/cm-u@other:22.Xa1"], False),
        ("ssh -S none host", ["/m/host"], False),
        ("ssh -oControlPath=none host", ["/m/host"], False),
        ("ssh", ["/m/host"], False),
        ("ssh host", [], False),
    ],
)
def test_an_ssh_master_whose_path_is_in_the_settings(
    command: str, masters: list[str], *, is_asked: bool
) -> None:
    assert (found(command, masters=masters) is not None) == is_asked


def test_a_link_is_known_by_what_it_leads_to() -> None:
    assert found("x-www-browser", running=["chromium"]) is not None
    assert found("x-www-browser") is None


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
