"""Programs of the system that keepline itself runs: the system's own, wherever PATH leads first.

PATH may name a folder that a program can write: one of the user's home, one of a project. What an
earlier session has put there is not to be run outside of any.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

SYSTEM: Final = ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")
"""Where systems keep programs; the last is NixOS's."""

_ROOT: Final = 0
_OVERFLOW: Final = 65534
"""Whoever is not mapped into this user namespace, user_namespaces(7), as root in a session."""


def find(name: str, search: str, trusted: Collection[int] = (_ROOT,)) -> str | None:
    """Return the path of a program, None if the system has none.

    It is looked for in SYSTEM, then in the folders of `search`, a PATH. The program, its folder and
    those above are the `trusted` users', and nobody else can write them. What SYSTEM names may also
    belong to whoever has the root folder, or to nobody that is known here: root of a namespace.
    """
    systems = {*trusted, _OVERFLOW, Path("/").stat().st_uid}
    for folder in SYSTEM:
        if _is_safe(path := Path(folder, name), systems):
            return str(path)
    for folder in filter(os.path.isabs, search.split(os.pathsep)):
        if _is_safe(path := Path(folder, name), trusted):
            return str(path)
    return None


def _is_safe(program: Path, owners: Collection[int]) -> bool:
    """Return whether it can be run, and only these can change it, or what is found in its place."""
    try:
        places = [place.stat() for place in _places(program)]
    except OSError:  # it is not there
        return False
    return (
        stat.S_ISREG(places[0].st_mode)
        and os.access(program, os.X_OK)
        and all(place.st_uid in owners and not _is_shared(place.st_mode) for place in places)
    )


def _places(program: Path) -> Iterator[Path]:
    """Yield what decides what is run: the program, its folder and those above, links followed."""
    for path in (program.resolve(), program.parent.resolve() / program.name):
        yield path
        yield from path.parents


def _is_shared(mode: int) -> bool:
    """Return whether others can write it; in a folder with the sticky bit only what is theirs."""
    return bool(mode & 0o022) and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
