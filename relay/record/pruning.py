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

_OF_STARTS: Final = frozenset({".pem", ".new"})
"""Suffixes of what a session has before it has a log."""


def prune(folder: Path, now: float) -> None:
    """Remove the oldest ended sessions beyond SESSIONS_KEPT, and what killed ones left behind.

    `now` is in seconds since the epoch. A file that cannot be removed stays: that is no reason to
    run without a log. Raises OSError if the folder is not to be trusted. It is part of each start:
    no path is made that is not needed.
    """
    known = files.session_names(folder)
    with files.opened_folder(folder) as opened:
        for name in known[:-SESSIONS_AT_MOST]:
            _remove_ended(opened, name, folder / name)
        for name in known[-SESSIONS_AT_MOST:-SESSIONS_KEPT]:
            if not _is_young(opened, name, now):
                _remove_ended(opened, name, folder / name)
        with_log = set(known)
        for name in os.listdir(opened):  # noqa: PTH208 - of a descriptor
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - cheaper than a path
            log = f"{stem}.jsonl"
            is_sessions = suffix == ".pem" and log in with_log
            if is_sessions or (suffix in _OF_STARTS and not _is_young(opened, name, now)):
                _remove_ended(opened, name, folder / log)


def _is_young(folder: int, name: str, now: float) -> bool:
    try:
        return now - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < YOUNG
    except OSError:  # removed by another
        return True


def _remove_ended(folder: int, name: str, session: Path) -> bool:
    """Remove a file of a session that has ended, if it may be removed; return whether it is."""
    with contextlib.suppress(OSError):
        if not files.is_live(session):
            os.unlink(name, dir_fd=folder)
            return True
    return False


def prune_to(folder: Path, size: int, named: str) -> None:
    """Remove the oldest ended sessions until their files together have `size` bytes at most.

    Sessions are meant that have `named` in their names. A file that cannot be removed stays, and
    others go in its place. Raises OSError if the folder is not to be trusted.
    """
    known = [name for name in files.session_names(folder) if named in name]
    with files.opened_folder(folder) as opened:
        sizes = {name: _size(opened, name) for name in known}
        total = sum(sizes.values())
        for name in known:
            if total <= size:
                return
            if _remove_ended(opened, name, folder / name):
                total -= sizes[name]


def _size(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:  # removed by another
        return 0
