"""A session's events in one JSONL file, bounded in size; the file is locked while it is live."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from relay.record import files
from relay.record.events import (
    AnyEvent,
    Event,
    Fault,
    LogChanged,
    LogContinued,
    LogFull,
    LogLost,
    SessionEnded,
)
from relay.record.kinds import Kind, kind_of_errno
from relay.record.repeats import Repeats

RESERVED: Final = 4
"""The part of the room that is kept for what was lost, denied or failed: the last quarter."""

_MARGIN: Final = 16384
"""Bytes: more than the few events that may come together."""

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
        self._is_full = False
        """Whether an event had no room."""
        self._omitted: dict[str, int] = {}
        self._written = 0
        """Bytes of the file that are ours."""
        self._changed = ""
        """What another process has done to the file."""
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
        """Append an event with the time, while there is room for it.

        The last part of the room, RESERVED, is for what was lost, denied or failed, and the end of
        the session has room always. How many events had none is told at the end.

        It is called from everywhere, so it raises nothing: an event that cannot be written as JSON
        counts as lost.
        """
        try:
            event.at = round(self._clock(), 3)
            self.has_losses |= event.is_loss
            self.has_failures |= event.is_failure
            if isinstance(event, Fault):
                self._shorten(event)
            if isinstance(event, SessionEnded | LogContinued):
                for each in self._repeats.last():
                    self._append(each, has_failed=True)
                self._look()
                if isinstance(event, SessionEnded):
                    event.omitted = self._omitted
                self._put(_encoder.encode(event))
            else:
                has_failed = event.is_loss or event.is_failure
                for each in self._repeats.passed(event):
                    self._append(each, has_failed=has_failed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller has other work to do
            self._lose(1, error)

    def begin(self, known: Iterable[Event]) -> None:
        """Write what the file before this one has of what goes on, with its own times.

        It takes half of the room at most: of very many connections the rest is left out.
        """
        for event in known:
            if self._left < self._limit // 2:
                return
            self._put(_encoder.encode(event))

    @property
    def is_nearly_full(self) -> bool:
        """Whether there is little room left for what has not failed."""
        return self._left < self._limit // RESERVED + _MARGIN

    def _append(self, event: Event, *, has_failed: bool) -> None:
        """Write an event, or count it where there is no room for it.

        Once one had no room, all that has not failed is left out, so that there is no gap in it.
        """
        line = _encoder.encode(event)
        room = self._left if has_failed else self._left - self._limit // RESERVED
        if len(line) < room and (has_failed or not self._is_full):
            self._put(line)
            return
        name = str(event.__struct_config__.tag)
        self._omitted[name] = self._omitted.get(name, 0) + 1
        if not self._is_full:
            self._is_full = True
            self._put(_encoder.encode(LogFull(at=event.at, limit=self._limit)))

    def _put(self, line: bytes) -> None:
        self._left -= len(line) + 1
        self._pending.append(line)
        if len(self._pending) == 1:
            self.wake()

    def _look(self) -> None:
        """Note, once, that the file is no longer as it was written."""
        if self._fd is None or self._changed:
            return
        try:
            status = os.fstat(self._fd)
        except OSError:  # it cannot be said then
            return
        if status.st_nlink == 0:
            self._note("removed")
        elif status.st_size < self._written:
            self._note("cut short")
        elif status.st_size > self._written:
            self._note("written to")

    def _note(self, how: Literal["removed", "cut short", "written to"]) -> None:
        self._changed = how
        self._is_torn = True  # it may end anywhere
        self.has_losses = True
        event = LogChanged(how=how, kind=Kind.TAMPERED)
        event.at = round(self._clock(), 3)
        self._put(_encoder.encode(event))

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
        told = [_cause(self._cause)] if self._cause is not None else []
        if self._changed:
            told.append(f"it was {self._changed} by another process")
        return "; ".join(told)

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._pending)

    def flush(self) -> None:
        """Write what is pending, after how many events could not be written before, if any.

        A full disk costs the events for which it has no room, not the session. A line that was cut
        short ends before the next, so that no other is lost with it.
        """
        if not self._pending or self._fd is None:
            self._pending = []
            return
        self._look()
        lines, self._pending = self._pending, []
        told = [self._as_lost()] if self._lost else []
        data = b"\n" * self._is_torn + b"".join(line + b"\n" for line in told + lines)
        try:
            while data:
                count = os.write(self._fd, data)
                self._written += count
                self._is_torn = data[count - 1 : count] != b"\n"
                data = data[count:]
        except OSError as error:
            self._lose(len(lines), error)
        else:
            self._lost = 0

    def _as_lost(self) -> bytes:
        kind = kind_of_errno(getattr(self._cause, "errno", None))
        cause = _cause(self._cause) if self._cause is not None else ""
        event = LogLost(cause=cause, kind=kind, events=self._lost)
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
        """Flush and unlock; what was removed by another is put back first."""
        self.flush()
        try:
            if self._changed == "removed" and self._fd is not None and self.path is not None:
                files.put_back(self._fd, self.path)
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


def read(path: Path) -> Iterator[AnyEvent]:
    """Read a session's events; lines cut short, or of another version's events, are left out.

    Raises OSError, also for what is no regular file.
    """
    decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(
        AnyEvent
    )  # here: a session that starts reads none

    def event(line: bytes) -> AnyEvent | None:
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            return decoder.decode(line)
        return None

    return files.lines(path, event)
