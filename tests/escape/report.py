"""The page of the table, written and read; pure, no I/O."""

from collections.abc import Iterator, Sequence
from typing import Final

from .plan import Line

_INTRO: Final = """\
# What gets out

Each row is a way out of keepline's sandbox, tried by a program inside, as an ordinary user and as
root, at each level: the default one, and `--strict`. This page is written by
`scripts/isolation --write`; `scripts/isolation --check`, which CI runs, fails if a way comes out
differently.

Whether something got out is seen by the host: a server that was reached, a packet on the wire, a
file, a process, a secret that the program came to know. Each program is first run without keepline,
where it gets out; where nobody does, tests/escape says why. What a way met is the error that the
kernel gave the program. *open* is what a level leaves open, and `keepline doctor` names all of it.

While all of this is tried, the packets that leave the host are looked at too: none goes to a denied
network, no question is for a denied name, and there is nothing but TCP and the relay's own DNS.
"""
_HEAD: Final = ("way out", "level", "user", "root", "how it is closed", "what tries it")
_NOT_TRIED: Final = "not tried"


def page(written: Sequence[str]) -> Iterator[str]:
    """Write it, of lines that are written."""
    yield _INTRO
    ways = {_cells(line)[0] for line in written}
    opened = sum("**open**" in line for line in written)
    yield f"{len(ways)} ways out, {len(written)} lines, of which {opened} are open to somebody.\n"
    yield _write(_HEAD)
    yield _write(["---"] * len(_HEAD))
    yield from written


def rows_of(text: str) -> dict[tuple[str, str], str]:
    """Read the lines of a page, as they are written, by way and level."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {(_cells(line)[0], _cells(line)[1]): line for line in lines[2:]}


def agrees(written: str, committed: str) -> bool:
    """Return whether two lines say the same: kernels choose the errors, machines lack things."""
    ours, theirs = _cells(written), _cells(committed)
    return len(ours) == len(theirs) and all(
        _gist(one) == _gist(other)
        or _NOT_TRIED in (one[: len(_NOT_TRIED)], other[: len(_NOT_TRIED)])
        for one, other in zip(ours, theirs, strict=True)
    )


def _gist(cell: str) -> str:
    return cell.partition(":")[0] if cell.startswith("closed:") else cell


def written(line: Line) -> str:
    """Return a line as the page has it."""
    return _write([cell.replace("|", "\\|").replace("\n", " ") for cell in line.cells])


def _write(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(written: str) -> list[str]:
    return written.removeprefix("| ").removesuffix(" |").split(" | ")
