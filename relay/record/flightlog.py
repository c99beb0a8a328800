"""A session's events in one JSONL file, bounded in size; the file is locked while it is live."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from relay.record import files
from relay.record.events import AnyEvent, Event, Fault, LogFull, LogLost, SessionEnded
from relay.record.kinds import kind_of_errno
from relay.record.repeats import Repeats

SESSIONS_KEPT: Final = 50
"""Files of older sessions are removed when a new one starts, if they are not young."""

YOUNG: Final = 3600.0
"""Seconds for which the record of a session that has ended can be asked for, however many start."""

SESSIONS_AT_MOST: Final = 1000
"""Files that are kept because they are young."""

LONGEST: Final = 1 << 20
"""Bytes of a line that are read: no event is as long."""

MOST: Final = 2 << 30
"""Bytes of a file that are read: twice the largest `log_limit`."""

_encoder = msgspec.json.Encoder()


class FlightLog:
    """Writes events; batches them until flush()."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float], limit: int) -> None:
        """Create the file for its owner alone; raises OSError. Without a path nothing is kept.

        `clock` returns seconds since the epoch, and `limit` is in bytes.
        """
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to flush."""
        self.path = path
        self._fd = _create(path) if path is not None else None
        self._clock = clock
        self._limit = limit
        self._left = limit
        self._pending: list[bytes] = []
        self._is_torn = False
        """Whether the file ends in the middle of a line."""
        self._lost = 0
        """Events that could not be written, and are not yet said to be lost."""
        self._cause: Exception | None = None
        self._told: set[tuple[str, str, str]] = set()
        """The faults whose tracebacks are in the log."""
        self.has_losses = False
        """Whether something was lost."""
        self.has_failures = False
        """Whether something was denied, refused, or given up."""
        self._repeats = Repeats()

    def record(self, event: Event) -> None:
        """Append an event with the time; past the limit only the session's end is kept.

        It is called from everywhere, so it raises nothing: an event that cannot be written as JSON
        counts as lost.
        """
        try:
            event.at = round(self._clock(), 3)
            self.has_losses |= event.is_loss
            self.has_failures |= event.is_failure
            if isinstance(event, Fault):
                self._shorten(event)
            is_end = isinstance(event, SessionEnded)
            for each in (*self._repeats.last(), event) if is_end else self._repeats.passed(event):
                self._append(_encoder.encode(each), is_end=each is event and is_end, at=event.at)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller has other work to do
            self._lose(1, error)

    def _append(self, line: bytes, *, is_end: bool, at: float) -> None:
        if self._left < 0 and not is_end:
            return
        self._left -= len(line) + 1
        if self._left < 0 and not is_end:
            line = _encoder.encode(LogFull(at=at, limit=self._limit))
        self._pending.append(line)
        if len(self._pending) == 1:
            self.wake()

    def _shorten(self, fault: Fault) -> None:
        """Leave out a traceback that is in the log already, so that many do not fill it."""
        which = (fault.where, fault.error, fault.place)
        if which in self._told:
            fault.traceback = ""
        self._told.add(which)

    def _lose(self, count: int, error: Exception) -> None:
        """Note that so many events could not be recorded; the first cause is kept."""
        self._lost += count
        self._cause = self._cause or error
        self.has_losses = True

    @property
    def failure(self) -> str:
        """Why events are missing from the file, for people; empty if none are."""
        return _cause(self._cause) if self._cause is not None else ""

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._pending)

    def flush(self) -> None:
        """Write what is pending, after how many events could not be written before, if any.

        A full disk costs the events for which it has no room, not the session. A line that was cut
        short ends before the next, so that no other is lost with it.
        """
        lines, self._pending = self._pending, []
        if not lines or self._fd is None:
            return
        told = [self._as_lost()] if self._lost else []
        data = b"\n" * self._is_torn + b"".join(line + b"\n" for line in told + lines)
        try:
            while data:
                count = os.write(self._fd, data)
                self._is_torn = data[count - 1 : count] != b"\n"
                data = data[count:]
        except OSError as error:
            self._lose(len(lines), error)
        else:
            self._lost = 0

    def _as_lost(self) -> bytes:
        kind = kind_of_errno(getattr(self._cause, "errno", None))
        event = LogLost(cause=self.failure, kind=kind, events=self._lost)
        event.at = round(self._clock(), 3)
        return _encoder.encode(event)

    @property
    def has_begun(self) -> bool:
        """Whether anything was recorded."""
        return self._left < self._limit

    def withdraw(self) -> None:
        """Close and remove the file, in which there is nothing."""
        self.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def close(self) -> None:
        """Flush and unlock."""
        self.flush()
        try:
            if self._fd is not None:
                os.close(self._fd)
        except OSError as error:  # a write that was put off has failed now
            self._lose(0, error)


def _cause(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__qualname__


def _create(path: Path) -> int:
    """Create the file, which gets its name once it is locked.

    Any session that starts at the same time looks for files that nobody has locked, and takes away
    what they left behind: between the creation and the lock it would take this one's certificates.
    """
    with files.opened_folder(path.parent) as folder:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        unnamed = path.with_suffix(".new").name
        fd = files.made(folder, unnamed)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.rename(unnamed, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    return fd


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


def read(path: Path) -> Iterator[AnyEvent]:
    """Read a session's events; lines cut short, or of another version's events, are left out.

    Raises OSError, also for what is no regular file.
    """
    decoder = msgspec.json.Decoder(AnyEvent)  # here: a session that starts reads none
    for line in lines(path):
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            yield decoder.decode(line)


def lines(path: Path) -> Iterator[bytes]:
    """Read the whole lines of a file; those beyond LONGEST, or after MOST bytes, are left out."""
    left = MOST
    with files.opened(path) as file:
        is_whole = True
        while left > 0 and (line := file.readline(LONGEST)):
            left -= len(line)
            if line.endswith(b"\n"):
                if is_whole:
                    yield line
                is_whole = True
            else:
                is_whole = False
