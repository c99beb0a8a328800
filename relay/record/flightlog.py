"""A session's events in one JSONL file, bounded in size; the file is locked while it is live."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from relay.record.events import AnyEvent, Event, LogFull, SessionEnded

SESSIONS_KEPT: Final = 50
"""Files of older sessions are removed when a new one starts."""

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
        self._fd = _create(path) if path is not None else os.open(os.devnull, os.O_WRONLY)
        self._clock = clock
        self._limit = limit
        self._left = limit
        self._pending: list[bytes] = []
        self.has_losses = False
        """Whether there is something to explain."""

    def record(self, event: Event) -> None:
        """Append an event with the time; past the limit only the session's end is kept."""
        event.at = round(self._clock(), 3)
        self.has_losses |= event.is_loss
        line = _encoder.encode(event)
        if self._left < 0 and not isinstance(event, SessionEnded):
            return
        self._left -= len(line) + 1
        if self._left < 0 and not isinstance(event, SessionEnded):
            line = _encoder.encode(LogFull(at=event.at, limit=self._limit))
        if not self._pending:
            self.wake()
        self._pending.append(line)

    def flush(self) -> None:
        """Write what is pending; a full disk ends the record, not the session."""
        data = b"".join(line + b"\n" for line in self._pending)
        self._pending.clear()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self._left = -1

    def close(self) -> None:
        """Flush and unlock."""
        self.flush()
        os.close(self._fd)


def _create(path: Path) -> int:
    """Create the file, which gets its name once it is locked.

    Any session that starts at the same time looks for files that nobody has locked, and takes away
    what they left behind: between the creation and the lock it would take this one's certificates.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    unnamed = path.with_suffix(".new")
    fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    unnamed.rename(path)
    return fd


def home() -> Path:
    """Return the caller's home; the root folder for a caller who has none."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, no passwd entry
        return Path("/")


def sessions_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of all sessions, XDG Base Directory Specification."""
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else home() / ".local/state"
    return base / "keepline/sessions"


def sessions(folder: Path) -> list[Path]:
    """Return the sessions' files, oldest first: a session's name begins with its start."""
    return sorted(folder.glob("*.jsonl"))


def is_live(path: Path) -> bool:
    """Return whether the session still runs: its relay holds a lock on the file, flock(2)."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass  # another session that starts now has removed it
    return False


def prune(folder: Path) -> None:
    """Remove the oldest ended sessions beyond SESSIONS_KEPT, and what killed ones left behind."""
    known = sessions(folder)
    for path in known[:-SESSIONS_KEPT]:
        if not is_live(path):
            path.unlink(missing_ok=True)
    for path in known:
        certificates = path.with_suffix(".pem")
        if certificates.exists() and not is_live(path):
            certificates.unlink(missing_ok=True)


def read(path: Path) -> Iterator[AnyEvent]:
    """Read a session's events; lines cut short, or of another version's events, are left out."""
    decoder = msgspec.json.Decoder(AnyEvent)  # here: a session that starts reads none
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                with contextlib.suppress(msgspec.MsgspecError):
                    yield decoder.decode(line)
