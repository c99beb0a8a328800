"""What is compared of two trees, and how their figures are judged; pure."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""By metric's title and side's name: a figure a pair."""

OLD: Final = "old"
NEW: Final = "new"


@dataclass(frozen=True)
class Measure:
    """One line of the comparison."""

    title: str
    order: str
    """What the client does; see client.py."""
    arguments: Mapping[str, Any]
    warm_up: Mapping[str, Any]
    """What is other in these when nothing counts yet: the relay loads what it needs."""
    behind: Literal["keepline", "gateway", "nothing"] = "keepline"
    """What the client is behind: keepline without the gateway, with it, or no relay at all."""
    is_judged: bool = True
    """Whether it is the relay's processor seconds for each `unit` of what the client counts. If
    not, it is the client's own figure, in seconds of wall time."""
    unit: float = 1.0
    times: int = 2
    """How often a pair takes it: old, new, new, old."""


def measures(address: str, name: str, many: Sequence[str]) -> Sequence[Measure]:
    """List what is compared, given the server's address, its name and many further addresses."""
    short = {"address": address, "at_once": 64, "count": 2000}
    bulk = {"address": address, "seconds": 0.4}
    asked = {"host": name, "at_once": 4, "count": 200}
    moment = {"seconds": 0.1}
    return (
        Measure("processor, a connection", "connections", short, {"count": 300}),
        Measure("processor, a GB down", "receive", bulk, moment, unit=1e9, times=4),
        Measure("processor, a GB up", "send", bulk, moment, unit=1e9, times=4),
        Measure("processor, a gateway request", "messages", asked, {"count": 60}, "gateway"),
        _wall("first byte, by address", "first_byte", {"host": address, "count": 40}),
        _wall("first byte, no burst", "first_bytes", {"hosts": many}),
        _wall("first byte, by name", "first_byte", {"host": name, "count": 40}),
        replace(_wall("start-up of true", "start_up", {"count": 1}), behind="nothing"),
    )


def _wall(title: str, order: str, arguments: Mapping[str, Any]) -> Measure:
    warm_up = {"count": 1} if "count" in arguments else {}
    return Measure(title, order, arguments, warm_up, is_judged=False)


@dataclass(frozen=True)
class Compared:
    """A metric of both sides."""

    title: str
    old: float
    new: float
    """Medians."""
    ratios: Sequence[float]
    """New to old, of each pair."""
    is_judged: bool

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(self.ratios)


def compare(metrics: Sequence[Measure], figures: Figures) -> Iterator[Compared]:
    """Compare the figures that were taken in the same pair."""
    for metric in metrics:
        old, new = (figures[metric.title][side] for side in (OLD, NEW))
        ratios = [ours / theirs for theirs, ours in zip(old, new, strict=True)]
        yield Compared(
            metric.title, statistics.median(old), statistics.median(new), ratios, metric.is_judged
        )


def table_lines(table: Sequence[Compared]) -> Iterator[str]:
    """Draw it."""
    yield f"{'':32}{OLD:>10}{NEW:>10}{'ratio':>8}    of the pairs"
    for row in table:
        spread = f"{min(row.ratios):.3f} to {max(row.ratios):.3f}"
        judged = "" if row.is_judged else ", not judged"
        figures = f"{_written(row.old):>10}{_written(row.new):>10}"
        yield f"{row.title:32}{figures}{row.ratio:8.3f}    {spread}{judged}"


def above(limit: float, table: Sequence[Compared]) -> Iterator[str]:
    """Say which ratios of processor seconds are above the limit."""
    for row in table:
        if row.is_judged and row.ratio > limit:
            yield f"{row.title}: {row.ratio:.3f} of what it was, more than {limit:.3f}"


def _written(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds > 0.01 else f"{seconds * 1e6:.1f} µs"
