"""Plays one row: a container, and what came of it."""

import re
import time
from dataclasses import dataclass
from typing import Final

from .engines import Engine
from .rows import Row

_OWN_FAILURE: Final = 125
_TIMED_OUT: Final = 28
"""curl's status where nothing has answered."""
_STOP_SECONDS: Final = 60
_ABOUT_SESSION: Final = "See: keepline explain"
_OURS: Final = ("keepline: ", "  try: ")


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    result: str
    said: tuple[str, ...] = ()
    """What keepline said, for people."""
    is_wrong: bool = False
    """Whether no row may come out so."""


def play(engine: Engine, row: Row) -> Outcome:
    """Run the row's container to its end."""
    if row.is_stopped:
        return _stopped(engine, row)
    done = engine.call(*engine.container(row.flags(), row.command, how=["--rm"]))
    return judged(row, done.returncode, done.stdout, done.stderr)


def _stopped(engine: Engine, row: Row) -> Outcome:
    """Start a container, stop it once it is ready, and see how it has ended."""
    started = engine.call(*engine.container(row.flags(), row.command, how=["-d"]), check=True)
    name = started.stdout.strip()
    until = time.monotonic() + _STOP_SECONDS
    while "ready" not in engine.call("logs", name).stdout and time.monotonic() < until:
        time.sleep(0.1)
    engine.call("stop", "--time", str(_STOP_SECONDS), name)
    status = int(engine.call("wait", name).stdout)
    logs = engine.call("logs", name)
    engine.call("rm", "--force", name)
    return judged(row, status, logs.stdout, logs.stderr)


def judged(row: Row, status: int, stdout: str, stderr: str) -> Outcome:
    """Return what an end means."""
    ours = [line for line in stderr.splitlines() if line.startswith(_OURS)]
    said = tuple(_plain(line) for line in ours if _ABOUT_SESSION not in line)
    has_next_step = len(ours) > 1 and ours[-1].startswith(_OURS[1])
    if status == 0 and stdout.strip() == row.printed:
        return Outcome("works", said)
    if status == _OWN_FAILURE and has_next_step and not stdout:
        return Outcome("refuses", said)
    if (
        row.network == "none"
        and status == _TIMED_OUT
        and any("--network=none" in each for each in said)
    ):
        return Outcome("runs, reaches nothing", said)
    return Outcome(f"WRONG: status {status}, {stdout!r}, {stderr!r}", said, is_wrong=True)


def _plain(line: str) -> str:
    """Return a line without what stands before it, a session's name and process ids."""
    for begins in _OURS:
        line = line.removeprefix(begins)
    return re.sub(r"\(\d+\)", "(PID)", re.sub(r"\d{8}-\d{6}-\d+(_\d+)?", "SESSION", line))
