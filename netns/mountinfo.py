"""Where file systems of a kind are mounted, proc_pid_mountinfo(5)."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A file system, or a part of it, at its place."""

    point: str
    root: str
    """The part of it that is shown."""
    device: str
    """Its number, major:minor."""


def elsewhere(kinds: Collection[str], folder: str) -> Iterator[Mount]:
    """Yield the mounts of these kinds that are not at a folder or below it, as chroots have them.

    Others may be mounted over one, so that its place shows them.
    """
    for _number, kind, mount in _all():
        is_there = mount.point == folder or mount.point.startswith(f"{folder}/")
        if kind in kinds and not is_there:
            yield mount


def places(folder: int) -> Iterator[str]:
    """Yield every path at which an open folder is, its own first; raises OSError, or LookupError.

    A file system, or a part of it, may be mounted at several points, and other mounts may hide one.
    """
    status = os.fstat(folder)
    numbers = re.findall(r"(?m)^mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{folder}").read_text())
    known = {number: mount for number, _kind, mount in _all()}
    own = known[numbers[0]]
    path = os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH115 - a Path would lose an odd name
    if (rest := _beyond(path, own.point)) is None:
        raise LookupError(f"{path} is not in {own.point}")
    within = _joined(own.root, rest)
    for mount in (own, *(each for each in known.values() if each is not own)):
        if mount.device != own.device or (rest := _beyond(within, mount.root)) is None:
            continue
        place = _joined(mount.point, rest)
        try:
            found = os.stat(place)  # noqa: PTH116 - as above
        except OSError:  # something else is mounted there
            continue
        if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
            yield place


def _all() -> Iterator[tuple[str, str, Mount]]:
    """Yield the mounts with their numbers and their kinds."""
    for line in _MOUNTS.read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        root, point = (_ESCAPED.sub(_character, field) for field in fields[3:5])
        yield fields[0], fields[fields.index("-") + 1], Mount(point, root, fields[2])


def _beyond(path: str, folder: str) -> str | None:
    """Return what of a path is behind a folder on it; None if that is not on it."""
    folder = folder.rstrip("/")
    if path == folder or path.startswith(f"{folder}/"):
        return path[len(folder) :].lstrip("/")
    return None


def _joined(folder: str, rest: str) -> str:
    return f"{folder.rstrip('/')}/{rest}".rstrip("/") or "/"


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 8))
