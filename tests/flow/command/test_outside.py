"""What is said before a command starts that has somebody outside do its work."""

import os
from pathlib import Path

import pytest

from relay.command import outside
from relay.config import Settings
from relay.host.processes import runs
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
