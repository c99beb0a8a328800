"""Which records stay: the latest, and the young, of all sessions; of a pod as many as have room."""

import contextlib
import os
from pathlib import Path
from typing import Final

from relay.record import files

SESSIONS_KEPT: Final = 50
"""Files of older sessions are removed when a new one starts, if they are not young."""

YOUNG: Final = 3600.0
"""Seconds for which the record of a session that has ended can be asked for, however many start."""

SESSIONS_AT_MOST: Final = 1000
"""Files that are kept because they are young."""


def prune(folder: Path, now: float) -> None:
    """Remove the oldest ended sessions beyond SESSIONS_KEPT, and what killed ones left behind.

    `now` is in seconds since the epoch. A file that cannot be removed stays: that is no reason to
    run without a log. Raises OSError if the folder is not to be trusted.
    """
    known = files.sessions(folder)
    with files.opened_folder(folder) as opened:
        for path in known[:-SESSIONS_AT_MOST]:
            _remove_ended(opened, path, path)
        for path in known[-SESSIONS_AT_MOST:-SESSIONS_KEPT]:
            if not _is_young(path, now):
                _remove_ended(opened, path, path)
        for path in known:
            _remove_ended(opened, path.with_suffix(".pem"), path)
        for pattern in ("*.pem", "*.new"):  # of starts that were killed before they had a log
            for path in folder.glob(pattern):
                if not path.with_suffix(".jsonl").exists() and not _is_young(path, now):
                    with contextlib.suppress(OSError):
                        os.unlink(path.name, dir_fd=opened)


def _is_young(path: Path, now: float) -> bool:
    try:
        return now - path.lstat().st_mtime < YOUNG
    except OSError:  # removed by another
        return True


def _remove_ended(folder: int, file: Path, session: Path) -> None:
    """Remove a file of a session that has ended, if it is there and may be removed."""
    with contextlib.suppress(OSError):
        if os.path.lexists(file) and not files.is_live(session):
            os.unlink(file.name, dir_fd=folder)


def prune_to(folder: Path, size: int) -> None:
    """Remove the oldest ended sessions until all files together have `size` bytes at most.

    A file that cannot be removed stays. Raises OSError if the folder is not to be trusted.
    """
    known = files.sessions(folder)
    sizes = {path: _size(path) for path in known}
    total = sum(sizes.values())
    with files.opened_folder(folder) as opened:
        for path in known:
            if total <= size:
                return
            _remove_ended(opened, path, path)
            total -= sizes[path]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # removed by another
        return 0
