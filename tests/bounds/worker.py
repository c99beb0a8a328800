"""Plays rows as one caller, one after the other; writes what became of each as a JSON line."""

import contextlib
import os
import resource
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from tests.support.internet.enter import enter

from .row import Row
from .rows import ROWS
from .stage import play

_DESCRIPTORS: Final = 20_000


@dataclass(frozen=True)
class Played:
    """What became of one row."""

    row: str
    figures: Mapping[str, float]
    wrong: list[str]
    seconds: float
    notes: list[str]


async def _play(row: Row) -> Played:
    """Play one row; a defect of ours is an outcome too."""
    began = time.monotonic()
    figures, wrong, notes = dict[str, float](), list[str](), list[str]()
    try:
        outcome = await play(row)
        figures = {figure.name: value for figure, value in outcome.figures.items()}
        wrong, notes = outcome.wrong, outcome.notes
    except Exception:  # noqa: BLE001 - told with the row that it befell
        wrong = [traceback.format_exc()]
    return Played(row.name, figures, wrong, round(time.monotonic() - began, 1), notes)


def _raise_limit() -> None:
    """Have the descriptors that rows speak of, or as many as we may: servers need them too."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _DESCRIPTORS:
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
            return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Play the rows whose names stand on stdin, a line each."""
    (caller,) = sys.argv[1:]
    wanted = sys.stdin.read().splitlines()
    _raise_limit()
    enter(as_root=caller == "root" and os.geteuid() == 0)
    for row in ROWS:
        if row.name in wanted:
            played = trio.run(_play, row)
            sys.stdout.write(msgspec.json.encode(played).decode() + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
