"""What is said before a command starts that has somebody outside do its work."""

import os
import socket
from pathlib import Path

import pytest

from relay.command import outside
from relay.config import Settings
from relay.host.processes import listening, runs
from relay.record.events import Event, SideDoor


def told(command: list[str], settings: Settings) -> tuple[list[Event], list[str]]:
    events: list[Event] = []
    lines: list[str] = []
    outside.tell(command, settings, events.append, lines.append)
    return events, lines


def test_a_known_command_is_told_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    events, lines = told(["docker", "run", "alpine"], Settings())
    assert events == [SideDoor(program="docker", asks="the container engine")]
    assert lines == [
        "docker asks the container engine, which is outside: what that does has the host's network,"
        " and keepline sees nothing of it"
    ]


def test_what_a_strict_session_cannot_ask_is_not_told() -> None:
    assert told(["docker", "ps"], Settings(strict=True)) == ([], [])


def test_other_commands_are_not_told() -> None:
    assert told(["true"], Settings()) == ([], [])


def test_processes_are_found_by_their_names() -> None:
    own = Path(f"/proc/{os.getpid()}/comm").read_text().rstrip("\n")
    assert runs([own])
    assert not runs(["no process has this"])


def test_a_link_of_another_name_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    link = tmp_path / "engine"
    link.symlink_to(program)
    for word in (str(link), "engine"):
        monkeypatch.setenv("PATH", str(tmp_path))
        events, _lines = told(["sudo", word, "ps"], Settings())
        assert events == [SideDoor(program="engine", asks="the container engine")]


def test_a_socket_that_listens_is_found_by_its_process(tmp_path: Path) -> None:
    own = Path(f"/proc/{os.getpid()}/comm").read_text().rstrip("\n")
    at, other = str(tmp_path / "listens\n0: no entry"), str(tmp_path / "is bound alone")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as bound:
        server.bind(at)
        server.listen()
        bound.bind(other)
        found = listening(own)
    assert at in found
    assert other not in found
    assert listening("no process has this") == []
