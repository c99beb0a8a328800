"""The command line of scripts/containers, in namespaces of its own; the only place that prints."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import engines, place, report
from .engines import Engine
from .playing import Outcome, play
from .profile import ALONE, extended, without_ours
from .profile import SHIPPED as PROFILE
from .rows import ROWS, TRIMMED, WHOLE, Row

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/containers.md"
_NOT_RUN: Final = "not run here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rows; return 1 if one is not as it may be, or not as the page says."""
    parsed = _parser().parse_args(arguments)
    rows = [row for row in ROWS if parsed.row in _shown(row)]
    found = _all(rows, parsed.cache, parsed.cgroup)
    wrong = [f"{_shown(row)}: {found[row].result}" for row in rows if found[row].is_wrong]
    by_key = {report.key(row): outcome for row, outcome in found.items()}
    if parsed.write and len(rows) == len(ROWS) and not wrong:
        _PAGE.write_text("\n".join(report.page(by_key)) + "\n")
    elif parsed.check:
        committed = report.read(_PAGE.read_text())
        wrong += [
            f"not as committed: {' '.join(key)}: {outcome}, committed {committed.get(key)}"
            for key, outcome in by_key.items()
            if not outcome.result.startswith(_NOT_RUN) and outcome != committed.get(key)
        ]
    for text in wrong:
        _say(text)
    lacking = sum(outcome.result.startswith(_NOT_RUN) for outcome in found.values())
    _say(f"containers: {len(rows)} rows, {len(wrong)} wrong, {lacking} {_NOT_RUN}")
    return 1 if wrong else 0


def _all(rows: Sequence[Row], cache: Path, cgroup: str) -> dict[Row, Outcome]:
    """Play rows, engine by engine."""
    try:
        made = place.fill(cache / "keepline")
    except (OSError, subprocess.CalledProcessError) as error:
        _say(f"{_NOT_RUN}: no place for engines: {error}")
        return {row: Outcome(f"{_NOT_RUN}: {error}") for row in rows}
    default = without_ours(json.loads(PROFILE.read_text()))
    WHOLE.write_bytes(PROFILE.read_bytes())
    TRIMMED.write_text(json.dumps(extended(default, ALONE)))
    place.FOLDER.chmod(0o755)
    found: dict[Row, Outcome] = {}
    for name in engines.NAMES:
        ours = [row for row in rows if row.engine == name]
        if not ours:
            continue
        began = time.monotonic()
        engine = engines.started(name, cache / "image.tar", made, cgroup)
        if isinstance(engine, str):
            _say(f"{_NOT_RUN}: {engines.SHOWN[name]}: {engine}")
            found |= {row: Outcome(f"{_NOT_RUN}: {engine}") for row in ours}
            continue
        _say(f"{engines.SHOWN[name]}: started in {time.monotonic() - began:.1f} s")
        found |= {row: _played(engine, row) for row in ours}
        engines.stopped(engine)
    return {row: found[row] for row in rows}


def _played(engine: Engine, row: Row) -> Outcome:
    began = time.monotonic()
    outcome = play(engine, row)
    _say(f"  {time.monotonic() - began:4.1f} s  {_shown(row)}: {outcome.result}")
    return outcome


def _shown(row: Row) -> str:
    return " | ".join(report.key(row))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/containers", description="Run keepline inside real containers."
    )
    parser.add_argument("cache", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("cgroup", help=argparse.SUPPRESS)
    parser.add_argument("--row", default="", help="only rows that have this in them")
    parser.add_argument("--check", action="store_true", help="the same, against docs/containers.md")
    parser.add_argument("--write", action="store_true", help="write docs/containers.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
