"""What `keepline podman` and `keepline docker` share: their command line, and who ends when."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from netns.errors import KeeplineError
from relay import flags
from relay.engines import words
from relay.engines.words import Run

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
"""What is sent to us alone; Ctrl-C and Ctrl-\\ the terminal sends to the engine's client too."""
_IGNORED: Final = (signal.SIGINT, signal.SIGQUIT)


class Asked(NamedTuple):
    """What was asked for."""

    settings: tuple[str, ...]
    """Flags of the session."""
    run: Run


def asked(engine: str, arguments: Sequence[str]) -> Asked:
    """Read the command line; raises KeeplineError."""
    usage = f"keepline {engine} [options] run [{engine}'s options] IMAGE [COMMAND ...]"
    parser = flags.Parser(prog=f"keepline {engine}", usage=usage)
    flags.add_settings(parser)
    parser.add_argument("words", nargs="...", help="what follows the engine's name")
    parsed = parser.parse_args(arguments)
    if parsed.words[:1] != ["run"]:
        raise KeeplineError(f"of {engine}'s commands, only run is given a network here", usage)
    settings = flags.sources(parsed).settings()
    if settings.strict or settings.relay or settings.linger:
        cause = "--strict, --relay and --linger are not for containers"
        raise KeeplineError(cause, "leave them out: the engine isolates a container, and ends it")
    run = words.read(parsed.words[1:])
    before = tuple(arguments[: len(arguments) - len(parsed.words)])
    return Asked((*before, *(f"--publish={each}" for each in run.published)), run)


def own(*arguments: str) -> list[str]:
    """Return the command line of another command of this keepline, as it was started itself."""
    count = len(sys.orig_argv) - len(sys.argv[1:])
    return [*sys.orig_argv[:count], *arguments]


def status_of(argv: Sequence[str]) -> int:
    """Run the engine's client to its end, and return its status as a shell shows it.

    Raises KeeplineError if there is none. Whoever asks this process to end asks the client.
    """
    early: list[int] = []
    pass_on = early.append

    for number in _PASSED_ON:
        signal.signal(number, lambda number, _frame: pass_on(number))
    try:
        process = subprocess.Popen(argv)  # noqa: S603 - what was asked for
    except OSError as error:
        raise KeeplineError(
            f"{argv[0]} cannot be started: {error.strerror}", f"install {argv[0]}"
        ) from error
    pass_on = process.send_signal
    for came in early:  # before there was anybody to tell
        process.send_signal(came)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    status = process.wait()
    return status if status >= 0 else 128 - status


def runs_as_root() -> bool:
    """Return whether the caller is root, and its engine with it."""
    return os.geteuid() == 0
