"""Becomes the command as its caller would have: the same arguments, environment and search.

The interpreter adds to the environment (PEP 538: LC_CTYPE in the C locale), and cannot hold what
some callers pass: a name twice, an entry without "=". So it is read where the kernel has put it.
"""

import errno
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from netns import syscalls

EXIT_CANNOT_EXECUTE: Final = 126
EXIT_NOT_FOUND: Final = 127

_SHELL: Final = "/bin/sh"
_GOES_ON_AFTER: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ESTALE})
"""Errors of one folder of PATH that do not end the search, execvp(3)."""

Changes = Mapping[str, str | None]
"""Variables by name; None for one that is taken away."""


def callers_environment() -> list[bytes]:
    """Return the entries that this process was started with, proc_pid_environ(5).

    Without a /proc they are those that the interpreter knows.
    """
    try:
        return Path("/proc/self/environ").read_bytes().split(b"\0")[:-1]
    except FileNotFoundError:
        return [name + b"=" + value for name, value in os.environb.items()]


def changed(entries: Iterable[bytes], changes: Changes) -> list[bytes]:
    """Return an environment with other values for some variables; all else stays as it is."""
    left = {os.fsencode(name): value for name, value in changes.items()}
    kept = [entry for entry in entries if entry.partition(b"=")[0] not in left]
    return [
        *kept,
        *(name + b"=" + os.fsencode(value) for name, value in left.items() if value is not None),
    ]


def value_of(entries: Iterable[bytes], name: str) -> str | None:
    """Return the value of a variable as getenv(3) does, the first of several."""
    begins = os.fsencode(name) + b"="
    found = next((entry for entry in entries if entry.startswith(begins)), None)
    return None if found is None else os.fsdecode(found[len(begins) :])


def become(argv: Sequence[str], environment: Sequence[bytes]) -> NoReturn:
    """Exec the command; if that fails, say why, as a shell would, and exit with its status.

    A file without "#!" that is no binary is run by the shell, execvp(3).
    """
    failure = errno.ENOENT
    for path in candidates(argv[0], environment):
        number = _exec(path, argv, environment)
        if number == errno.ENOEXEC and not _is_binary(path):
            number = _exec(_SHELL, ["sh", path, *argv[1:]], environment)
        if number not in _GOES_ON_AFTER or "/" in argv[0]:
            failure = number
            break
        if number == errno.EACCES:  # told only if no other folder has it
            failure = number
    _refuse(argv[0], failure, EXIT_NOT_FOUND if failure == errno.ENOENT else EXIT_CANNOT_EXECUTE)


def candidates(program: str, environment: Sequence[bytes]) -> Iterator[str]:
    """Yield where the program may be; nowhere if it has no name."""
    if "/" in program:
        yield program
    elif program:
        search = value_of(environment, "PATH")
        for folder in (os.defpath if search is None else search).split(os.pathsep):
            yield os.path.join(folder, program)  # noqa: PTH118 - an empty folder is the current one


def _exec(path: str, argv: Sequence[str], environment: Sequence[bytes]) -> int:
    """Exec one file; return the errno if that fails."""
    try:
        pairs = [entry.partition(b"=") for entry in environment]
        plain = {name: value for name, equals, value in pairs if name and equals}
        if len(plain) == len(environment):
            os.execve(path, list(argv), plain)  # noqa: S606 - what we are for
        syscalls.execve(os.fsencode(path), [os.fsencode(each) for each in argv], environment)
    except OSError as error:
        return error.errno or 0


def _is_binary(path: str) -> bool:
    """Return whether a file is a program, for another machine, and not a script."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(128)
    except OSError:
        return True  # the shell could not read it either
    return b"\0" in head or head.startswith(b"\x7fELF")


def _refuse(program: str, number: int, status: int) -> NoReturn:
    """Report why the command does not start, as a shell would, with a shell's exit status."""
    if sys.stderr is not None:  # the caller may have closed it
        try:
            sys.stderr.write(f"keepline: {program}: {os.strerror(number)}\n")
            sys.stderr.flush()
        except OSError:  # nobody reads it: the status says it too
            pass
    os._exit(status)
