"""A change of the rules while a session runs: it can only tighten, since the program may make it.

config.toml and the files of the project are watched. What they forbid now is forbidden from then
on, for new connections and names: destinations, ports of the host, and that servers inside are
published by themselves. What they allow now and did not before is ignored until the next session,
and so is a file that cannot be read. Both are said once, when the command has ended: it may have
the terminal to itself until then.
"""

import contextlib
import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from netns import syscalls
from relay.barrier import Record
from relay.config import ConfigError, Project, Settings, Sources, files, from_toml, publishing
from relay.descriptors import SPARE
from relay.host.inotify import FileWatch
from relay.policy.current import CurrentPolicy
from relay.policy.host_ports import HostPorts, PortRange
from relay.record.events import (
    HostPortClosed,
    HostPortOpened,
    PolicyChangeIgnored,
    PolicyTightened,
)
from relay.record.kinds import Kind

_FIRST_LOOK: Final = 0.1
"""Seconds until the files are watched and read again: most commands that end at once have no watch,
whose end may keep a process waiting for 20 ms, until no other processor uses it."""

SETTLE: Final = 0.2
"""Seconds after a change before the files are read: most editors truncate a file, then write."""

LOOK: Final = 1.0
"""Seconds between two looks where the kernel has no inotify(7)."""

_LACKS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EIO})

MOST_NOTES: Final = 8
"""Changes that are told of, each with its cause: a program may make any number."""

_CLOSED: Final = (
    "the settings were changed too often for one session: from then on nothing was allowed"
)
_MORE: Final = "further changes of the settings are ignored too"
_LOOSER: Final = "it allows more than before, which takes a new session: what was denied stays so"


@dataclass(eq=False)
class Tightening:
    """Watches the files of settings for a session."""

    _sources: Sources
    """What they said when it began."""
    _policy: CurrentPolicy
    _record: Record
    _ports: HostPorts = field(default_factory=HostPorts)
    may_publish: bool = True
    """False once servers inside are not to be published by themselves."""
    notes: list[str] = field(default_factory=list)
    """What is to be said when the command has ended."""

    @property
    def is_possible(self) -> bool:
        """Whether it is known where the files are."""
        return bool(self._sources.path)

    async def watch(self) -> None:
        """Read the files when they have changed, until cancelled; raises OSError.

        Each change is followed by a new watch, for it may be one of the folders. The files are
        read once that stands: what changes before it is read, and what changes after it is noticed.
        """
        # Its descriptor is the later watch's: until then the program may have used up all others.
        with FileWatch(()) if syscalls.HAS_INOTIFY else contextlib.nullcontext():
            await trio.sleep(_FIRST_LOOK)
        while not syscalls.HAS_INOTIFY:
            self._look()
            await trio.sleep(LOOK)
        while True:
            paths = [Path(self._sources.path), *files.project_paths()]
            with FileWatch(paths) as watch:
                self._look()
                await watch.changed()
                await trio.sleep(SETTLE)

    def _look(self) -> None:
        """Read the files, and judge by what they say now, if that is other than before.

        Raises OSError where that is to be tried again: what this host lacks is no mistake in them.
        """
        path = self._sources.path
        try:
            changed = self._read()
            if changed == self._sources:
                return
            self._sources, settings = changed, changed.settings()
            is_looser = self._policy.is_loosened_by(change := settings.policy())
            was_closed = self._policy.is_closed
            self._policy.tighten(change)
            is_looser |= not self._ports.has_all(settings.opened_ports())
        except (ConfigError, ValueError) as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _LACKS:
                raise error.__cause__ from None
            self._ignore(error.cause if isinstance(error, ConfigError) else f"{path}: {error}")
            return
        self._tighten_ports(settings)
        if was_closed:
            return
        self._record(PolicyTightened(files=_named(path, changed.projects)))
        if self._policy.is_closed:
            self.notes.append(_CLOSED)
        elif is_looser:
            self._ignore(f"{path}: {_LOOSER}")

    def _tighten_ports(self, settings: Settings) -> None:
        """Close the ports of the host that are open no longer, and record what is left of each."""
        self.may_publish &= settings.published().mode != publishing.OFF
        changes = self._ports.narrow(
            settings.opened_ports(), one_by_one=settings.opens_ports_itself()
        )
        for closed, left in changes:
            self._record(
                HostPortClosed(port=closed.first, last=_last(closed), source=closed.source)
            )
            for each in left:
                self._record(HostPortOpened(port=each.first, last=_last(each), source=each.source))

    def _read(self) -> Sources:
        with SPARE.lent():
            said = from_toml(files.read(Path(self._sources.path)), self._sources.path)
            return self._sources.changed(said, files.projects())

    def _ignore(self, cause: str) -> None:
        note = f"a change of the settings is ignored: {cause}"
        if note in self.notes or _MORE in self.notes:
            return
        if len(self.notes) >= MOST_NOTES:
            note = cause = _MORE
        self.notes.append(note)
        self._record(PolicyChangeIgnored(kind=Kind.SETTING, cause=cause))


def _last(ports: PortRange) -> int:
    """Return the last of several ports; 0 of one."""
    return ports.last if ports.last != ports.first else 0


def _named(path: str, projects: Iterable[Project]) -> list[str]:
    return [path, *(project.path for project in projects)]
