"""Has both callers play rows side by side; a row that is not as it should be is played again.

A machine that does too much at a time makes programs late. So what differs from the committed table
is played again when nothing else is, and what it does then counts.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import msgspec
import trio

from .row import WAYS, Outcome, Row, Verdict, Way, verdict
from .worker import Played

Caller: TypeAlias = Literal["user", "root"]

_TRIES: Final = 2
_NOISE: Final = 12
"""So many rows may be a busy machine's fault; more are not."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    row: Row
    bare: str
    keepline: str
    verdict: Verdict

    @property
    def cells(self) -> tuple[str, ...]:
        """Write it as a line of the table."""
        return (
            self.row.situation,
            f"`{self.row.program.title}`",
            self.bare,
            self.keepline,
            self.verdict.text,
        )


@dataclass
class Run:
    """What is to be played, and what was."""

    rows: Sequence[Row]
    callers: Sequence[Caller]
    jobs: int
    tell: Callable[[str], None] = lambda _line: None
    outcomes: dict[tuple[str, Caller, Way], Outcome] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What workers said that did not come to their end."""

    async def play(self, is_good: Callable[[Line], bool]) -> None:
        """Play all, and twice more, a row at a time, those that are not good."""
        await self._play(self.rows, self.jobs)
        for _ in range(_TRIES):
            bad = [line for line in self.lines() if not is_good(line)]
            if 0 < len(bad) <= _NOISE:
                for line in bad:
                    self.tell(f"once more: {line.row.name}: {line.bare} | {line.keepline}")
                await self._play([line.row for line in bad], len(WAYS))

    async def _play(self, rows: Sequence[Row], jobs: int) -> None:
        async with trio.open_nursery() as nursery:
            for caller in self.callers:
                nursery.start_soon(self._play_as, caller, rows, max(1, jobs // len(self.callers)))

    async def _play_as(self, caller: Caller, rows: Sequence[Row], jobs: int) -> None:
        names = "\n".join(row.name for row in rows)
        done = await trio.run_process(
            [sys.executable, "-I", "-m", "tests.same.worker", caller, str(jobs)],
            stdin=names.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        for line in done.stdout.splitlines():
            played = msgspec.json.decode(line, type=Played)
            self.outcomes[played.row, caller, played.way] = played.outcome
        if done.returncode:
            self.failures.append(f"as {caller}: {done.stderr.decode()}")

    def lines(self) -> list[Line]:
        """Make the table of what was played."""
        return [self._line(row) for row in self.rows]

    def _line(self, row: Row) -> Line:
        played = {
            caller: tuple(self.outcomes.get((row.name, caller, way), _NOTHING) for way in WAYS)
            for caller in self.callers
        }
        judged = [verdict(row, *outcomes) for outcomes in played.values()]
        worst = next((one for one in judged if one.is_broken), judged[0])
        bare, keepline = (
            _cell({caller: outcomes[way] for caller, outcomes in played.items()})
            for way in range(len(WAYS))
        )
        return Line(row, bare, keepline, worst)


_NOTHING: Final = Outcome(None, "", "not played")


def _cell(outcomes: dict[Caller, Outcome]) -> str:
    """Write what became of it, once if it was the same for both callers."""
    texts = {caller: str(outcome) for caller, outcome in outcomes.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"as {caller}: {text}" for caller, text in texts.items())
