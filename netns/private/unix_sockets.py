"""The host's UNIX sockets that have a path, from the kernel's list of each network namespace.

A socket is reached by its path from every network namespace, but listed in that where it was made
alone. The list has the path as it was given to bind(2): a relative one is looked for in the working
folders of all processes. Who is not listed: a socket that has another name by now, in another
folder, or that was made in a mount namespace with other paths.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

_PROC: Final = "/proc"
_ENTRY: Final = re.compile(
    rb"^[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} +([0-9]+)(?: |$)",
    re.MULTILINE,
)
"""An entry of /proc/net/unix up to its path, in which there may be newlines: proc_net(5)."""
_LISTENS: Final = 0x10000
"""The flag of a socket that does: __SO_ACCEPTCON of <linux/net.h>."""


class Entry(NamedTuple):
    """A socket that has a path."""

    path: bytes
    inode: int
    listens: bool


def entries(table: bytes) -> Iterator[Entry]:
    """Yield those of a /proc/net/unix; abstract names, which begin with an @, are no paths.

    What is in a path may look like an entry of its own.
    """
    begins = list(_ENTRY.finditer(table))
    ends = [begin.start() - 1 for begin in begins[1:]] + [len(table.removesuffix(b"\n"))]
    for begin, end in zip(begins, ends, strict=False):
        path = table[begin.end() : end]
        if path and not path.startswith(b"@"):
            yield Entry(path, int(begin[2]), bool(int(begin[1], 16) & _LISTENS))


def paths(table: bytes) -> Iterator[bytes]:
    """Yield the paths of a /proc/net/unix."""
    return (entry.path for entry in entries(table))


def host_sockets() -> list[str]:
    """Return the paths of all, sorted; raises OSError where the kernel lists none."""
    with open(f"{_PROC}/self/net/unix", "rb") as file:  # noqa: PTH123 - as the rest
        found = set(paths(file.read()))
    folders = set()
    seen = {os.stat(f"{_PROC}/self/net/unix").st_ino}  # noqa: PTH116 - as the rest
    for name in os.listdir(_PROC):  # noqa: PTH208 - Path objects would take longer than the rest
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
                found.update(_others(f"{_PROC}/{name}/net/unix", seen))
                folders.add(os.fsencode(os.readlink(f"{_PROC}/{name}/cwd")))  # noqa: PTH115
    absolute = {path for path in found if path.startswith(b"/")}
    for path in found - absolute:
        absolute.update(
            folder + b"/" + path for folder in folders if is_socket(folder + b"/" + path)
        )
    return sorted(map(os.fsdecode, absolute))


def _others(path: str, seen: set[int]) -> Iterator[bytes]:
    """Yield the paths of a process's network namespace, unless they are known.

    Its list is one file of proc(5) for all its processes, known by its inode: the namespace's own
    link can be read by those alone who may trace the process.
    """
    number = os.stat(path).st_ino  # noqa: PTH116 - as the rest
    if number not in seen:
        seen.add(number)
        with open(path, "rb") as file:  # noqa: PTH123 - as the rest
            yield from paths(file.read())


def is_socket(path: str | bytes) -> bool:
    """Return whether a path is a socket's, and no link's to one."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


class Content(NamedTuple):
    """What is in a folder."""

    sockets: list[str]
    """Their paths."""
    has_others: bool
    """Whether there is anything else."""


def content(folder: str) -> Content:
    """Return what a folder has, nothing if it cannot be read."""
    sockets, has_others = [], False
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            is_other = (
                entry.is_symlink()
                or entry.is_file(follow_symlinks=False)
                or entry.is_dir(follow_symlinks=False)
                or not is_socket(entry.path)
            )
            has_others |= is_other
            if not is_other:
                sockets.append(entry.path)
    return Content(sockets, has_others)
