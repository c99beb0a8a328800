"""The page of the table, written and read; pure, no I/O."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from .plan import Line

_INTRO: Final = """\
# The same as without keepline

What works without keepline works the same under it, or this page says why not. It is written by
`scripts/same --write`. Each row is a real program in a small internet of network namespaces, run
without keepline and under it, each in a network of its own, as an ordinary user and as root (they
differ only where a cell says so). `scripts/same --check` plays all rows but those that take
minutes, and fails if one comes out differently; CI does so. `--large` plays those that need a
browser or a large runtime, which CI does not.

What counts is the exit status, what the program says, and when it ends, in words: *at once* is
sooner than a lost SYN would be sent again, which is after 1 s. `v4.test` serves HTTP at port 80 and
an echo at 7; at 81 is what the row says, or nobody. *Worse* is meant, for the reason beside it.
"""
_SAID: Final = re.compile(r"^(exit \d+), .*(; [^;]*)$")
_HEAD: Final = ("situation", "program", "bare", "under keepline", "verdict")


def page(written: Sequence[str]) -> Iterator[str]:
    """Write it, of lines that are written."""
    yield _INTRO
    verdicts = Counter(_cells(line)[-1].partition(":")[0].strip("*") for line in written)
    counts = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
    yield f"{len(written)} rows: {counts}.\n"
    yield _write(_HEAD)
    yield _write(["---"] * len(_HEAD))
    yield from written


def rows_of(text: str) -> dict[tuple[str, str], str]:
    """Read the lines of a page, as they are written, by situation and program."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {(_cells(line)[0], _cells(line)[1].strip("`")): line for line in lines[2:]}


def gist(written: str) -> str:
    """Return what of a written line is compared: all but what programs say.

    That changes with their versions; whether both said the same is in the verdict.
    """
    return " | ".join(_SAID.sub(r"\1\2", cell) for cell in written.split(" | "))


def written(line: Line) -> str:
    """Return a line as the page has it."""
    return _write(line.cells)


def _write(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(written: str) -> list[str]:
    return written.removeprefix("| ").removesuffix(" |").split(" | ")
