"""Where a row is played: the small internet, a keepline, the program inside, and the meter."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.record.events import AnyEvent, ConnectionOpened
from tests.support.command.driver import Program, inside
from tests.support.command.keepline import Done, Keepline
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet

from .inside import bystander
from .meter import Meter
from .row import (
    BUFFERS,
    DESCRIPTORS,
    MEMORY,
    OTHERS,
    PROCESSOR,
    RECORD,
    Figure,
    Figures,
    Row,
)

ECHO: Final = 7
"""The port of an echo at SERVER, at which the bystander's names are too."""


@dataclass
class Stage:
    """What a row has at hand."""

    row: Row
    internet: Internet
    nursery: trio.Nursery
    """For servers; it ends with the row."""
    keepline: Keepline
    figures: Figures = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What differs on this machine from what the row says."""
    started: Program | None = None
    """The program inside, once keepline has started it."""
    _descriptors_before: int = 0

    @property
    def program(self) -> Program:
        """The program inside, which does what it is told: tests.support.command.driver."""
        assert self.started is not None, "keepline has not been started yet"
        return self.started

    @property
    def meter(self) -> Meter:
        """The meter of the relay."""
        return Meter(self.program.session.pid)

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Measure what is done within, beside a bystander if the row has a bound for its wait."""
        meter, has_bystander = self.meter, OTHERS in self.row.bounds
        if has_bystander:
            await self.program(bystander.begin, SERVER, ECHO)
        self._descriptors_before = meter.descriptors()
        processor, memory = meter.processor(), meter.memory()
        yield
        self.note(PROCESSOR, meter.processor() - processor)
        self.note(MEMORY, max(meter.peak() - memory, 0.0))
        if has_bystander:
            waited, _tries, failures = await self.program(bystander.end)
            assert not failures, failures
            self.note(OTHERS, waited)

    def look(self) -> None:
        """Note how many descriptors the relay has opened, and what the kernel keeps for it, now."""
        self.note(DESCRIPTORS, self.meter.descriptors() - self._descriptors_before)
        if BUFFERS in self.row.bounds:  # thousands of sockets take minutes
            self.note(BUFFERS, self.meter.buffers())

    def note(self, figure: Figure, value: float) -> None:
        """Keep the largest value of a figure."""
        self.figures[figure] = max(value, self.figures.get(figure, 0.0))


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    figures: Figures
    wrong: list[str]
    notes: list[str]


async def play(row: Row) -> Outcome:
    """Play a row in an internet of its own."""
    with Internet() as internet:
        async with trio.open_nursery() as nursery:
            await nursery.start(internet.serve_names)
            await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO, backlog=4096))
            for number in range(bystander.NAMES):
                internet.zone.add(bystander.name(number), "A", SERVER)
            stage = Stage(row, internet, nursery, row.keepline(internet))
            if row.prepare is not None:
                await row.prepare(stage)
            done = await _played(stage)
            nursery.cancel_scope.cancel()
    stage.note(RECORD, sum(1 for _ in _of_flood(done.events)))
    return Outcome(stage.figures, [*_unsaid(row, done)], stage.notes)


async def _played(stage: Stage) -> Done:
    row = stage.row
    async with inside(stage.keepline, row.options, **row.popen) as program:
        stage.started = program
        await row.play(stage)
        return await program.session.end(checks=False)


def _of_flood(events: Sequence[AnyEvent]) -> Iterator[AnyEvent]:
    """Yield the events of a record that are not about the bystander."""
    beside: set[int] = set()
    for event in events:
        if isinstance(event, ConnectionOpened) and event.to.endswith(f":{ECHO}"):
            beside.add(event.connection)
        is_about_its_name = str(getattr(event, "name", "")).endswith(bystander.ZONE)
        if getattr(event, "connection", None) not in beside and not is_about_its_name:
            yield event


def _unsaid(row: Row, done: Done) -> Iterator[str]:
    """Yield what is wrong with how keepline has ended, and what it says."""
    if done.status != row.status or "Traceback" in done.stderr:
        yield f"status {done.status}, {done.stderr}"
    lines = [*(event.text() for event in done.events), *done.stderr.splitlines()]
    if row.said and not any(row.said in line for line in lines):
        yield f"nothing says {row.said!r} but {sorted(set(lines))[:20]}"
