"""Processes of the caller on the host, by their names, and at which paths they listen."""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENS: Final = 0x10000
"""The flag of a socket that does, proc_pid_net(5): __SO_ACCEPTCON."""


def runs(names: Collection[str]) -> bool:
    """Return whether the caller has a process of one of these names, proc_pid_comm(5)."""
    return any(_named(names))


def listening(name: str) -> list[str]:
    """Return the paths of the UNIX sockets at which the caller's processes of a name listen.

    A path is that by which the socket was made: ssh gives it another one, with an ending less.
    """
    paths = dict(_listening())
    return [
        paths[inode] for process in _named([name]) for inode in _sockets(process) & paths.keys()
    ]


def _named(names: Collection[str]) -> Iterator[Path]:
    for process in filter(lambda path: path.name.isdecimal(), _PROC.iterdir()):
        with contextlib.suppress(OSError):  # it has ended
            is_own = process.stat().st_uid == os.geteuid()
            if is_own and (process / "comm").read_text().rstrip("\n") in names:
                yield process


def _listening() -> Iterator[tuple[str, str]]:
    """Yield inode and path of each socket of /proc/net/unix that has a path and listens."""
    for line in (_PROC / "net/unix").read_text(errors="surrogateescape").splitlines()[1:]:
        _number, _references, _protocol, flags, _type, _state, inode, *path = line.split(maxsplit=7)
        if path and int(flags, 16) & _LISTENS:
            yield inode, path[0]


def _sockets(process: Path) -> set[str]:
    """Return the inodes of the sockets that a process has open."""
    links: set[str] = set()
    with contextlib.suppress(OSError):  # it has ended, or lets nobody look
        for each in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                links.add(os.readlink(each))  # noqa: PTH115 - it is no path
    return {link.removeprefix("socket:[").removesuffix("]") for link in links}
