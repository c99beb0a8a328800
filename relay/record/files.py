"""The files of sessions: where they are, which are there, and how they are opened.

The folder is the caller's, and whoever runs in a session as the caller can put anything there. So a
file is made anew or not at all, and read only if it is a regular one: a FIFO would be waited for,
and a link leads elsewhere. What is made or removed is so in a folder that is looked at first, and
kept open.
"""

import contextlib
import errno
import fcntl
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

_ROOT: Final = 0
_NOBODY: Final = 65534
"""Whose files those of an id seem that the user namespace does not have."""
_WITHIN: Final = "keepline/sessions"
SHARED: Final = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108 - what is made there is looked at
"""Folders in which everybody may make files and remove their own alone."""

LONGEST: Final = 1 << 20
"""Bytes of a line that are read: no event is as long."""

MOST: Final = 2 << 30
"""Bytes of a file that are read: twice the largest `log_limit`."""


_MOST_OTHERS: Final = 16 << 20
"""Bytes of lines that are no events, of which anybody can have written any number; beyond them only
the end is read, LONGEST bytes of it."""

_COST: Final = 64
"""Bytes that such a line counts beside its own: an empty one takes its time too."""

_T = TypeVar("_T")


def home() -> Path:
    """Return the caller's home; the root folder for a caller who has none."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, no passwd entry
        return Path("/")


def state_home(environment: Mapping[str, str]) -> Path:
    """Return where the caller's programs keep their state, XDG Base Directory Specification."""
    state = environment.get("XDG_STATE_HOME", "")
    return Path(state) if Path(state).is_absolute() else home() / ".local/state"


def sessions_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of all sessions.

    Root's are in root's own home where HOME, or XDG_STATE_HOME, is a user's, as after `sudo -E`:
    that user could change them, and could not remove what root has made there. Where that cannot be
    written to, as in many containers, they are in a folder for what need not last.
    """
    base = state_home(environment)
    if os.geteuid() == _ROOT and not _is_roots(base):
        base = Path(pwd.getpwuid(_ROOT).pw_dir, ".local/state")
    folder = base / _WITHIN
    if not is_writable(folder):
        return next(filter(is_writable, _passing(environment)), folder)
    return folder


def is_lasting(folder: Path) -> bool:
    """Return whether a folder of all sessions is not one for what need not last."""
    return folder.match(_WITHIN)


def is_writable(folder: Path) -> bool:
    """Return whether the caller may write in a folder, or make it if it is not there."""
    for place in (folder, *folder.parents):
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        return os.access(place, os.W_OK | os.X_OK)
    return False


def _passing(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield where files of the caller's may be that need not last.

    Each is one folder, whose owner opened_folder() looks at, in one in which nobody else can put
    another in its place: the caller's own, or one with the sticky bit.
    """
    runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
    with contextlib.suppress(OSError):
        status = runtime.lstat()
        is_own = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if runtime.is_absolute() and stat.S_ISDIR(status.st_mode) and is_own:
            yield runtime / "keepline"
    for place in SHARED:
        with contextlib.suppress(OSError):
            status = place.stat()
            if status.st_uid in {_ROOT, _NOBODY, os.geteuid()} and status.st_mode & stat.S_ISVTX:
                yield place / f"keepline-{os.geteuid()}"


def sessions_on(volume: str) -> Path:
    """Return the folder of all sessions of a pod, whoever asks for it."""
    return Path(volume) / _WITHIN


def _is_roots(folder: Path) -> bool:
    """Return whether a folder, or the first above it that is there, is root's."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return place.stat().st_uid == _ROOT
    return True


@contextlib.contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """Open a folder in which files are to be made or removed; it is made if it is not there.

    Raises OSError, also if it is a link, another user's, or others can write it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"it belongs to user {status.st_uid}")
        if status.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "others can write it; chmod go-w changes that")
        yield fd
    finally:
        os.close(fd)


def made(folder: int, name: str) -> int:
    """Make a file in an open folder, for its owner alone; raises OSError, also if it is there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=folder)


def opened(path: Path) -> BinaryIO:
    """Open a file to read it; raises OSError, also if it is not a regular one."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(fd, "rb")


def put_back(fd: int, path: Path) -> None:
    """Write a file that has no name any more under its name again; raises OSError."""
    with opened_folder(path.parent) as folder:
        new = made(folder, path.name)
    try:
        at = 0
        while data := os.pread(fd, LONGEST, at):
            at += os.write(new, data)
    finally:
        os.close(new)


def lines(path: Path, read: Callable[[bytes], _T | None]) -> Iterator[_T]:
    """Read the whole lines of a file; those for which `read` has None are left out.

    So are those longer than LONGEST, and what comes after MOST bytes. Raises OSError.
    """
    left, others, is_whole = MOST, _MOST_OTHERS, True
    with opened(path) as file:
        while left > 0 and (line := file.readline(LONGEST)):
            left -= len(line)
            is_end = line.endswith(b"\n")
            found = read(line) if is_end and is_whole and line.startswith(b"{") else None
            is_whole = is_end
            if found is not None:
                yield found
                continue
            others -= len(line) + _COST
            if others < 0:
                left, others = LONGEST, MOST
                end = os.fstat(file.fileno()).st_size - left
                if file.tell() < end:
                    file.seek(end)
                    is_whole = False


def sessions(folder: Path) -> list[Path]:
    """Return the sessions' files, oldest first: a session's name begins with its start."""
    return [folder / name for name in session_names(folder)]


def session_names(folder: Path) -> list[str]:
    """Return the names of the sessions' files, oldest first."""
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_file(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(name for name in names if name.endswith(".jsonl") and name[0] != ".")


def unused_name(folder: Path, wanted: str) -> str:
    """Return the name `wanted` for a session, with a number behind it if another has that.

    It is made of the second and the process's id, which is 1 in each container whose first process
    keepline is: such containers may share the folder, and start within one second. Two that look
    at the same moment get the same name; of these, the second runs without a log.
    """
    taken = {path.stem for path in folder.glob(f"{wanted}*")}
    names = chain((wanted,), (f"{wanted}_{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def is_live(path: Path) -> bool:
    """Return whether the session still runs: its relay holds a lock on the file, flock(2)."""
    try:
        with opened(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False  # another session that starts now has removed it
    except OSError:
        return True  # EWOULDBLOCK; or it is somebody else's, or no file, and is left alone
    return False
