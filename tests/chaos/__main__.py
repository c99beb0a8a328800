"""The command line of the chaos table; the only place that prints."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import trio

from . import report
from .plan import Run
from .row import Row
from .rows import ROWS
from .soak import Soaked
from .ways import PROXIED, WAYS
from .worker import Played

_ALL: Final = frozenset(row.number for row in ROWS)
_SOAK: Final = 17
_SHORT_SOAK: Final = 1.0
_PAGES: Final = Path(__file__).resolve().parents[2] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play it; gives 1 if a promise is broken."""
    parsed = _parser().parse_args(arguments)
    has_soak = not parsed.through and _SOAK in (parsed.row or [_SOAK])
    minutes = _SHORT_SOAK if parsed.short else parsed.minutes
    run = Run(
        rows=_rows(parsed.row, parsed.through, is_short=parsed.short),
        jobs=parsed.jobs,
        times=parsed.times,
        is_short=parsed.short,
        soak_minutes=minutes if has_soak else 0,
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
        page = "chaos-proxies.md" if parsed.through else "chaos.md"
        (_PAGES / page).write_text("\n".join(report.markdown(run, table)) + "\n")
    if run.is_short:
        sys.stdout.write(f"{report.SHORT}\n")
    sys.stdout.writelines(f"{line}\n" for line in report.plain(table))
    broken = [line for line in table if line.broken]
    return 1 if broken else 0


def _rows(numbers: Sequence[int], ways: Sequence[str], *, is_short: bool) -> list[Row]:
    """Return the rows of these numbers, or all, each behind each of the proxies, if there are any.

    In the short form those that differ when their waits are shortened; behind a proxy each fault
    meets one client and lasts once as long, for the way out is the same for all.
    """
    possible = set(numbers or [row.number for row in ROWS]) & (PROXIED if ways else _ALL)
    rows = [row for row in ROWS if row.number in possible]
    if is_short:
        differing: dict[tuple[int, str, str], Row] = {}
        for row in rows:
            kind = (row.fault, "") if ways else (row.fault_of(row.short), row.client)
            differing.setdefault((row.number, *kind), row)
        rows = list(differing.values())
    return [replace(row, through=way) for row in rows for way in ways or ("",)]


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
        "--through",
        choices=sorted(WAYS),
        action="append",
        default=[],
        help="keepline's way out is this proxy; repeatable",
    )
    parser.add_argument("--jobs", type=int, default=16, help="rows that wait, at a time")
    parser.add_argument("--minutes", type=float, default=60, help="length of the soak, row 17")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    parser.add_argument(
        "--merge", type=Path, action="append", help="play nothing, take such a file's results"
    )
    parser.add_argument("--write", action="store_true", help="write the page in docs/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
