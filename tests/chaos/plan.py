"""Plays rows side by side: each in a process of its own, as many at a time as the machine bears.

Rows that wait and rows that are busy run beside each other; those that measure milliseconds
come last, one at a time.
"""

import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from . import soak
from .players import program
from .row import Row
from .starts import turns
from .worker import Played

BUSY: Final = 1
GATEWAYS: Final = 3
"""Rows of the gateway side by side; each has dozens of requests on their way."""


@dataclass
class Run:
    """What is to be played, and what was."""

    rows: Sequence[Row]
    jobs: int
    times: int | None = None
    is_short: bool = False
    soak_minutes: float = 0.0
    """0: no soak."""
    tell: Callable[[str], None] = lambda _line: None
    played: dict[str, Played] = field(default_factory=dict)
    soaked: soak.Soaked | None = None
    soak_failure: str = ""

    async def play(self) -> None:
        """Play all of it."""
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            groups[row.group].append(row)
        groups["waits"].sort(key=lambda row: -row.seconds)
        with turns():
            async with trio.open_nursery() as nursery:
                if self.soak_minutes:
                    nursery.start_soon(self._soak)
                nursery.start_soon(self._side_by_side, groups["waits"], self.jobs)
                nursery.start_soon(self._side_by_side, groups["quick"], BUSY)
            await self._side_by_side(groups["gateway"], min(GATEWAYS, self.jobs))
            await self._side_by_side(groups["alone"], 1)

    async def _side_by_side(self, rows: Sequence[Row], at_once: int) -> None:
        limiter = trio.CapacityLimiter(at_once)

        async def one(row: Row) -> None:
            async with limiter:
                await self._play(row)

        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(one, row)
                await trio.lowlevel.checkpoint()

    async def _play(self, row: Row) -> None:
        if program(row.client) is None:
            self.played[row.name] = Played([], [], 0, 0, f"there is no {row.client} here")
            return
        times, bare = self._samples(row)
        mode = "short" if self.is_short else "full"
        arguments = [row.name, str(times), str(bare), mode, row.through]
        text, errors = await _run("tests.chaos.worker", *arguments)
        played = Played.from_json(text) if text else Played([], [], 0, 0, _last_line(errors))
        self.played[row.name] = played
        self.tell(f"{row.name}: {played.failure or f'{len(played.keepline)} samples'}")

    def _samples(self, row: Row) -> tuple[int, int]:
        """Return how many, under keepline and bare; the short form is not there to compare."""
        if self.is_short:
            return 1, int(row.promise.later < math.inf)
        if self.times is None:
            return row.times, row.bare
        return self.times, min(self.times, row.bare)

    async def _soak(self) -> None:
        text, errors = await _run("tests.chaos.soak", str(self.soak_minutes))
        if text:
            self.soaked = soak.Soaked.from_json(text)
        else:
            self.soak_failure = _last_line(errors)
        self.tell(f"soak of {self.soak_minutes:g} min: {self.soak_failure or 'done'}")


async def _run(module: str, *arguments: str) -> tuple[str, str]:
    """Run a module of ours to its end; gives its stdout, empty if it failed, and its stderr."""
    done = await trio.run_process(
        [sys.executable, "-I", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return (done.stdout.decode() if done.returncode == 0 else "", done.stderr.decode())


def _last_line(text: str) -> str:
    said = [line.strip(" |+-") for line in text.splitlines() if line.strip(" |+-")]
    return said[-1] if said else "it ended without a word"
