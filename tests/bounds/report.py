"""The page of the bounds, written and read; pure, no I/O.

A figure varies from run to run, a page should not: the figure that a page has stays there until a
new one differs from it by half, and no check compares the two.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .row import Figures, Row

_INTRO: Final = """\
# What floods cost

Each row is something that a program inside, a server or a DNS zone does to the relay, on purpose or
by a mistake, and what that costs at most. This page is written by `scripts/bounds --write`;
`scripts/bounds --check`, which CI runs, makes each flood and fails if a bound does not hold.

*processor* is what the relay has computed while it lasted. *memory* is how much its resident memory
has grown at the peak. *others wait* is the longest that another program of the same session has
waited, meanwhile, for a name that was new, two connections, and a byte there and back on each.
*record* is the lines in the session's record at its end, without those of that other program. Of
each pair, the first figure is what was seen, rounded, and the second is the bound. Seconds are
those of a quiet machine of two cores.
"""
_HEAD: Final = (
    "who",
    "what it does",
    "what it costs, and the bound",
    "what it meets",
    "what is said",
)
_SEEN: Final = re.compile(r"(?P<name>[^;:]+): (?P<seen>[\d.]+) of ")


def page(rows: Sequence[Row], seen: Mapping[str, Figures], committed: str) -> str:
    """Write it; of rows that were not played with the figures that are committed."""
    lines = [_write(_HEAD), _write(["---"] * len(_HEAD))]
    lines += [line(row, seen.get(row.name, {}), seen_in(committed, row)) for row in rows]
    return "\n".join([_INTRO, *lines, ""])


def line(row: Row, figures: Figures, before: Mapping[str, str]) -> str:
    """Write one row."""
    costs = "; ".join(_costs(row, figures, before))
    said = f"`{row.said}`" if row.said else ""
    return _write([row.attacker, row.flood, costs, row.meets, said])


def _costs(row: Row, figures: Figures, before: Mapping[str, str]) -> Iterator[str]:
    for figure, bound in row.bounds.items():
        kept = before.get(figure.name)
        seen = figures.get(figure)
        text = kept or "?" if seen is None else _kept(seen, kept, figure.least)
        yield f"{figure}: {text} of {bound:,g} {figure.unit}".rstrip()


def _kept(seen: float, kept: str | None, least: float) -> str:
    """Return what the page has, unless that is wrong by half."""
    if kept is not None and kept != "?":
        smaller, larger = sorted((max(seen, least), max(float(kept), least)))
        if larger < 1.5 * smaller:
            return kept
    return f"{float(f'{max(seen, least):.1g}'):g}"


def seen_in(page_text: str, row: Row) -> dict[str, str]:
    """Return the figures that a page has of a row."""
    for text in page_text.splitlines():
        cells = _cells(text)
        if cells[:2] == [_escaped(row.attacker), _escaped(row.flood)]:
            return {found["name"].strip(): found["seen"] for found in _SEEN.finditer(cells[2])}
    return {}


def differences(rows: Sequence[Row], committed: str) -> Iterator[str]:
    """Yield what a page has that the rows do not have, or the other way round; but for figures."""
    theirs = [text for text in committed.splitlines() if text.startswith("| ")][2:]
    ours = [line(row, {}, seen_in(committed, row)) for row in rows]
    yield from (f"not in docs/bounds.md: {text}" for text in ours if text not in theirs)
    yield from (f"only in docs/bounds.md: {text}" for text in theirs if text not in ours)


def _write(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _cells(written: str) -> list[str]:
    return written.removeprefix("| ").removesuffix(" |").split(" | ")
