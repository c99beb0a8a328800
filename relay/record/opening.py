"""The flight log of a session: opened before the command can have put anything in its place."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from relay.record.files import is_writable, sessions_folder, state_home
from relay.record.flightlog import FlightLog
from relay.record.pruning import prune


@contextlib.contextmanager
def opened(name: str, limit: int, warn: Callable[[str], None]) -> Iterator[FlightLog]:
    """Open the flight log, before the command can have put anything in its place.

    Of a session that does not come about nothing stays.
    """
    log = _open(name, limit, warn)
    try:
        yield log
    finally:
        if log.has_begun:
            log.close()
        else:
            log.withdraw()


def _open(name: str, limit: int, warn: Callable[[str], None]) -> FlightLog:
    """Open the flight log; where that is impossible, warn and go on without one."""
    folder = sessions_folder(os.environ)
    if not folder.is_relative_to(wanted := state_home(os.environ)):
        why = "is a user's, and this is root" if is_writable(wanted) else "cannot be written to"
        warn(f"the record of this session is in {folder}: {wanted} {why}")
    try:
        log = FlightLog(folder / f"{name}.jsonl", clock=time.time, limit=limit)
    except OSError as error:
        warn(f"no flight log for this session: {folder}: {error.strerror}")
        return FlightLog(None, clock=time.time, limit=0)
    with contextlib.suppress(OSError):  # what stays takes room alone
        prune(folder, time.time())
    return log
