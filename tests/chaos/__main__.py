"""The command line of the chaos table; the only place that prints."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import trio

from . import report
from .plan import Run
from .row import Row
from .rows import ROWS
from .soak import Soaked
from .stage import PROXIES
from .worker import Played

_SOAK: Final = 17
_SHORT_SOAK: Final = 1.0
_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/chaos.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play it; gives 1 if a promise is broken."""
    parsed = _parser().parse_args(arguments)
    chosen = set(parsed.row or [*(row.number for row in ROWS), _SOAK])
    minutes = _SHORT_SOAK if parsed.short else parsed.minutes
    run = Run(
        rows=[row for row in _rows(is_short=parsed.short) if row.number in chosen],
        jobs=parsed.jobs,
        times=parsed.times,
        is_short=parsed.short,
        through=parsed.through,
        soak_minutes=minutes if _SOAK in chosen else 0,
        tell=_tell,
    )
    if parsed.merge:
        _merge(run, [json.loads(path.read_text()) for path in parsed.merge])
    else:
        trio.run(run.play)
    if parsed.json:
        played = {name: asdict(one) for name, one in run.played.items()}
        soaked = asdict(run.soaked) if run.soaked else None
        parsed.json.write_text(json.dumps({"played": played, "soaked": soaked}))
    table = report.lines(run)
    if parsed.write:
        _PAGE.write_text("\n".join(report.markdown(run, table)) + "\n")
    if run.is_short:
        sys.stdout.write(f"{report.SHORT}\n")
    sys.stdout.writelines(f"{line}\n" for line in report.plain(table))
    broken = [line for line in table if line.broken]
    return 1 if broken else 0


def _rows(*, is_short: bool) -> list[Row]:
    """Return all rows, or those that differ when their waits are shortened."""
    if not is_short:
        return ROWS
    differing = {(row.number, row.fault_of(row.short), row.client): row for row in ROWS}
    return list(differing.values())


def _merge(run: Run, results: Sequence[dict[str, dict[str, object]]]) -> None:
    """Take the results of earlier runs, a later one's in place of an earlier one's."""
    for result in results:
        for name, one in result["played"].items():
            run.played[name] = Played.from_json(json.dumps(one))
        if result["soaked"]:
            run.soaked = Soaked.from_json(json.dumps(result["soaked"]))


def _tell(what: str) -> None:
    sys.stderr.write(f"chaos: {what}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Play the table of faults.")
    parser.add_argument("--row", type=int, action="append", help="this row only; repeatable")
    parser.add_argument("--times", type=int, help="samples of each row instead of its own number")
    parser.add_argument("--short", action="store_true", help="each row once, shortened waits")
    parser.add_argument(
        "--through", choices=PROXIES, default="", help="keepline's way out is this proxy"
    )
    parser.add_argument("--jobs", type=int, default=16, help="rows that wait, at a time")
    parser.add_argument("--minutes", type=float, default=60, help="length of the soak, row 17")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    parser.add_argument(
        "--merge", type=Path, action="append", help="play nothing, take such a file's results"
    )
    parser.add_argument("--write", action="store_true", help="write docs/chaos.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
