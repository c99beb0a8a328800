"""One way, tried once: the program inside, the facts it needs, and what the host saw meanwhile."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from netns.network.holding import MARK, RELAYS_MARK
from tests.support.command.keepline import Keepline
from tests.support.internet.world import (
    CLIENT,
    GATEWAY,
    GATEWAY_V6,
    NAMES,
    OTHER_NAMES,
    SERVER_V6,
)
from tests.support.pace import patience

from .arena import ALLOWED, CLOSED_SOCKETS, DENIED, LOOPBACK_PORT, PORT, Arena, options_that_deny
from .levels import CONTROL, OPTIONS
from .row import Open, Outcome, Row

_POLL: Final = 0.01
_START: Final = 15.0
"""Seconds in which a program has tried its way, at most."""
_SEEN: Final = 1.0
"""Seconds in which what got out is seen, at most, where it is expected to."""
_END: Final = 10.0
_CODE: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from programs.main import main; main()"
)


@dataclass
class Attempt:
    """One way, tried once."""

    row: Row
    arena: Arena
    token: str
    secret: str
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    popen: dict[str, Any] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)
    """What runs keepline, or the program where there is none."""
    keepline: list[str] = field(default_factory=lambda: Keepline.argv("run"))
    process: subprocess.Popen[bytes] | None = None
    met: str = ""
    """What it met, errno by errno."""
    told: str = ""
    """What the program says it has read."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What the stage keeps for the witness."""

    @property
    def pid(self) -> int:
        """The process that was started: the relay, or the program itself."""
        assert self.process is not None
        return self.process.pid

    @property
    def is_control(self) -> bool:
        """Whether there is no keepline."""
        return self.arena.level == CONTROL

    def heard(self) -> bool:
        """Return whether anything on the host or in the network has heard the token."""
        return self.token.encode() in self.arena.heard


def facts(attempt: Attempt) -> dict[str, Any]:
    """Return what each program may know."""
    first, second, third, fourth = (int(part) for part in DENIED.split("."))
    return {
        "token": attempt.token,
        "client": CLIENT,
        "server": ALLOWED,
        "server_v6": SERVER_V6,
        "gateway": GATEWAY,
        "gateway_v6": GATEWAY_V6,
        "broadcast": "10.1.0.255",
        "denied": DENIED,
        "denied_words": [f"{first << 8 | second:x}", f"{third << 8 | fourth:x}"],
        "host": DENIED,
        "port": PORT,
        "loopback_port": LOOPBACK_PORT,
        "marks": [RELAYS_MARK, MARK, MARK | 1, MARK | 3],
        "nameserver": "198.18.0.1",
        "resolvers": [OTHER_NAMES, NAMES, "127.0.0.53", GATEWAY],
        "calls": attempt.arena.calls,
        "closed_socket": CLOSED_SOCKETS[0],
        "closed_sockets": CLOSED_SOCKETS,
        "relay": attempt.pid,
        "victim": attempt.pid,
        "target": attempt.pid,
        "is_control": attempt.is_control,
    }


async def play(attempt: Attempt) -> Outcome:
    """Try it; return what became of it."""
    row = attempt.row
    async with row.stage(attempt) if row.stage else nullcontext():
        _start(attempt)
        try:
            return await _watch(attempt)
        finally:
            await _end(attempt)


def _start(attempt: Attempt) -> None:
    row, arena = attempt.row, attempt.arena
    module, function = row.program.split(".")
    program = [arena.python, "-I", "-S", "-c", _CODE, str(arena.folder), module, function]
    if attempt.is_control:
        argv = program
    else:
        options = options_that_deny() if row.options is None else row.options
        argv = [*attempt.keepline, *OPTIONS[arena.level], *options, "--", *program]
    with (attempt.folder / "output").open("wb") as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        attempt.process = arena.internet.client.popen(
            arena.argv(*attempt.prefix, *argv),
            cwd=attempt.folder,
            env=arena.environment | attempt.environment,
            **(streams | {"start_new_session": True} | attempt.popen),
        )
    told = facts(attempt) | dict(row.facts) | attempt.facts
    new = attempt.folder / "facts.new"
    new.write_text(json.dumps(told))
    new.rename(attempt.folder / "facts.json")


async def _watch(attempt: Attempt) -> Outcome:
    """Wait until the program has met something, and until the witness has, or has had its time."""
    row, met = attempt.row, attempt.folder / "met.json"
    tried = await _until(
        lambda: met.exists() or (_has_ended(attempt) and not row.outlives), patience(_START)
    )
    words = "no end"
    if met.exists():
        said = json.loads(met.read_text())
        words = attempt.met = said["met"]
        attempt.told = said["told"] or ""
    elif tried:
        words = _ended(attempt)
    is_open = isinstance(row.expected(attempt.arena.level, attempt.arena.caller), Open)
    settle = patience(_SEEN) if is_open else row.settle
    got_out = not row.is_later and await _until(partial(row.witness, attempt), settle)
    (attempt.folder / "go").touch()
    await _until(partial(_has_ended, attempt), patience(_END))
    (attempt.folder / "ended").touch()
    if row.is_later:
        await _until((attempt.folder / "said").exists, patience(_SEEN))
    got_out = got_out or row.witness(attempt)
    return Outcome(got_out, words, is_broken=not met.exists() and not row.ends)


def _has_ended(attempt: Attempt) -> bool:
    assert attempt.process is not None
    return attempt.process.poll() is not None


def _ended(attempt: Attempt) -> str:
    """Return how the run ended, and what was said last."""
    assert attempt.process is not None
    lines = (attempt.folder / "output").read_text(errors="replace").strip().splitlines()
    said = next(
        (line for line in lines if line.startswith("keepline: ")), lines[-1] if lines else ""
    )
    said = said.replace(f"{attempt.folder}/", "")
    code = attempt.process.returncode
    return f"exit {code if code >= 0 else signal.Signals(-code).name}" + (
        f", {said}" if said else ""
    )


async def _end(attempt: Attempt) -> None:
    """End what still runs of it."""
    process = attempt.process
    assert process is not None
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        await trio.to_thread.run_sync(process.wait)


async def _until(happened: Callable[[], bool], seconds: float) -> bool:
    """Wait for something that has no event."""
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        await trio.sleep(_POLL)
    return True
