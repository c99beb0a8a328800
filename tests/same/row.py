"""What a row is: a situation, a program, and what may differ between its two outcomes; no I/O here.

An outcome is what a person would see: the exit status, what the program said, and when it ended,
in words, for a table with noisy numbers would never be the same twice.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from .networks.situations import Network

Way: TypeAlias = Literal["bare", "keepline"]
WAYS: Final[tuple[Way, ...]] = ("bare", "keepline")

AT_ONCE: Final = "at once"
_SLACK: Final = 0.9
"""Seconds by which something may come later than it is meant to, on a quiet machine; a SYN that
was lost goes out again after 1 s, and is not at once."""

_EARLY: Final = 0.1
_ROUND: Final = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300, 360, 600)

Situation: TypeAlias = "Callable[[Network], AbstractAsyncContextManager[None]]"
Observation: TypeAlias = "Callable[[Network], Awaitable[str]]"


@dataclass(frozen=True)
class Program:
    """A command line."""

    title: str
    """As the table shows it."""
    argv: tuple[str, ...]
    says: str = r"^said: (.*)$"
    """What of its output counts: each match of this pattern, its group if it has one."""
    start: float = 0.2
    """Seconds that it takes to start, on a quiet machine."""

    def said(self, output: str) -> str:
        """Return what counts of an output, each thing once, in order."""
        found = [
            next((group for group in match.groups() if group), match.group())
            for match in re.finditer(self.says, output, re.MULTILINE)
        ]
        return "; ".join(dict.fromkeys(text.strip() for text in found))


@dataclass(frozen=True)
class Differs:
    """A difference that is meant."""

    how: Literal["better", "worse"]
    why: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    situation: str
    network: Situation
    program: Program
    marks: Mapping[float, str] = field(default_factory=dict)
    """At how many seconds what ends the program, in the words of the table."""
    differs: Differs | None = None
    options: tuple[str, ...] = ()
    """Those of `keepline run`."""
    observe: "Observation | None" = None
    """What else is looked at when the program has ended."""
    limit: float = 25.0
    """Seconds after which the program has no end."""
    is_quick: bool = True
    """Whether it takes less than minutes."""
    is_large: bool = False
    """Whether it needs a browser or a large runtime, and is played with --large alone."""

    @property
    def key(self) -> tuple[str, str]:
        """Which row it is; no two have the same."""
        return self.situation, self.program.title

    @property
    def name(self) -> str:
        """The same in one line."""
        return ": ".join(self.key)


@dataclass(frozen=True)
class Outcome:
    """What became of a program, in words that are the same each time."""

    status: int | None
    """None: it went on."""
    said: str
    when: str

    def __str__(self) -> str:
        """Write it as a cell of the table."""
        if self.status is None:
            return f"no end in {self.when}"
        end = f"exit {self.status}" + (f", {self.said}" if self.said else "")
        return f"{end}; {self.when}"


def outcome(row: Row, status: int | None, output: str, seconds: float, slowness: float) -> Outcome:
    """Make an outcome of what was measured; `slowness` is the machine's, see tests.support.pace."""
    if status is None:
        return Outcome(None, "", f"{row.limit:g} s")
    late = (row.program.start + _SLACK) * slowness
    return Outcome(status, row.program.said(output), when(seconds, row.marks, late))


def when(seconds: float, marks: Mapping[float, str], late: float) -> str:
    """Put a time in words: that of the last mark before it, unless it is later by too much."""
    known = {0.0: AT_ONCE, **marks}
    mark = max(second for second in known if second <= seconds + _EARLY)
    if seconds - mark <= late:
        return known[mark]
    nearest = min(_ROUND, key=lambda number: abs(number - seconds))
    return f"after about {nearest} s"


@dataclass(frozen=True)
class Verdict:
    """How the two outcomes compare."""

    text: str
    is_broken: bool = False


def verdict(row: Row, bare: Outcome, keepline: Outcome) -> Verdict:
    """Judge: a difference needs its reason, and a reason its difference."""
    if bare == keepline:
        if row.differs is None:
            return Verdict("same")
        return Verdict(f"**same, not {row.differs.how}**: {row.differs.why}", is_broken=True)
    if row.differs is None:
        return Verdict("**differs**, without a reason", is_broken=True)
    return Verdict(f"{row.differs.how}: {row.differs.why}")
