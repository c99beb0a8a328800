"""Folders that the command can read and not write to, at whatever path it comes to them.

A mount stays on in every namespace that the command makes, mount_namespaces(7): it cannot be taken
away there or made writable. A folder above may be moved, and another put in its place: whoever has
the folder open is not misled by that.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence

from netns import syscalls
from netns.mountinfo import places


def protect(folders: Sequence[str]) -> list[str]:
    """Let nothing be written to these; return those of which that is so now.

    The caller is in a mount namespace of its own. A working folder among them, or in one, is
    entered anew: from the old one the folder below the mount would be reached.
    """
    protected = [folder for folder in folders if _is_protected(folder)]
    if protected:
        with contextlib.suppress(OSError):  # it is gone
            os.chdir(os.getcwd())  # noqa: PTH109 - as a string
    return protected


def _is_protected(folder: str) -> bool:
    try:
        with _opened(folder) as fd:
            for place in list(places(fd)):
                syscalls.mount(place, place, flags=syscalls.MS_BIND | syscalls.MS_REC)
                syscalls.make_read_only(place)
    except (OSError, LookupError):
        return False
    return True


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)
