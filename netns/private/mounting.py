"""Mounts what was planned, and masks the sockets that are in sight then.

All is done from descriptors of before, for a path leads elsewhere once a folder above it is empty.
The caller is in a mount namespace of its own, with CAP_SYS_ADMIN over it, and has no threads.
"""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, assert_never

from netns import syscalls
from netns.errors import SandboxError
from netns.private.tree import Empty, Folder, Link, Opened, Step, is_below
from netns.private.unix_sockets import is_socket, sockets_in

_BIND: Final = syscalls.MS_BIND | syscalls.MS_REC
_TMPFS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV
_UMASK: Final = 0o022
_NEXT_STEP: Final = (
    "see whether this user may mount there: unshare --user --map-current-user --mount"
    " mount -t tmpfs none {path}; or run without --strict"
)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Have what fails name the place."""
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
    with _named("/"):
        # What the host mounts later is not shown, nor seen by anybody else what is mounted here.
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for step in steps:
        with _named(step.path):
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
    flags = _TMPFS
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
    syscalls.mount(f"/proc/self/fd/{opened.descriptor}", opened.path, flags=_BIND)
    if opened.read_only:
        syscalls.make_read_only(opened.path)


def _make_folder(path: str) -> None:
    os.makedirs(path, exist_ok=True)  # noqa: PTH103 - as above


def mask(sockets: Iterable[str], folders: Iterable[str], shared: Collection[str]) -> None:
    """Have connect(2) fail at each of these sockets, and at those beside them.

    Some programs make a socket by a name and link it to another (ssh's ControlPath), so that the
    folders of all, and `folders`, are looked through. At a socket that its server makes anew a mask
    is no longer, for the kernel takes mounts away from files that are removed elsewhere. Those of
    `shared`, and in such folders, stay as they are. Raises SandboxError.
    """
    known = {_resolved(path) for path in sockets}
    looked_through = {os.path.dirname(path) for path in known}  # noqa: PTH120 - as above
    looked_through.update(map(os.path.realpath, folders))
    found = {path for path in known if is_socket(path)}
    found.update(path for folder in looked_through for path in sockets_in(folder))
    for path in sorted(found):
        if not any(is_below(path, place) for place in shared):
            with _named(path):
                syscalls.mount("/dev/null", path, flags=syscalls.MS_BIND)


def _resolved(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - as above
