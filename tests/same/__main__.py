"""The command line of scripts/same; the only place that prints."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from . import report
from .plan import Line, Run
from .programs import lacking
from .rows import ROWS

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/same.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rows; return 1 if one is not as the page says, or differs without a reason."""
    parsed = _parser().parse_args(arguments)
    missing = list(lacking(large=parsed.large))
    if missing:
        sys.stderr.write(f"same: this machine lacks {', '.join(missing)}; see .ci/run\n")
        return 1
    is_quick = parsed.quick or parsed.check
    rows = [
        row
        for row in ROWS
        if row.is_large == parsed.large
        and (row.is_quick or not is_quick)
        and parsed.row in row.name
    ]
    callers = parsed.caller or (["user", "root"] if os.geteuid() == 0 else ["user"])
    run = Run(rows, callers, parsed.jobs, _tell)
    committed = report.rows_of(_PAGE.read_text()) if _PAGE.exists() else {}

    def is_good(line: Line) -> bool:
        as_committed = report.gist(report.written(line)) == report.gist(
            committed.get(line.row.key, "")
        )
        return not line.verdict.is_broken and (as_committed or not parsed.check)

    trio.run(run.play, is_good)
    lines = run.lines()
    if parsed.write:
        known = committed | {line.row.key: report.written(line) for line in lines}
        written = [known[row.key] for row in ROWS if row.key in known]
        _PAGE.write_text("\n".join(report.page(written)) + "\n")
    sys.stdout.writelines(f"{text}\n" for text in run.failures)
    bad = [line for line in lines if not is_good(line)]
    sys.stdout.writelines(f"{report.written(line)}\n" for line in (bad if parsed.check else lines))
    sys.stdout.write(f"same: {len(lines) - len(bad)} passed, {len(bad)} failed\n")
    return 1 if bad or run.failures else 0


def _tell(what: str) -> None:
    sys.stderr.write(f"same: {what}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/same", description="Run programs bare and under keepline, side by side."
    )
    parser.add_argument("--row", default="", help="only rows whose name has this in it")
    parser.add_argument("--as", dest="caller", action="append", choices=("user", "root"))
    parser.add_argument("--jobs", type=int, default=10, help="programs at a time")
    parser.add_argument("--quick", action="store_true", help="no row that takes minutes")
    parser.add_argument("--large", action="store_true", help="those of browsers and large runtimes")
    parser.add_argument("--check", action="store_true", help="the same, against docs/same.md")
    parser.add_argument(
        "--write", action="store_true", help="write docs/same.md; rows not played stay as they are"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
