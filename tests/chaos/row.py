"""What a row of the table is: a fault, a client, a promise, and how it is played; no I/O here.

A sample is one measurement: how long until its outcome, and what the client was told if that was
no answer. A promise judges the samples under keepline; bare ones are there to compare.
"""

import math
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, TypeAlias

from relay.record.story.entry import Mark
from relay.record.story.losses import entries

from .players import Kind, Player
from .stage import Stage
from .ways import WAYS

Errors: TypeAlias = Literal["none", "all", "any"]
Play: TypeAlias = "Callable[[Scene], Awaitable[None]]"


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    seconds: float
    """Until the outcome, from where the row counts; inf if there was none while it waited."""
    error: str = ""
    """What the client was told instead of an answer."""
    wrong: str = ""
    """What no promise allows: other bytes, a second replay."""


@dataclass(frozen=True)
class Promise:
    """What holds under keepline."""

    text: str
    within: float
    """Seconds, for each sample, or for this share of them."""
    errors: Errors = "none"
    """Which samples are told a loss: none may be, all must be, or it is the client's affair."""
    median: float = math.inf
    """Seconds, for half of the samples."""
    share: float = 1.0
    later: float = math.inf
    """Seconds by which the worst sample may come later than the worst bare one."""
    bearable: Sequence[str] = ()
    """Errors that are none: what the client got over by itself."""

    def broken(self, samples: Sequence[Sample], bare: Sequence[Sample]) -> Iterator[str]:
        """Yield in which ways it is broken; without bare samples nothing is compared with them."""
        if not samples:
            yield "not measured"
            return
        worst = max(sample.seconds for sample in samples)
        late = sum(sample.seconds > self.within for sample in samples)
        if late > (1 - self.share) * len(samples):
            yield f"{late} took longer, up to {worst:.3g} s"
        if bare and worst > max(sample.seconds for sample in bare) + self.later:
            yield f"took {worst:.3g} s, longer than without"
        middle = median(sample.seconds for sample in samples)
        if middle > self.median:
            yield f"median {middle:.3g} s"
        errors = [
            sample.error for sample in samples if sample.error and sample.error not in self.bearable
        ]
        if self.errors == "none" and errors:
            yield f"{len(errors)} errors, {errors[0]}"
        if self.errors == "all" and len(errors) < len(samples):
            yield f"{len(samples) - len(errors)} losses not told"
        yield from sorted({sample.wrong for sample in samples if sample.wrong})[:3]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    number: int
    fault: str
    """With {seconds} where it lasts so long."""
    client: Kind
    promise: Promise
    play: Play
    times: int = 10
    """Samples under keepline."""
    bare: int = 2
    """Samples without."""
    seconds: float = 0.0
    """How long the fault lasts."""
    short: float = 0.0
    """The same in the short form."""
    group: Literal["waits", "quick", "gateway", "alone"] = "waits"
    """Whether it mostly waits, is busy, is busy with many clients and waits in between, or measures
    so finely that nothing else may run."""
    through: str = ""
    """The proxy of WAYS that is keepline's way out; none if it is direct."""

    @property
    def name(self) -> str:
        """Say which row it is; no two have the same."""
        by = f", through {self.through}" if self.through else ""
        return f"{self.number}. {self.fault_of(self.seconds)} ({self.client}{by})"

    @property
    def unseen(self) -> str:
        """What of the promise cannot be kept behind its proxy, and why; usually nothing."""
        return WAYS[self.through].unseen.get(self.number, "") if self.through else ""

    def fault_of(self, seconds: float) -> str:
        """Say what is broken, for so long."""
        return self.fault.format(seconds=f"{seconds:g}")


@dataclass
class Scene:
    """A row being played."""

    stage: Stage
    row: Row
    times: int
    bare: int
    seconds: float
    is_short: bool
    samples: dict[Literal["bare", "keepline"], list[Sample]] = field(
        default_factory=lambda: {"bare": [], "keepline": []}
    )
    everyone: list[Player] = field(default_factory=list)

    async def crowd(
        self, options: Sequence[str] = (), launch: Sequence[str] | None = None
    ) -> list[Player]:
        """Start a client for each sample: they will meet one fault together."""
        self.everyone += await self.stage.players(
            self.row.client, keepline=self.times, bare=self.bare, options=options, launch=launch
        )
        return self.everyone

    async def pair(self) -> list[tuple[Player, int]]:
        """Start one client under keepline and one bare; each with its number of samples."""
        pairs = []
        if self.times:
            pairs += [
                (p, self.times) for p in await self.stage.players(self.row.client, keepline=1)
            ]
        if self.bare:
            pairs += [(p, self.bare) for p in await self.stage.players(self.row.client, bare=1)]
        self.everyone += [player for player, _times in pairs]
        return pairs

    @property
    def unseen(self) -> str:
        """What of the promise cannot be kept, and why."""
        return self.row.unseen

    def note(self, player: Player, sample: Sample) -> None:
        """Keep a measurement."""
        self.samples["keepline" if player.under_keepline else "bare"].append(sample)

    def losses(self) -> tuple[int, int]:
        """Count the losses that the flight logs tell of: hidden ones, and all others."""
        found = [
            loss.hidden
            for player in self.everyone
            if player.under_keepline
            for loss in entries(player.events())
            if loss.mark in (Mark.HIDDEN, Mark.VISIBLE, Mark.GAVE_UP)
        ]
        return sum(found), len(found) - sum(found)

    def moment(self, fraction: float = 0.5) -> float:
        """Choose a moment in the first part of the fault."""
        return random.uniform(0, self.seconds * fraction)
