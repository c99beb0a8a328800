"""What the file is that a command's word names: its true name, its package, its text."""

import errno
import os
import stat
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Final

import msgspec

from relay.gateway.setup.command import File, Look

_MOST: Final = 16 * 1024
"""Bytes of a script, or of a package.json, that are read."""

_LEVELS: Final = 3
"""How far above a file its package.json may be."""


def looker(environment: Mapping[str, str]) -> Look:
    """Return what looks files up, in the PATH of an environment."""
    return cache(partial(_look, environment.get("PATH", os.defpath)))


def real_path(path: str, word: str) -> str:
    """Return the file that a word of a command names, without links; empty if there is none.

    `path` is where it is looked for, PATH.
    """
    found = word if "/" in word else _in_path(path, word)
    is_file = found and os.path.isfile(found)  # noqa: PTH113 - quicker than a Path
    return os.path.realpath(found) if is_file else ""


def _look(path: str, word: str) -> File | None:
    real = real_path(path, word)
    return File(real, _package(Path(real)), _script(real)) if real else None


def _in_path(path: str, word: str) -> str:
    """Return the program of this name, as execvp(3) would find it; empty if there is none.

    shutil.which() would do, but its module loads all compressors with it, 1.5 ms.
    """
    for folder in path.split(os.pathsep):
        file = os.path.join(folder, word)  # noqa: PTH118 - an empty folder is the current one
        if os.access(file, os.X_OK) and os.path.isfile(file):  # noqa: PTH113
            return file
    return ""


def _package(file: Path) -> str:
    """Return the name of the package to which a file belongs as one of its commands."""
    for folder in file.parents[:_LEVELS]:
        try:
            described = msgspec.json.decode(_beginning(folder / "package.json"))
            commands = described.get("bin", {})
            paths = commands.values() if isinstance(commands, dict) else (commands,)
            is_command = any(os.path.realpath(folder / each) == str(file) for each in paths)
            return str(described["name"]) if is_command or file.stem == "cli" else ""
        except OSError:
            continue
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):  # not what npm writes
            return ""
    return ""


def _script(path: str) -> str:
    try:
        text = _beginning(path)
    except OSError:
        return ""
    return text if text.startswith("#!") else ""


def _beginning(path: str | Path) -> str:
    """Return how a regular file begins; raises OSError, also for any other: a FIFO would wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is open
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read(_MOST).decode(errors="replace")
