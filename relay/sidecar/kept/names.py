"""The names of a pod and their addresses, in a file, so that a relay that starts again has them.

Without it each connection to an address that a program knows from before the restart would be
reset. A line is written before the program hears of the address, and is in the kernel's hands then:
the relay may be killed at any moment. The machine's end may cost the last lines, and ends the pod
too.

Containers of the pod may share the volume. So the folder and the file have to be this user's alone,
and they are held open: what is put in their place later is neither read nor written.
"""

import contextlib
import errno
import fcntl
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from relay.barrier import Record, note
from relay.dns.synthetic import SyntheticAddresses
from relay.record import files
from relay.sidecar.kept import names_text

NAME: Final = "names"
_NEW: Final = "names.new"

MOST: Final = 16 << 20
"""Bytes of a file that are read; all names of the pool by default take half of it."""

SPARE_LINES: Final = 1024
"""Lines that a file may have beyond twice the names: then it is written anew."""


class KeptNames:
    """The file, which is locked for as long as it is open."""

    def __init__(
        self, folder: Path, synthetic: SyntheticAddresses, record: Record, now: float
    ) -> None:
        """Read what is there, and keep from now on; raises OSError if it cannot be had, or trusted.

        What was known counts as used `now`, on trio's clock. A file that is too large, or of
        another version, is begun anew.
        """
        self._synthetic = synthetic
        self._record = record
        self._is_torn = False
        """Whether the file ends in the middle of a line."""
        self._has_failed = False
        with ExitStack() as undo:
            self._folder = undo.enter_context(files.opened_folder(folder))
            self._fd = _opened(self._folder)
            undo.callback(self._close)
            self._lines = self._restore(now)
            self._undo = undo.pop_all()
        synthetic.on_assigned = self.add

    def _restore(self, now: float) -> int:
        """Take the names from the file; return how many lines there are in it. Raises OSError."""
        data = os.pread(self._fd, MOST, 0)
        whole = names_text.whole(data)
        for address, name in names_text.read(data):
            self._synthetic.restore(name, address, now)
        lines = data.count(b"\n", 0, whole)
        if not whole or os.fstat(self._fd).st_size > whole:
            self._rewrite()
            return 1 + len(self._synthetic)
        return lines

    def add(self, address: str, name: str) -> None:
        """Keep a name's address; where that fails, it is recorded once, and the session goes on."""
        try:
            self._write(names_text.line(address, name))
            self._has_failed = False
        except (OSError, ValueError) as error:
            if not self._has_failed:
                note(self._record, "names that are kept", error)
            self._has_failed = True

    def _write(self, line: bytes) -> None:
        """Append a line; raises OSError. A part of one is never followed by another."""
        if self._is_torn or self._lines > 2 * len(self._synthetic) + SPARE_LINES:
            self._rewrite()  # with this name: it is assigned
            return
        self._is_torn = os.write(self._fd, line) < len(line)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._lines += 1

    def _rewrite(self) -> None:
        """Write the file anew, and have it take the old one's place at once; raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_NEW, dir_fd=self._folder)
        fd = files.made(self._folder, _NEW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = names_text.written(self._synthetic)
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
            os.rename(_NEW, NAME, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._lines, self._is_torn = fd, 1 + len(self._synthetic), False

    def close(self) -> None:
        """Close the file; names are not kept any more."""
        self._undo.close()

    def _close(self) -> None:
        os.close(self._fd)


def _opened(folder: int) -> int:
    """Open and lock the file, which is made if it is not there; raises OSError.

    It has to be a regular file of this user, with no other name, that nobody else can write.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    fd = os.open(NAME, flags, 0o600, dir_fd=folder)
    try:
        _check(os.fstat(fd))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(status: os.stat_result) -> None:
    """Raise PermissionError if it is not to be trusted."""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise PermissionError(errno.EPERM, f"{NAME} is not a file with one name")
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, f"others can write {NAME}, or it is another user's")
