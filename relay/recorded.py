"""What the record of a session begins with, and what is said of it at the end."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal

from relay import __version__
from relay.config import Settings, way_out
from relay.gateway.setup.prepare import Prepared, Without
from relay.policy.host_ports import HostPorts
from relay.record import opening
from relay.record.events import FORMAT, HostPortOpened, SessionStarted
from relay.record.files import sessions_folder, unused_name
from relay.record.flightlog import FlightLog, read
from relay.record.story import telling

_MIB: Final = 1 << 20


def new_name() -> tuple[str, Path]:
    """Return a name for the session, and where the gateway's certificate would be."""
    folder = sessions_folder(os.environ)
    name = unused_name(folder, f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    return name, folder / f"{name}.pem"


def started(  # noqa: PLR0913, PLR0917 - what the first event tells
    settings: Settings,
    prepared: Prepared | Without,
    out: "way_out.WayOut | None",
    name: str,
    program: str,
    intercept: Literal["tproxy", "redirect", "ports", "proxy"],
    peer: str = "",
) -> SessionStarted:
    """Return the first event of a record."""
    return SessionStarted(
        session=name,
        version=__version__,
        program=program,
        pid=os.getpid(),
        uid=os.getuid(),
        peer=peer,
        intercept=intercept,
        dns=settings.dns,
        gateway=prepared.told,
        rules=settings.told_rules(),
        proxy=out.routes.told if out is not None else "",
        format=FORMAT,
    )


def opened(
    name: str, settings: Settings, warn: Callable[[str], None]
) -> AbstractContextManager[FlightLog]:
    """Open the flight log of a session, as large as the settings let it be."""
    return opening.opened(name, settings.log_limit * _MIB, warn)


def begin(log: FlightLog, started: SessionStarted, host_ports: HostPorts) -> None:
    """Record the start, and which ports are open; nobody is woken yet, who would write it."""
    log.record(started)
    for first, last, source in host_ports:
        last_of_several = last if last != first else 0
        log.record(HostPortOpened(port=first, last=last_of_several, source=source))
    log.flush()


def tell_end(
    log: FlightLog, name: str, warn: Callable[[str], None], status: int, notes: Sequence[str]
) -> None:
    """Say what was lost, and why a command may have failed; what fails here changes no status.

    `notes` are said before.
    """
    for note in notes:
        warn(note)
    summary, has_failed = "", status != 0
    with contextlib.suppress(Exception):
        if (log.has_losses or (has_failed and log.has_failures)) and log.path is not None:
            summary = telling.end_line(read(log.path), has_failed=has_failed)
    if log.failure:
        summary = f"{summary} The record is not complete: {log.failure}.".lstrip()
    if summary:
        warn(f"{summary} See: keepline explain {name}")
