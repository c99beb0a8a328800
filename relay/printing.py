"""What the command line prints: errors with their next step, lines of text, at once."""

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from netns.errors import EXIT_OWN_FAILURE, KeeplineError
from relay.record.escaping import shown, shown_lines


def fail(cause: str, hint: str) -> int:
    """Say what went wrong and what to try; return the exit status."""
    _write_error(f"{shown(cause)}\n  try: {shown_lines(hint)}")
    return EXIT_OWN_FAILURE


def warn(message: str) -> None:
    """Say something in a line, of what a program may have named."""
    _write_error(shown(message))


def _write_error(message: str) -> None:
    if sys.stderr is None:  # the caller has closed it
        return
    try:
        sys.stderr.write(f"keepline: {message}\n")
    except OSError:  # nobody reads it
        _silence(sys.stderr)


def write_lines(lines: Iterable[str]) -> None:
    """Print lines, of what a file may hold."""
    for line in lines:
        write(f"{shown(line)}\n")


def write(text: str) -> None:
    """Write at once, while a failure can be handled; raises KeeplineError, or BrokenPipeError."""
    if sys.stdout is None:  # the caller has closed it
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        raise
    except OSError as error:
        _silence(sys.stdout)
        raise KeeplineError(
            f"cannot write what was asked for: {error.strerror}", "send it elsewhere, or make room"
        ) from error


def _silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere: it must not change the status at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
