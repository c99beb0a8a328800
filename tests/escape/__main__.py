"""The command line of scripts/isolation; the only place that prints."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from netns.levels import OPENINGS

from . import report
from .levels import CALLERS, OPTIONS, Caller
from .plan import Run, all_levels
from .rows import ROWS

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/isolation.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rows; return 1 if one is not as expected, or not as the page says."""
    parsed = _parser().parse_args(arguments)
    rows = [row for row in ROWS if parsed.row in row.way]
    callers: list[Caller] = parsed.caller or (list(CALLERS) if os.geteuid() == 0 else ["user"])
    run = Run(rows, callers, parsed.level or all_levels(), parsed.jobs, _tell)
    trio.run(run.play)
    wrong = run.wrong()
    if parsed.verbose:
        for key, outcome in run.outcomes.items():
            _say(" | ".join((*key, str(outcome))))
    is_whole = len(rows) == len(ROWS) and len(callers) == len(CALLERS) and not parsed.level
    lines = {(line.way, line.level): report.written(line) for line in run.lines()}
    if is_whole:
        wrong += _not_named(run)
    if parsed.write:
        _PAGE.write_text("\n".join(report.page(list(lines.values()))) + "\n")
    elif parsed.check:
        committed = report.rows_of(_PAGE.read_text())
        wrong += [
            f"not as committed: {line}"
            for key, line in lines.items()
            if len(callers) == len(CALLERS) and not report.agrees(line, committed.get(key, ""))
        ]
    for text in wrong:
        _say(text)
    _say(f"isolation: {len(lines)} lines, {len(wrong)} wrong, {run.packets()} packets on the wire")
    return 1 if wrong else 0


def _not_named(run: Run) -> list[str]:
    """Compare what was found open with what doctor names, in both directions."""
    found = run.found_open()
    named = {
        (opening.name, level, caller)
        for opening in OPENINGS
        for level in OPTIONS
        for caller in run.callers
        if opening.is_open(level, is_root=caller == "root")
    }
    return [
        *(f"open, and doctor does not name it: {each}" for each in sorted(found - named)),
        *(f"doctor names it as open, and it is not: {each}" for each in sorted(named - found)),
    ]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _tell(what: str) -> None:
    sys.stderr.write(f"isolation: {what}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/isolation", description="Try each way out of the sandbox."
    )
    parser.add_argument("--row", default="", help="only ways whose name has this in it")
    parser.add_argument("--as", dest="caller", action="append", choices=CALLERS)
    parser.add_argument("--level", action="append", choices=all_levels())
    parser.add_argument("--jobs", type=int, default=8, help="programs at a time")
    parser.add_argument("--check", action="store_true", help="the same, against docs/isolation.md")
    parser.add_argument("--write", action="store_true", help="write docs/isolation.md")
    parser.add_argument("-v", "--verbose", action="store_true", help="each outcome")
    return parser


if __name__ == "__main__":
    sys.exit(main())
