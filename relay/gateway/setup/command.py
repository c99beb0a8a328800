"""Which agent a command becomes or starts, as far as its words and files tell; pure.

`env X=1 claude`, `npx claude`, `sh -c 'exec claude "$@"'`, a link of another name, a script: what
only a run would show is not found, and what keeps the gateway's variables from the agent is named.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, NamedTuple

from relay.gateway.dialect import Dialect
from relay.gateway.dialects import (
    dialect_of_file,
    dialect_of_package,
    dialect_of_program,
    programs,
)
from relay.gateway.setup import shell

_DEPTH: Final = 6
"""Wrappers within wrappers."""


class File(NamedTuple):
    """An executable file, or a script that an interpreter is given."""

    path: str
    """Without symbolic links."""
    package: str = ""
    """The package of npm whose command it is; empty if it is none's."""
    script: str = ""
    """Its text, where it begins with `#!`; else empty."""


Look = Callable[[str], File | None]
"""Returns what a word names, None if there is no such file."""


@dataclass(frozen=True)
class Agent:
    """The agent that a command runs."""

    name: str
    """As people call it."""
    dialect: Dialect
    through: str = ""
    """The outermost of what runs it; empty if it is the command itself."""
    sets: Mapping[str, str] = field(default_factory=dict)
    """Variables that it is given on the way, as they are written."""
    obstacle: str = ""
    """What keeps the caller's variables from it; empty if nothing does."""

    @property
    def why(self) -> str:
        """How it is known, for people."""
        return f"{self.through} runs {self.name}" if self.through else f"the command is {self.name}"


class Options(NamedTuple):
    """How the options of a program end, so that its operands are found."""

    letters: str = ""
    """Short options with a value."""
    words: tuple[str, ...] = ()
    """Long options whose value may be a word of its own."""
    operands: int = 0
    """Of its own, before the command that it runs."""


_WRAPPERS: Final = {
    "chrt": Options("TPD", ("--sched-runtime", "--sched-period", "--sched-deadline"), 1),
    "command": Options(),
    "exec": Options("a"),
    "ionice": Options("cn", ("--class", "--classdata")),
    "nice": Options("n", ("--adjustment",)),
    "nohup": Options(),
    "setsid": Options(),
    "stdbuf": Options("ioe", ("--input", "--output", "--error")),
    "taskset": Options(operands=1),
    "time": Options("fo", ("--format", "--output")),
    "timeout": Options("ks", ("--kill-after", "--signal"), 1),
}
"""Programs that run a command in their own environment: coreutils, util-linux, and the shell's."""

_RUNNERS: Final[Mapping[str, tuple[str, ...]]] = {
    "npx": (),
    "bunx": (),
    "npm": ("exec", "x"),
    "pnpm": ("dlx", "exec"),
    "yarn": ("dlx", "exec"),
    "bun": ("x",),
}
"""Programs that run a package's command, and the word that has them do so."""
_OF_RUNNERS: Final = Options("p", ("--package",))

_INTERPRETERS: Final = frozenset({"node", "nodejs", "bun", "deno"})
_OF_INTERPRETERS: Final = Options("rC", ("--require", "--import", "--loader", "--conditions"))

_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_OF_SHELLS: Final = Options("oO", ("--rcfile", "--init-file"))
_OF_ENV: Final = Options("uCS", ("--unset", "--chdir", "--split-string"))
_OF_OTHERS: Final = Options("ugCDhprTt")
_OTHERS: Final = frozenset({"sudo", "doas", "su", "runuser"})
"""Programs that run a command as somebody else, with another environment."""


def agent_of(command: Sequence[str], look: Look) -> Agent | None:
    """Return the agent that a command runs; None if it is known to run none.

    What is read here may be anybody's text, and no reason to fail: the command runs all the same.
    """
    try:
        return Finder(look).found(list(command), _DEPTH)
    except Exception:  # noqa: BLE001 - a text that is not understood names no agent
        return None


def unwrapped(command: Sequence[str]) -> list[str]:
    """Return the words of the program that a command runs, behind those that only start it."""
    words = list(command)
    for _ in range(_DEPTH):
        name, rest = words[0].rpartition("/")[2] if words else "", words[1:]
        if name in _WRAPPERS:
            words = operands_of(rest, _WRAPPERS[name])[_WRAPPERS[name].operands :]
        elif name == "env":
            words = operands_of(rest, _OF_ENV)
            words = words[len(_assignments(words)) :]
        elif name in _OTHERS:
            words = operands_of(rest, _OF_OTHERS)
            words = words[len(_assignments(words)) :]
        else:
            break
    return words


def started(command: Sequence[str], depth: int = _DEPTH) -> Iterator[list[str]]:
    """Yield the words of each program that a command runs, those of a text for the shell too."""
    words = unwrapped(command)
    name = words[0].rpartition("/")[2] if words else ""
    text = _text_of_shell(words[1:]) if name in _SHELLS else None
    if text is None:
        yield words
    elif depth:
        for whole in shell.simple_commands(*text):
            yield from started(whole[len(_assignments(whole)) :], depth - 1)


def _text_of_shell(rest: list[str]) -> tuple[str, list[str]] | None:
    """Return the text that a shell is given after -c, and its arguments; None if it is not."""
    words = operands_of(rest, _OF_SHELLS)
    options = rest[: len(rest) - len(words)]
    is_text = any(o.startswith("-") and not o.startswith("--") and "c" in o for o in options)
    return (words[0], words[2:]) if is_text and words else None


class Finder:
    """Finds the agent in words, and in what they name."""

    def __init__(self, look: Look) -> None:
        """Take what finds files."""
        self.look = look

    def found(self, words: list[str], depth: int) -> Agent | None:
        """Return the agent that the words run."""
        if not words or not depth:
            return None
        name, rest = words[0].rpartition("/")[2], words[1:]
        if (dialect := dialect_of_program(name)) is not None:
            return Agent(name, dialect)
        inner = self._by_name(name, rest, depth - 1)
        if inner is None:
            file = self.look(words[0])
            inner = self._of_file(file, rest, depth - 1) if file is not None else None
        return replace(inner, through=name) if inner is not None else None

    def _by_name(self, name: str, rest: list[str], depth: int) -> Agent | None:
        """Return what a program of this name runs, if it is known to run others."""
        agent: Agent | None = None
        if name in _WRAPPERS:
            options = _WRAPPERS[name]
            agent = self.found(operands_of(rest, options)[options.operands :], depth)
        elif name == "env":
            agent = self._by_env(rest, depth)
        elif name in _SHELLS:
            agent = self._by_shell(rest, depth)
        elif name in _OTHERS and (inner := self.found(operands_of(rest, _OF_OTHERS), depth)):
            agent = replace(inner, obstacle=f"{name} gives it another environment")
        elif name in _RUNNERS and (spec := _package_asked_for(_RUNNERS[name], rest)):
            dialect = dialect_of_package(spec) or dialect_of_program(spec)
            agent = Agent(dialect.programs[0], dialect) if dialect is not None else None
        elif name in _INTERPRETERS:
            agent = self._by_interpreter(rest)
        return agent

    def _by_interpreter(self, rest: list[str]) -> Agent | None:
        """Read what an interpreter is given: a script."""
        operands = operands_of(rest, _OF_INTERPRETERS)
        script = operands[1:2] if operands[:1] == ["run"] else operands[:1]
        file = self.look(script[0]) if script and "/" in script[0] else None
        return self._of_file(file, [], 0) if file is not None else None

    def _of_file(self, file: File, arguments: list[str], depth: int) -> Agent | None:
        """Return the agent that a file is, whatever its name, or runs as a script of the shell."""
        name = file.path.rpartition("/")[2]
        known = dialect_of_program(name) or dialect_of_package(file.package)
        dialect = known or dialect_of_file(file.path)
        if dialect is not None:
            return Agent(dialect.programs[0], dialect)
        first = file.script.partition("\n")[0].removeprefix("#!").split()
        interpreters = {word.rpartition("/")[2] for word in first[:3]}
        if interpreters & _SHELLS:
            return self._by_text(file.script, arguments, depth)
        return None

    def _by_env(self, rest: list[str], depth: int) -> Agent | None:
        """Read what env(1) is given."""
        operands = operands_of(rest, _OF_ENV)
        options = rest[: len(rest) - len(operands)]
        if any(option in ("-S", "--split-string") for option in options):
            return self._by_text(options[-1], [], depth)
        sets = _assignments(operands)
        inner = self.found(operands[len(sets) :], depth)
        unset = [name for option, name in pairwise(options) if option in ("-u", "--unset")]
        sets |= dict.fromkeys(unset, "")
        if inner is None:
            return None
        is_cleared = any(option in ("-", "-i", "--ignore-environment") for option in options)
        obstacle = "env -i clears its environment" if is_cleared else inner.obstacle
        return replace(inner, sets={**sets, **inner.sets}, obstacle=obstacle)

    def _by_shell(self, rest: list[str], depth: int) -> Agent | None:
        """Read what a shell is given: a text after -c, or a script."""
        if (text := _text_of_shell(rest)) is not None:
            return self._by_text(*text, depth)
        words = operands_of(rest, _OF_SHELLS)
        file = self.look(words[0]) if words and "/" in words[0] else None
        return self._by_text(file.script, words[1:], depth) if file is not None else None

    def _by_text(self, text: str, arguments: list[str], depth: int) -> Agent | None:
        """Return the first agent that a text for the shell runs.

        To read a text of 16 KiB takes 8 ms, so one in which none is named is not.
        """
        if not any(name in text for name in (*programs(), shell.ARGUMENTS)):
            return None
        exported: dict[str, str] = {}
        for whole in shell.simple_commands(text, arguments):
            sets = _assignments(whole)
            words = whole[len(sets) :]
            if words[:1] == ["export"]:
                exported |= _assignments(words[1:])
            elif not words:
                exported |= sets
            elif (inner := self.found(words, depth)) is not None:
                return replace(inner, sets={**exported, **sets, **inner.sets})
        return None


def _assignments(words: Sequence[str]) -> dict[str, str]:
    """Return the assignments that the words begin with."""
    found: dict[str, str] = {}
    for word in words:
        if not shell.ASSIGNMENT.match(word):
            break
        name, _, value = word.partition("=")
        found[name] = value
    return found


def operands_of(words: list[str], options: Options) -> list[str]:
    """Return the words behind the options: the first operand ends them, as POSIX has it."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word.startswith("--"):
            at += word in options.words
        elif len(word) > 1:
            at += word[-1] in options.letters
    return words[at:]


def _package_asked_for(subcommands: Sequence[str], rest: list[str]) -> str:
    """Return the package or the command that a runner of packages is asked for, without version."""
    if subcommands:
        if rest[:1] == [] or rest[0] not in subcommands:
            return ""
        rest = rest[1:]
    operands = operands_of(rest, _OF_RUNNERS)
    if not operands:
        return ""
    return operands[0][:1] + operands[0][1:].partition("@")[0]
