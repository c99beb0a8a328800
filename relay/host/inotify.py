"""Files that are watched for a change, inotify(7): nothing runs while none comes.

What an event says is not relied on. It only means that something may have changed, and what is true
now is then read. So a file that is replaced, removed, or put in a folder that is made later is
noticed as one that is written to, and so is one behind a symbolic link. Where a folder far above is
replaced, that folder's own move is, or the change of the link that it is.
"""

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import trio

from netns import syscalls

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_CLOSE_WRITE: Final = 0x8
_MOVED: Final = 0xC0
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_SELF: Final = 0xC00
_OVERFLOW: Final = 0x4000
_MASK_ADD: Final = 0x2000_0000

_OF_FILE: Final = _MODIFY | _ATTRIB | _CLOSE_WRITE | _SELF
_OF_FOLDER: Final = _CREATE | _DELETE | _MOVED | _SELF

_EVENT: Final = struct.Struct("iIII")
_SPACE: Final = 1 << 16


class FolderWatch:
    """Notices what becomes of the files of one folder."""

    def __init__(self, folder: int) -> None:
        """Watch an open folder, whatever its path leads to later; raises OSError."""
        self._fd = syscalls.inotify_init(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            path = os.fsencode(f"/proc/self/fd/{folder}")
            syscalls.inotify_add_watch(self._fd, path, _OF_FOLDER | _CLOSE_WRITE)
        except BaseException:
            os.close(self._fd)
            raise

    async def changed(self) -> None:
        """Return once something may have changed since the last call; raises OSError."""
        await trio.lowlevel.wait_readable(self._fd)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, _SPACE):
                pass

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._fd)


class FileWatch:
    """Notices once that one of some files may have changed."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Watch from now on; a folder or a file that may not be watched is left out.

        Raises OSError if the kernel has no such watch left.
        """
        self._fd = syscalls.inotify_init(os.O_NONBLOCK | os.O_CLOEXEC)
        self._names: dict[int, set[bytes]] = {}
        """What is to be noticed in a folder, by watch."""
        for file in files:
            self._watch(file)

    def __enter__(self) -> Self:
        """Return the watch, which stands."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Watch no longer."""
        os.close(self._fd)

    async def changed(self) -> None:
        """Return once something may have changed since the watch was made; raises OSError."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            if self._is_of_interest(os.read(self._fd, _SPACE)):
                return

    def _watch(self, file: Path) -> None:
        """Watch a file, the lowest folder on its path that there is, and the moves of all above."""
        self._add(file, _OF_FILE)
        children = (file, *file.parents)
        for child in children[:-1]:
            if self._add(child.parent, _OF_FOLDER, os.fsencode(child.name)):
                for folder in child.parent.parents:
                    self._add(folder, _SELF)
                for link in filter(Path.is_symlink, child.parents):
                    self._add(link.parent, _OF_FOLDER, os.fsencode(link.name))
                return

    def _add(self, path: Path, mask: int, name: bytes = b"") -> bool:
        """Watch one path, and in a folder what has this name; return whether that is possible."""
        try:
            watch = syscalls.inotify_add_watch(self._fd, os.fsencode(path), mask | _MASK_ADD)
        except OSError:
            return False
        self._names.setdefault(watch, set()).update({name} if name else ())
        return True

    def _is_of_interest(self, data: bytes) -> bool:
        at = 0
        while at < len(data):
            watch, mask, _cookie, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            name = data[at : at + length].rstrip(b"\0")
            at += length
            if mask & (_SELF | _OVERFLOW) or not name or name in self._names.get(watch, ()):
                return True
        return False
