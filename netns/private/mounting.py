"""Mounts what was planned.

All is done from descriptors of before, for a path leads elsewhere once a folder above it is empty.
The caller is in a mount namespace of its own, with CAP_SYS_ADMIN over it, and has no threads.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from netns import syscalls
from netns.errors import SandboxError
from netns.private.tree import Empty, Folder, Link, Opened, Step

BIND: Final = syscalls.MS_BIND | syscalls.MS_REC
TMPFS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV
_UMASK: Final = 0o022
_NEXT_STEP: Final = (
    "see whether this user may mount there: unshare --user --map-current-user --mount"
    " mount -t tmpfs none {path}; or run without --strict"
)


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Turn what fails inside into a SandboxError that names the place."""
    try:
        yield
    except OSError as error:
        raise SandboxError(
            f"private files: {path}: {os.strerror(error.errno or 0)}", _NEXT_STEP.format(path=path)
        ) from error


def take(steps: Sequence[Step]) -> None:
    """Take each step, in order; raises SandboxError."""
    callers = os.umask(_UMASK)
    try:
        _take_all(steps)
    finally:
        os.umask(callers)


def _take_all(steps: Sequence[Step]) -> None:
    with named("/"):
        # What the host mounts later is not shown, nor seen by anybody else what is mounted here.
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for step in steps:
        with named(step.path):
            _take(step)


def _take(step: Step) -> None:
    if isinstance(step, Opened):
        _open_again(step)
        return
    if isinstance(step, Link):
        _make_folder(os.path.dirname(step.path))  # noqa: PTH120 - a Path would lose an odd name
        os.symlink(step.target, step.path)  # noqa: PTH211 - as above
        return
    _make_folder(step.path)
    if isinstance(step, Empty):
        _mount_empty(step)
    elif isinstance(step, Folder):
        os.chmod(step.path, step.mode)  # noqa: PTH101 - as above
    else:
        assert_never(step)


def _mount_empty(empty: Empty) -> None:
    """Mount a tmpfs, from which nothing can be run where that was so before."""
    flags = TMPFS
    if os.statvfs(empty.path).f_flag & os.ST_NOEXEC:
        flags |= syscalls.MS_NOEXEC
    syscalls.mount("tmpfs", empty.path, "tmpfs", flags, f"mode={empty.mode:o},size={empty.size}")


def _open_again(opened: Opened) -> None:
    if not os.path.lexists(opened.path):
        if opened.is_folder:
            _make_folder(opened.path)
        else:
            _make_folder(os.path.dirname(opened.path))  # noqa: PTH120 - as above
            os.close(os.open(opened.path, os.O_CREAT | os.O_EXCL, 0o644))
    syscalls.mount(f"/proc/self/fd/{opened.descriptor}", opened.path, flags=BIND)
    if opened.read_only:
        syscalls.make_read_only(opened.path)


def _make_folder(path: str) -> None:
    os.makedirs(path, exist_ok=True)  # noqa: PTH103 - as above
