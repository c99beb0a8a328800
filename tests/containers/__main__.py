"""The command line of scripts/containers, in namespaces of its own; the only place that prints."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import engines, place, report, steps
from . import sealed as sealed_steps
from .engines import Engine, Name
from .playing import Outcome, play
from .pods import KINDS
from .profile import ALONE, extended, without_ours
from .profile import SHIPPED as PROFILE
from .rows import ROWS, TRIMMED, WHOLE, Row
from .steps import STEPS

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/containers.md"
_NOT_RUN: Final = "not run here"


@dataclass
class Found:
    """What came out."""

    rows: dict[Row, Outcome] = field(default_factory=dict)
    pods: report.Pods = field(default_factory=dict)
    sealed: report.Pods = field(default_factory=dict)

    def lack(
        self, rows: Sequence[Row], kinds: Sequence[str], sealed: Sequence[Name], why: str
    ) -> None:
        """Note that these cannot be run here."""
        _say(f"{_NOT_RUN}: {why}")
        self.rows |= {row: Outcome(f"{_NOT_RUN}: {why}") for row in rows}
        self.pods |= {kind: dict.fromkeys(STEPS, _NOT_RUN) for kind in kinds}
        self.sealed |= {
            engines.SHOWN[name]: dict.fromkeys(sealed_steps.STEPS, _NOT_RUN) for name in sealed
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rows; return 1 if one is not as it may be, or not as the page says."""
    parsed = _parser().parse_args(arguments)
    rows = [row for row in ROWS if parsed.row in _shown(row)]
    kinds = [kind for kind in KINDS if parsed.row in f"pod: {kind}"]
    sealed = [name for name in engines.NAMES if parsed.row in f"sealed: {name}"]
    found = _all(rows, kinds, sealed, parsed.cache, parsed.cgroup)
    wrong = [f"{_shown(row)}: {found.rows[row].result}" for row in rows if found.rows[row].is_wrong]
    wrong += [
        f"{kind}: {text}: {result}"
        for kind, results in (found.pods | found.sealed).items()
        for text, result in results.items()
        if result.startswith("WRONG")
    ]
    by_key = {report.key(row): found.rows[row] for row in rows}
    if parsed.write and not parsed.row and not wrong:
        _PAGE.write_text("\n".join(report.page(by_key, found.pods, found.sealed)) + "\n")
    elif parsed.check:
        committed = report.read(_PAGE.read_text())
        wrong += [
            f"not as committed: {' '.join(key)}: {outcome}, committed {committed.get(key)}"
            for key, outcome in by_key.items()
            if not outcome.result.startswith(_NOT_RUN) and outcome != committed.get(key)
        ]
    for text in wrong:
        _say(text)
    lacking = sum(outcome.result.startswith(_NOT_RUN) for outcome in found.rows.values())
    others = [*found.pods.values(), *found.sealed.values()]
    lacking += sum(_NOT_RUN in results.values() for results in others)
    tried = f"{len(rows)} rows, {len(found.pods)} pods, {len(found.sealed)} engines sealed"
    _say(f"containers: {tried}, {len(wrong)} wrong, {lacking} {_NOT_RUN}")
    return 1 if wrong else 0


def _all(
    rows: Sequence[Row], kinds: Sequence[str], sealed: Sequence[Name], cache: Path, cgroup: str
) -> Found:
    """Play rows, pods and sealed containers, engine by engine."""
    found = Found()
    try:
        made = place.fill(cache / "keepline")
    except (OSError, subprocess.CalledProcessError) as error:
        found.lack(rows, kinds, sealed, f"no place for engines: {error}")
        return found
    default = without_ours(json.loads(PROFILE.read_text()))
    WHOLE.write_bytes(PROFILE.read_bytes())
    TRIMMED.write_text(json.dumps(extended(default, ALONE)))
    place.FOLDER.chmod(0o755)
    image = cache / "image.tar"
    for name in engines.NAMES:
        ours = [row for row in rows if row.engine == name]
        pods = [kind for kind in kinds if KINDS[kind][0] == name]
        if not ours and not pods and name not in sealed:
            continue
        began = time.monotonic()
        engine = engines.started(name, image, made, cgroup)
        if isinstance(engine, str):
            found.lack(
                ours, pods, [name] if name in sealed else [], f"{engines.SHOWN[name]}: {engine}"
            )
            continue
        _say(f"{engines.SHOWN[name]}: started in {time.monotonic() - began:.1f} s")
        found.rows |= {row: _played(engine, row) for row in ours}
        if name in sealed:
            found.sealed[engines.SHOWN[name]] = dict(_sealed(engine))
        if pods:
            engine = engines.with_image(engine, image)
        found.pods |= {kind: dict(_tried(engine, kind)) for kind in pods}
        engines.stopped(engine)
    return found


def _tried(engine: Engine, kind: str) -> Iterator[tuple[str, str]]:
    began = time.monotonic()
    for text, result in steps.play(engine, kind):
        _say(f"  {time.monotonic() - began:4.1f} s  {kind}: {text}: {result}")
        yield text, result
        began = time.monotonic()


def _sealed(engine: Engine) -> Iterator[tuple[str, str]]:
    began = time.monotonic()
    for text, result in sealed_steps.play(engine):
        _say(f"  {time.monotonic() - began:4.1f} s  sealed: {text}: {result}")
        yield text, result
        began = time.monotonic()


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
