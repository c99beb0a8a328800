"""The record of a pod's relay, in files: a session of months has no one file of bounded size.

Each file is a session's of its own for `status`, `log` and `explain`, and has a name of its own, so
that a relay that starts again meets none of before. All together have the size that one session
has elsewhere, `log_limit`; the oldest make room.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from relay.record import files
from relay.record.events import Event, LogContinued, SessionStarted
from relay.record.flightlog import FlightLog
from relay.record.pruning import prune_to
from relay.sidecar.kept.carried import Carried

FILES: Final = 4
"""Into which the size is divided."""

NAMED: Final = "-sidecar-"
"""In the names of its files, by which they are told from those of commands in the same folder."""

AGAIN: Final = 60.0
"""Seconds until it is tried again to begin a file, where that has failed."""


class Parts:
    """The record, of which the latest file is written."""

    def __init__(
        self,
        folder: Path,
        started: SessionStarted,
        *,
        limit: int,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin a file; where that is impossible, warn, and go on without a record.

        `limit` is in bytes, and `clock` returns seconds since the epoch. `started` gets the name of
        each file.
        """
        self._folder = folder
        self._started = started
        self._limit = limit
        self._clock = clock
        self._carried = Carried()
        self._not_before = 0.0
        self._wake: Callable[[], None] = lambda: None
        try:
            self._log = self._begun()
        except OSError as error:
            warn(f"no record: {folder}: {error.strerror}")
            self._log = FlightLog(None, clock=clock, limit=limit // FILES)
            self._not_before = float("inf")
        self._log.record(self._started)

    @property
    def wake(self) -> Callable[[], None]:
        """What is called when there is something to flush."""
        return self._wake

    @wake.setter
    def wake(self, call: Callable[[], None]) -> None:
        self._wake = self._log.wake = call

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to flush."""
        return self._log.is_waiting

    @property
    def path(self) -> Path | None:
        """The file that is written; None without a record."""
        return self._log.path

    def record(self, event: Event) -> None:
        """Append an event with the time, if need be to a new file. It raises nothing."""
        self._log.record(event)
        self._carried.note(event)
        if self._log.is_nearly_full and self._clock() >= self._not_before:
            self._continue()

    def _continue(self) -> None:
        """Go on in a new file; where that fails, in the old one, as far as there is room."""
        try:
            new = self._begun()
        except OSError:
            self._not_before = self._clock() + AGAIN
            return
        old, self._log = self._log, new
        new.begin([self._started, *self._carried])
        new.wake = self._wake
        old.record(LogContinued(session=self._started.session))
        old.close()
        self._wake()

    def _begun(self) -> FlightLog:
        """Begin a file, after others have made room for it; raises OSError."""
        with contextlib.suppress(OSError):
            prune_to(self._folder, self._limit - self._limit // FILES, NAMED)
        moment = time.gmtime(self._clock())
        wanted = f"{time.strftime('%Y%m%d-%H%M%S', moment)}{NAMED}{self._started.pid}"
        name = files.unused_name(self._folder, wanted)
        log = FlightLog(
            self._folder / f"{name}.jsonl", clock=self._clock, limit=self._limit // FILES
        )
        self._started = msgspec.structs.replace(self._started, session=name)
        return log

    def flush(self) -> None:
        """Write what is pending."""
        self._log.flush()

    def close(self) -> None:
        """Flush and unlock."""
        self._log.close()
