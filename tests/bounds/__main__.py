"""The command line of scripts/bounds; the only place that prints."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.support.pace import within

from . import report
from .row import Figures, Row
from .rows import ROWS
from .worker import Played

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/bounds.md"
_TRIES: Final = 3
"""A machine that others load may take a bystander's time, and the processor's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rows; return 1 if a bound does not hold, or the page is not that of the rows."""
    parsed = _parser().parse_args(arguments)
    rows = [row for row in ROWS if parsed.row in row.name]
    seen: dict[str, Figures] = {}
    wrong: list[str] = []
    left = rows
    for _ in range(_TRIES):
        wrong = []
        played = {each.row: each for each in _played(left, parsed.caller)}
        for row in left:
            seen[row.name], faults = _judged(row, played.get(row.name))
            wrong += faults
        left = [row for row in left if any(text.startswith(row.name) for text in wrong)]
        if not left:
            break
        _tell("\n".join(["once more:", *wrong]))
    committed = _PAGE.read_text() if _PAGE.exists() else ""
    if parsed.write:
        _PAGE.write_text(report.page(ROWS, seen, committed))
    elif parsed.check:
        wrong += report.differences(ROWS, committed)
    for text in wrong:
        _say(text)
    _say(f"bounds: {len(rows)} rows, {len(wrong)} wrong")
    return 1 if wrong else 0


def _judged(row: Row, played: Played | None) -> tuple[Figures, list[str]]:
    """Return the figures of a row, and what is wrong with them."""
    if played is None:
        return {}, [f"{row.name}: not played"]
    wrong = [f"{row.name}: {text}" for text in played.wrong]
    figures: Figures = {}
    for figure, bound in row.bounds.items():
        if (value := played.figures.get(figure.name)) is None:
            wrong.append(f"{row.name}: {figure} was not measured")
            continue
        figures[figure] = value
        holds = within(value, bound) if figure.is_time else value <= bound
        if not holds:
            text = f"{figure} {value:.3g} {figure.unit}, and at most {bound:g}"
            wrong.append(f"{row.name}: {text}")
    told = "; ".join(
        [*(f"{name}: {value:.3g}" for name, value in played.figures.items()), *played.notes]
    )
    _tell(f"{row.name} ({played.seconds} s): {told}")
    return figures, wrong


def _played(rows: Sequence[Row], caller: str) -> Iterator[Played]:
    """Have a process play the rows as a caller."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "tests.bounds.worker", caller],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write("\n".join(row.name for row in rows))
        process.stdin.close()
        for line in process.stdout:
            yield msgspec.json.decode(line, type=Played)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _tell(text: str) -> None:
    sys.stderr.write(f"bounds: {text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bounds", description="Make each flood, and see what it costs."
    )
    parser.add_argument("--row", default="", help="only rows whose name has this in it")
    parser.add_argument("--as", dest="caller", default="user", choices=("user", "root"))
    parser.add_argument("--check", action="store_true", help="the same, against docs/bounds.md")
    parser.add_argument("--write", action="store_true", help="write docs/bounds.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
