"""Where file systems of a kind are mounted, proc_pid_mountinfo(5)."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

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
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        root, point = (_ESCAPED.sub(_character, field) for field in fields[3:5])
        is_there = point == folder or point.startswith(f"{folder}/")
        if fields[fields.index("-") + 1] in kinds and not is_there:
            yield Mount(point, root, fields[2])


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 8))
