"""The table, its JSON, and which promises are broken; pure."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from .metrics import DOWNLOAD, START, UPLOAD, Figures, Metric, Unit

DIRECT: Final = "direct"
KEEPLINE: Final = "keepline"

_LEAST_OF_DIRECT: Final = 0.45
_LONGEST_START: Final = 0.25


@dataclass(frozen=True)
class Cell:
    """What became of a metric's figures."""

    figure: float
    """The median of all rounds."""
    ratio: float | None
    """The median of the rounds' ratios to direct; None where direct has nothing to compare."""
    rounds: list[float | None]


@dataclass(frozen=True)
class Row:
    """A line of the table; a variant without figures has no cell."""

    metric: Metric
    cells: dict[str, Cell]


def rows(figures: Figures) -> list[Row]:
    """Take the medians."""
    return [Row(metric, _cells(figures.samples[key])) for key, metric in figures.metrics.items()]


def _cells(samples: dict[str, list[float | None]]) -> dict[str, Cell]:
    return {
        name: _cell(taken, samples[DIRECT])
        for name, taken in samples.items()
        if any(figure is not None for figure in taken)
    }


def _cell(taken: list[float | None], direct: list[float | None]) -> Cell:
    """Compare what was taken in the same round."""
    ratios = [own / other for own, other in zip(taken, direct, strict=False) if own and other]
    ratio = statistics.median(ratios) if ratios else None
    return Cell(statistics.median(one for one in taken if one is not None), ratio, taken)


def broken_promises(table: Sequence[Row]) -> Iterator[str]:
    """Say which promises this run has not kept."""
    for row in table:
        ours = row.cells[KEEPLINE]
        if row.metric.key in (UPLOAD, DOWNLOAD):
            if ours.ratio is not None and ours.ratio < _LEAST_OF_DIRECT:
                yield f"{row.metric.title}: {ours.ratio:.2f} of direct, not {_LEAST_OF_DIRECT:.2f}"
            for name, cell in row.cells.items():
                if name not in (KEEPLINE, DIRECT) and cell.figure >= ours.figure:
                    yield f"{row.metric.title}: {name} is ahead"
        elif row.metric == START and ours.figure > _LONGEST_START:
            most = f"{_LONGEST_START * 1e3:.0f} ms"
            yield f"{row.metric.title}: {ours.figure * 1e3:.0f} ms, more than {most}"


def table_lines(table: Sequence[Row], variants: Sequence[str], figures: Figures) -> Iterator[str]:
    """Draw the table, and say what is missing from it."""
    yield f"{'':36}" + "".join(f"{name:20}" for name in variants).rstrip()
    for row in table:
        cells = (_drawn(row.cells.get(name), row.metric.unit, name) for name in variants)
        yield f"{row.metric.title:36}" + "".join(f"{cell:20}" for cell in cells).rstrip()
    for name, why in figures.missing.items():
        yield f"{name}: {why}"


def _drawn(cell: Cell | None, unit: Unit, name: str) -> str:
    if cell is None:
        return "-"
    if cell.ratio is None or name == DIRECT:
        return _written(cell.figure, unit)
    return f"{_written(cell.figure, unit)} ({cell.ratio:.2f})"


def _written(figure: float, unit: Unit) -> str:
    match unit:
        case "bytes/s":
            return f"{figure / 1e9:.2f} GB/s"
        case "seconds":
            return f"{figure * 1e3:.0f} ms" if figure > 0.01 else f"{figure * 1e6:.0f} µs"
        case "1/s":
            return f"{figure:,.0f} /s"
        case "bytes":
            return f"{figure / 1024:,.1f} KiB"
        case _:
            assert_never(unit)


def as_json(table: Sequence[Row], broken: Sequence[str], figures: Figures) -> str:
    """Write it all for programs, in bytes, seconds and counts."""
    metrics = {
        row.metric.key: {
            "title": row.metric.title,
            "unit": row.metric.unit,
            "variants": {
                name: {"median": cell.figure, "ratio": cell.ratio, "rounds": cell.rounds}
                for name, cell in row.cells.items()
            },
        }
        for row in table
    }
    return json.dumps(
        {"metrics": metrics, "missing": figures.missing, "broken": list(broken)}, indent=2
    )
