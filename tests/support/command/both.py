"""Runs a real program twice, bare and under keepline, as root or as an ordinary user."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from relay.record import files, flightlog
from relay.record.events import AnyEvent
from tests.support.internet.as_user import as_user

WAYS: Final = ("bare", "kept")
CALLERS: Final = ("root", "user") if os.geteuid() == 0 else ("user",)
_DEADLINE: Final = 300

Argv = Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class Ran:
    """What one run of a program did."""

    stdout: str
    stderr: str
    seconds: float
    folder: Path
    """Its working directory, new and empty before."""
    events: list[AnyEvent] = field(default_factory=list)


@dataclass
class Both:
    """Runs programs for one test."""

    who: str
    folder: Path
    figures: list[tuple[str, float, float]]
    """Name of the program, seconds bare and seconds under keepline, for the summary."""

    def run(self, name: str, argv: Argv, environment: Mapping[str, str]) -> tuple[Ran, Ran]:
        """Run `argv(folder)` bare and under keepline; the test fails if the second fails alone."""
        bare, kept = (self._run(way, argv, environment) for way in WAYS)
        self.figures.append((f"{name}, {self.who}", bare.seconds, kept.seconds))
        return bare, kept

    def _run(self, way: str, argv: Argv, environment: Mapping[str, str]) -> Ran:
        folder = self.folder / way / "work"  # npm takes the last name for the project's
        folder.mkdir(parents=True)
        command = list(argv(folder))
        if way == "kept":
            command = [sys.executable, "-I", "-m", "relay", "run", "--", *command]
        if self.who != "root" and os.geteuid() == 0:
            command = as_user(*command)
        own = {"XDG_STATE_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=folder,
            env={**environment, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE,
        )
        seconds = time.monotonic() - started
        if way == "bare" and done.returncode != 0:
            unavailable(f"without keepline it fails too: {done.stderr[-2000:]}")
        assert done.returncode == 0, done.stderr
        logs = files.sessions(files.sessions_folder(own))
        events = [event for log in logs for event in flightlog.read(log)]
        return Ran(done.stdout, done.stderr, seconds, folder, events)


def unavailable(reason: str) -> None:
    """Skip the test, or fail it where a skip must not hide."""
    if os.environ.get("REQUIRE_NETNS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
