"""Masks the sockets that are in sight once folders are private.

A mask is a mount over a file, and the kernel takes it away with the file: at a socket that its
server removes and makes anew there is none. Where a folder has nothing but sockets, it is masked
itself, and what is made in it later is out of reach too.
"""

import os
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, NamedTuple

from netns import syscalls
from netns.private.mounting import TMPFS, named
from netns.private.tree import is_below
from netns.private.unix_sockets import content, is_socket

_TRIES: Final = 100
"""For a socket that is removed and made anew again and again."""


class Masks(NamedTuple):
    """What is mounted over."""

    files: set[str]
    folders: set[str]


def mask(sockets: Iterable[str], folders: Collection[str], shared: Collection[str]) -> None:
    """Have connect(2) fail at each of these sockets, and at those beside them.

    Some programs make a socket by one name and link it to another (ssh's ControlPath), so that the
    folders of all are looked through, and `folders`: these are the caller's own and stay as they
    are. So do the sockets of `shared`, and those in such folders. Raises SandboxError.
    """
    masks = _masks(
        {_resolved(path) for path in sockets}, set(map(os.path.realpath, folders)), shared
    )
    for path in sorted(masks.folders):
        cover(path, partial(syscalls.mount, "tmpfs", path, "tmpfs", TMPFS, "mode=700,size=10%"))
    for path in sorted(masks.files):
        cover(path, partial(syscalls.mount, "/dev/null", path, flags=syscalls.MS_BIND))


def cover(path: str, mount: Callable[[], None]) -> None:
    """Mount over a path, unless it is gone; raises SandboxError.

    Servers end, and remove their sockets, between the look and the mount. One that is there again
    is mounted over all the same.
    """
    with named(path):
        for left in reversed(range(_TRIES)):
            try:
                mount()
            except FileNotFoundError:
                if not os.path.lexists(path):
                    return
                if not left:
                    raise
            else:
                return


def _masks(known: Collection[str], own: Collection[str], shared: Collection[str]) -> Masks:
    masks = Masks({path for path in known if is_socket(path)}, set())
    for folder in {*map(os.path.dirname, known), *own}:
        sockets, has_others = content(folder)
        masks.files.update(sockets)
        is_shared = any(is_below(place, folder) or is_below(folder, place) for place in shared)
        if sockets and not (has_others or folder in own or is_shared):
            masks.folders.add(folder)
    for path in list(masks.files):
        is_in_folder = os.path.dirname(path) in masks.folders  # noqa: PTH120 - may not be UTF-8
        if is_in_folder or any(is_below(path, place) for place in shared):
            masks.files.discard(path)
    return masks


def _resolved(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - may not be UTF-8
