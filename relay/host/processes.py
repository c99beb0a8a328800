"""Processes of the caller on the host, by their names, and at which paths they listen."""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def runs(names: Collection[str]) -> bool:
    """Return whether the caller has a process of one of these names, proc_pid_comm(5)."""
    return any(_named(names))


def listening(name: str) -> list[str]:
    """Return the paths of the UNIX sockets at which the caller's processes of a name listen.

    A path is that by which the socket was made: ssh gives it another one, with an ending less.
    """
    from netns.private.unix_sockets import entries  # noqa: PLC0415 - for few commands

    table = (_PROC / "net/unix").read_bytes()
    paths = {entry.inode: os.fsdecode(entry.path) for entry in entries(table) if entry.listens}
    return [paths[inode] for process in _named([name]) for inode in sockets(process) & paths.keys()]


def _named(names: Collection[str]) -> Iterator[Path]:
    for process in filter(lambda path: path.name.isdecimal(), _PROC.iterdir()):
        with contextlib.suppress(OSError):  # it has ended
            is_own = process.stat().st_uid == os.geteuid()
            if is_own and (process / "comm").read_text().rstrip("\n") in names:
                yield process


def sockets(process: Path) -> set[int]:
    """Return the inodes of the sockets that a process has open; none if it lets nobody look."""
    found: set[int] = set()
    with contextlib.suppress(OSError):  # it has ended, or lets nobody look
        for each in os.listdir(process / "fd"):  # noqa: PTH208 - names alone
            with contextlib.suppress(OSError):  # it was closed meanwhile
                link = os.readlink(process / "fd" / each)  # noqa: PTH115 - it is no path
                if link.startswith("socket:["):
                    found.add(int(link.removeprefix("socket:[").removesuffix("]")))
    return found
