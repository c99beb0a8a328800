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
minutes, and fails if one comes out differently; CI does so.

What counts is the exit status, what the program says, and when it ends, in words: *at once* is
sooner than a lost SYN would be sent again, which is after 1 s. `v4.test` serves HTTP at port 80 and
an echo at 7; at 81 is what the row says, or nobody. *Worse* is meant, for the reason beside it.
"""
_SAID: Final = re.compile(r"^(exit \d+), .*(; [^;]*)$")
_HEAD: Final = ("situation", "program", "bare", "under keepline", "verdict")


def page(lines: Sequence[Line]) -> Iterator[str]:
    """Write it."""
    yield _INTRO
    verdicts = Counter(line.verdict.text.partition(":")[0].strip("*") for line in lines)
    counts = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
    yield f"{len(lines)} rows: {counts}.\n"
    yield _write(_HEAD)
    yield _write(["---"] * len(_HEAD))
    for line in lines:
        yield _write(line.cells)


def gist(written: str) -> str:
    """Return what of a written line is compared: all but what programs say.

    That changes with their versions; whether both said the same is in the verdict.
    """
    return " | ".join(_SAID.sub(r"\1\2", cell) for cell in written.split(" | "))


def gists(text: str) -> set[str]:
    """Read the lines of a page."""
    return {gist(line) for line in text.splitlines() if line.startswith("| ")}


def written(line: Line) -> str:
    """Return a line as the page has it."""
    return _write(line.cells)


def _write(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
