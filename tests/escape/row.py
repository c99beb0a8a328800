"""What a row is: a way out, who tries it, who sees it, what is expected; no I/O here."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from .levels import CALLERS, CONTROL, Caller, Level

if TYPE_CHECKING:
    from .attempts import Attempt

Stage: TypeAlias = "Callable[[Attempt], AbstractAsyncContextManager[None]]"
Witness: TypeAlias = "Callable[[Attempt], bool]"


@dataclass(frozen=True)
class Closed:
    """The way is closed."""

    how: str


@dataclass(frozen=True)
class Open:
    """The way is open, and `keepline doctor` names it: the name of a netns.levels.Opening."""

    name: str


Expected: TypeAlias = Closed | Open


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt."""

    got_out: bool
    met: str
    """What the program met, errno by errno; or how the run ended."""
    is_broken: bool = False
    """Whether nothing was tried: the program failed, or did not end."""
    is_lacking: bool = False
    """Whether this machine lacks what it takes to try it."""

    def __str__(self) -> str:
        """Write it as a cell of the table."""
        if self.is_lacking:
            return f"not tried: {self.met}"
        if self.is_broken:
            return f"**broken**: {self.met}"
        if self.got_out:
            return "**open**"
        return f"closed: {'nothing arrives' if self.met == 'done' else self.met}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way out."""

    way: str
    program: str
    """MODULE.FUNCTION of tests/escape/programs."""
    witness: Witness
    at: Mapping[Level, Expected | tuple[Expected, Expected]]
    """What is expected at each level: for both callers, or for user and root."""
    stage: "Stage | None" = None
    options: Sequence[str] | None = None
    """Those of `keepline run`, in place of those that deny."""
    facts: Mapping[str, object] = field(default_factory=dict)
    control: Sequence[Caller] = CALLERS
    """Who gets out by it without keepline."""
    no_control: str = ""
    """Why nobody does, or not everybody; needed unless all do."""
    may_lack: str = ""
    """What a machine may lack, without which nobody gets out: then there is no control."""
    ends: bool = False
    """Whether the attempt may end the program, or keep it from running at all."""
    settle: float = 0.1
    """Seconds in which what got out has been seen."""
    outlives: bool = False
    """Whether the program goes on when what was started has ended."""
    is_later: bool = False
    """Whether it is tried when the session has ended."""

    def expected(self, level: Level, caller: Caller) -> Expected:
        """Return what is to become of it."""
        if level == CONTROL:
            return Open("control") if caller in self.control else Closed("no control")
        expected = self.at[level]
        if isinstance(expected, tuple):
            return expected[CALLERS.index(caller)]
        return expected


_EACH: Final = "as user: {}; as root: {}"


def how(row: Row, level: Level) -> str:
    """Return how a level closes it, or that it is left open."""
    words = []
    for caller in CALLERS:
        match row.expected(level, caller):
            case Closed(how=text):
                words.append(text)
            case Open(name=name):
                words.append(f"left open: {name}")
    return words[0] if len(set(words)) == 1 else _EACH.format(*words)


def verdict(row: Row, level: Level, caller: Caller, outcome: Outcome) -> str:
    """Return what is wrong with an outcome; empty if it is as expected, or was not tried."""
    if outcome.is_lacking:
        return ""
    if outcome.is_broken:
        return f"nothing was tried: {outcome.met}"
    match row.expected(level, caller):
        case Open() if level == CONTROL and not outcome.got_out and not row.may_lack:
            return f"the control did not get out: {outcome.met}"
        case Open(name=name) if level != CONTROL and not outcome.got_out:
            return f"it is closed ({outcome.met}), and is named as open: {name}"
        case Closed(how=text) if level != CONTROL and outcome.got_out:
            return f"it got out, and was to be closed: {text}"
    return ""


def everywhere(how_closed: str) -> Mapping[Level, Expected | tuple[Expected, Expected]]:
    """Expect that every level closes it."""
    return {"default": Closed(how_closed), "strict": Closed(how_closed)}


def until_strict(
    name: str, how_closed: str
) -> Mapping[Level, Expected | tuple[Expected, Expected]]:
    """Expect that the default level leaves it open, by a name, and the strict one closes it."""
    return {"default": Open(name), "strict": Closed(how_closed)}


def nowhere(name: str) -> Mapping[Level, Expected | tuple[Expected, Expected]]:
    """Expect that every level leaves it open, by a name."""
    return {"default": Open(name), "strict": Open(name)}
