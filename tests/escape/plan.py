"""Has each caller play rows at each level; what is not as expected is played again, alone.

A machine that does too much at a time may keep a program from trying its way at all, and a witness
from seeing it in time. A way that is found open counts whenever it was.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import trio

from .leaks import Leaks
from .levels import CONTROL, OPTIONS, Caller, Level
from .row import Closed, Open, Outcome, Row, how, verdict
from .worker import Played, Watched

_TRIES: Final = 2
_NOISE: Final = 12
"""So many rows may be a busy machine's fault; more are not."""
_NOT_PLAYED: Final = Outcome(got_out=False, met="not played", is_broken=True)


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    way: str
    level: Level
    outcomes: dict[Caller, Outcome]
    how: str
    program: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Write it as a line of the table."""
        user, root = (str(self.outcomes.get(caller, "not played")) for caller in ("user", "root"))
        return self.way, self.level, user, root, self.how, f"`{self.program}`"


@dataclass
class Run:
    """What is to be played, and what was."""

    rows: Sequence[Row]
    callers: Sequence[Caller]
    levels: Sequence[Level]
    jobs: int
    tell: Callable[[str], None] = lambda _line: None
    outcomes: dict[tuple[str, Level, Caller], Outcome] = field(default_factory=dict)
    leaks: dict[tuple[Level, Caller], list[Leaks]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What workers said that did not come to their end."""

    async def play(self) -> None:
        """Play all, and twice more, one at a time, those that are not as expected."""
        await self._play(self.rows, self.levels, self.callers, self.jobs)
        for _ in range(_TRIES):
            bad = [row for row in self.rows if any(self._wrong(row))]
            if not 0 < len(bad) <= _NOISE or self.failures:
                return
            for row in bad:
                self.tell(f"once more: {row.way}: {'; '.join(self._wrong(row))}")
            await self._play(bad, self.levels, self.callers, 1)

    def wrong(self) -> list[str]:
        """Return all that is not as expected."""
        found = [f"{row.way}: {text}" for row in self.rows for text in self._wrong(row)]
        for (level, caller), watched in self.leaks.items():
            if level != CONTROL:
                for each in watched:
                    found += [f"on the wire, {level}, as {caller}: {text}" for text in each.wrong]
        return found + self.failures

    def packets(self) -> int:
        """Return how many packets the wire has shown of all levels but the control."""
        return sum(
            each.packets
            for (level, _caller), watched in self.leaks.items()
            if level != CONTROL
            for each in watched
        )

    def lines(self) -> list[Line]:
        """Make the table of what was played."""
        return [
            Line(
                row.way,
                level,
                {
                    caller: self.outcomes.get((row.way, level, caller), _NOT_PLAYED)
                    for caller in self.callers
                },
                how(row, level),
                row.program,
            )
            for row in self.rows
            for level in self.levels
            if level != CONTROL
        ]

    def found_open(self) -> set[tuple[str, Level, Caller]]:
        """Return the names of what is open, by level and caller, as was seen, or could not be."""
        return {
            (expected.name, level, caller)
            for row in self.rows
            for level in self.levels
            for caller in self.callers
            if level != CONTROL
            and isinstance(expected := row.expected(level, caller), Open)
            and (outcome := self.outcomes.get((row.way, level, caller), _NOT_PLAYED))
            and (outcome.got_out or outcome.is_lacking)
        }

    def _wrong(self, row: Row) -> Iterator[str]:
        for level in self.levels:
            for caller in self.callers:
                if not _is_played(row, level, caller):
                    continue
                outcome = self.outcomes.get((row.way, level, caller), _NOT_PLAYED)
                if wrong := verdict(row, level, caller, outcome):
                    yield f"{level}, as {caller}: {wrong}"

    async def _play(
        self, rows: Sequence[Row], levels: Sequence[Level], callers: Sequence[Caller], jobs: int
    ) -> None:
        async with trio.open_nursery() as nursery:
            for caller in callers:
                each = max(1, jobs // len(callers))
                nursery.start_soon(self._play_as, caller, rows, levels, each)

    async def _play_as(
        self, caller: Caller, rows: Sequence[Row], levels: Sequence[Level], jobs: int
    ) -> None:
        """Play one level after the other: an attempt as good as any may busy the machine."""
        for level in levels:
            await self._play_at(level, caller, rows, jobs)

    async def _play_at(self, level: Level, caller: Caller, rows: Sequence[Row], jobs: int) -> None:
        names = "\n".join(row.way for row in rows if _is_played(row, level, caller))
        done = await trio.run_process(
            [
                *(sys.executable, "-I", "-m", "tests.escape.worker"),
                *(caller, level, str(jobs)),
            ],
            stdin=names.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        for line in done.stdout.splitlines():
            told = msgspec.json.decode(line)
            if "leaks" in told:
                watched = msgspec.convert(told, Watched)
                self.leaks.setdefault((watched.level, caller), []).append(watched.leaks)
            else:
                played = msgspec.convert(told, Played)
                self._note(played, caller)
        self.tell(f"{len(rows)} ways at {level}, as {caller}")
        if done.returncode:
            self.failures.append(f"as {caller}: {done.stderr.decode()}")

    def _note(self, played: Played, caller: Caller) -> None:
        """Keep an outcome, unless an earlier one has shown that a closed way is open."""
        key = (played.row, played.level, caller)
        row = next(row for row in self.rows if row.way == played.row)
        control = self.outcomes.get((played.row, CONTROL, caller))
        if row.may_lack and control and not control.got_out and not played.outcome.got_out:
            lacking = f"this machine lacks {row.may_lack}"
            played = replace(played, outcome=replace(played.outcome, met=lacking, is_lacking=True))
        before = self.outcomes.get(key)
        is_closed = isinstance(row.expected(played.level, caller), Closed)
        if before and before.got_out and is_closed and played.level != CONTROL:
            return
        self.outcomes[key] = played.outcome


def _is_played(row: Row, level: Level, caller: Caller) -> bool:
    """Return whether there is anything to try: a control that gets nowhere shows nothing."""
    return level != CONTROL or caller in row.control


def all_levels() -> list[Level]:
    """Return the control and all levels."""
    return [CONTROL, *OPTIONS]
