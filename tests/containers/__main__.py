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

from . import engines, place, report, sealed, steps
from .engines import Engine, Name
from .playing import Outcome, play
from .pods import KINDS
from .profile import ALONE, extended, without_ours
from .profile import SHIPPED as PROFILE
from .rows import ROWS, TRIMMED, WHOLE, Row
from .sealed import CASES
from .steps import STEPS

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs/containers.md"
_NOT_RUN: Final = "not run here"


@dataclass
class Found:
    """What came out."""

    rows: dict[Row, Outcome] = field(default_factory=dict)
    pods: report.Pods = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)

    def lack(self, wanted: "Wanted", why: str) -> None:
        """Note that these cannot be run here."""
        _say(f"{_NOT_RUN}: {why}")
        self.rows |= {row: Outcome(f"{_NOT_RUN}: {why}") for row in wanted.rows}
        self.pods |= {kind: dict.fromkeys(STEPS, _NOT_RUN) for kind in wanted.kinds}
        self.sealed |= dict.fromkeys(wanted.sealed, _NOT_RUN)

    def wrong(self) -> Iterator[str]:
        """Yield what no machine may have come out."""
        for row, outcome in self.rows.items():
            if outcome.is_wrong:
                yield f"{_shown(row)}: {outcome.result}"
        for kind, results in (*self.pods.items(), ("sealed", self.sealed)):
            for text, result in results.items():
                if result.startswith("WRONG"):
                    yield f"{kind}: {text}: {result}"

    def lacking(self) -> int:
        """Return how many could not be run here."""
        results = [outcome.result for outcome in self.rows.values()]
        results += [*self.sealed.values(), *(min(each.values()) for each in self.pods.values())]
        return sum(result.startswith(_NOT_RUN) for result in results)


@dataclass(frozen=True)
class Wanted:
    """What is to be tried."""

    rows: Sequence[Row]
    kinds: Sequence[str]
    sealed: Sequence[str]

    @classmethod
    def with_text(cls, text: str) -> "Wanted":
        """Return what has a text in it."""
        return cls(
            [row for row in ROWS if text in _shown(row)],
            [kind for kind in KINDS if text in f"pod: {kind}"],
            [case for case in CASES if text in f"sealed: {case}"],
        )

    def of(self, engine: Name) -> "Wanted":
        """Return what an engine is needed for."""
        return Wanted(
            [row for row in self.rows if row.engine == engine],
            [kind for kind in self.kinds if KINDS[kind][0] == engine],
            [case for case in self.sealed if CASES[case][0] == engine],
        )

    def __bool__(self) -> bool:
        """Return whether anything is."""
        return bool(self.rows or self.kinds or self.sealed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rows; return 1 if one is not as it may be, or not as the page says."""
    parsed = _parser().parse_args(arguments)
    wanted = Wanted.with_text(parsed.row)
    found = _all(wanted, parsed.cache, parsed.cgroup)
    wrong = list(found.wrong())
    by_key = {report.key(row): found.rows[row] for row in wanted.rows}
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
    tried = f"{len(found.rows)} rows, {len(found.pods)} pods, {len(found.sealed)} sealed"
    _say(f"containers: {tried}, {len(wrong)} wrong, {found.lacking()} {_NOT_RUN}")
    return 1 if wrong else 0


def _all(wanted: Wanted, cache: Path, cgroup: str) -> Found:
    """Play what is wanted, engine by engine."""
    found = Found()
    try:
        made = place.fill(cache / "keepline")
    except (OSError, subprocess.CalledProcessError) as error:
        found.lack(wanted, f"no place for engines: {error}")
        return found
    default = without_ours(json.loads(PROFILE.read_text()))
    WHOLE.write_bytes(PROFILE.read_bytes())
    TRIMMED.write_text(json.dumps(extended(default, ALONE)))
    place.FOLDER.chmod(0o755)
    image = cache / "image.tar"
    for name in engines.NAMES:
        if not (ours := wanted.of(name)):
            continue
        began = time.monotonic()
        engine = engines.started(name, image, made, cgroup)
        if isinstance(engine, str):
            found.lack(ours, f"{engines.SHOWN[name]}: {engine}")
            continue
        _say(f"{engines.SHOWN[name]}: started in {time.monotonic() - began:.1f} s")
        _play(engine, ours, found, image)
        engines.stopped(engine)
    return found


def _play(engine: Engine, wanted: Wanted, found: Found, image: Path) -> None:
    """Play what an engine is wanted for."""
    found.rows |= {row: _played(engine, row) for row in wanted.rows}
    for case in wanted.sealed:
        began = time.monotonic()
        found.sealed[case] = sealed.play(engine, case)
        _say(f"  {time.monotonic() - began:4.1f} s  sealed: {case}: {found.sealed[case]}")
    if wanted.kinds:
        engine = engines.with_image(engine, image)
    found.pods |= {kind: dict(_tried(engine, kind)) for kind in wanted.kinds}


def _tried(engine: Engine, kind: str) -> Iterator[tuple[str, str]]:
    began = time.monotonic()
    for text, result in steps.play(engine, kind):
        _say(f"  {time.monotonic() - began:4.1f} s  {kind}: {text}: {result}")
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
