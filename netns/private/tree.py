"""What is mounted, made and linked so that folders are private but for a list, in order; pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_MAX_LINKS: Final = 40
"""Symbolic links that are followed in one path, path_resolution(7)."""


@dataclass(frozen=True)
class Empty:
    """A folder in whose place an empty file system of its own is mounted."""

    path: str
    mode: int
    size: str
    """At most, as tmpfs(5) takes it."""
    exists: bool = True
    """Whether the host has it: what it has not can be made in another empty folder alone."""
    is_asked_for: bool = True
    """Whether it is to be there even if the host has it not."""


@dataclass(frozen=True)
class Folder:
    """A new folder in an empty one."""

    path: str
    mode: int


@dataclass(frozen=True)
class Link:
    """A symbolic link in an empty folder."""

    path: str
    target: str


@dataclass(frozen=True)
class Opened:
    """A file or a folder of the host that is shown where it was."""

    path: str
    descriptor: int
    """The file itself, open(2) O_PATH: its path leads elsewhere once a folder above is empty."""
    is_folder: bool
    read_only: bool = False


Step: TypeAlias = Empty | Folder | Link | Opened


def parts(path: str) -> tuple[str, ...]:
    """Return the names on a path from the root on."""
    return tuple(name for name in path.split("/") if name)


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder itself or in it; both without links and `..`."""
    return parts(path)[: len(parts(folder))] == parts(folder)


def followed(path: str, read_link: Callable[[str], str | None]) -> tuple[list[Link], str]:
    """Return the symbolic links on an absolute path, in order, and where it leads to.

    `read_link` returns a link's target, None for all else. Of a loop the path so far is returned.
    """
    links: list[Link] = []
    place: list[str] = []
    left = list(reversed(parts(path)))
    while left:
        name = left.pop()
        if name == "..":
            del place[-1:]
            continue
        if name == ".":
            continue
        place.append(name)
        here = "/" + "/".join(place)
        target = read_link(here)
        if target is None:
            continue
        links.append(Link(here, target))
        if len(links) > _MAX_LINKS:
            break
        if target.startswith("/"):
            place = []
        else:
            place.pop()
        left.extend(reversed(parts(target)))
    return links, "/" + "/".join(place)


def arranged(wanted: Iterable[Step]) -> Sequence[Step]:
    """Return the steps that are needed, each after those for the folders above it.

    Of several for one path an empty folder wins, else the first. What is in no empty folder is
    there anyway, so that it is opened only to be made read-only. An empty folder in another is a
    file system of its own all the same, and so has its own limit.
    """
    order = {Empty: 0, Opened: 1, Link: 2, Folder: 3}
    steps: dict[tuple[str, ...], Step] = {}
    for step in sorted(wanted, key=lambda step: (parts(step.path), order[type(step)])):
        path = parts(step.path)
        if path in steps:
            continue
        above = next(
            (
                found
                for length in range(len(path) - 1, -1, -1)
                if isinstance(found := steps.get(path[:length]), Empty | Opened)
            ),
            None,
        )
        if _is_needed(step, is_in_empty=isinstance(above, Empty)):
            steps[path] = step
    return list(steps.values())


def _is_needed(step: Step, *, is_in_empty: bool) -> bool:
    if isinstance(step, Empty):
        return step.exists or (is_in_empty and step.is_asked_for)
    return is_in_empty or (isinstance(step, Opened) and step.read_only)
