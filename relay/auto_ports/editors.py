"""Editors of the host that serve an agent: their ports are open as long as they live.

An editor writes a lock file, with its process and its port in the name, into a folder that the
command cannot write to (netns/read_only.py). The folder is opened before the command starts, so
that another one in its place says nothing; where there is none then, editors are found in the next
session. What a file says is not believed: who listens at the port has to be the process that it
names, outside of any session, or one that this has started. That is asked when the port is opened,
whenever the folder changes, and of the address that is dialled before each connection to it.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from relay.addresses import Endpoint
from relay.auto_ports import lock_file, owner
from relay.auto_ports.lock_file import Lock
from relay.barrier import Record
from relay.host.inotify import FolderWatch
from relay.policy.host_ports import HostPorts
from relay.record.events import HostPortClosed, HostPortOpened

MOST: Final = 32
"""Lock files of a folder that are read."""
_MOST_BYTES: Final = 1 << 16

_SETTLE: Final = 0.1
"""Seconds after a change before the folder is read: a file is made, then written."""
_PAUSES: Final = (0.0, 0.25, 1.0)
"""Seconds between looks at a port: some write the lock file first, and listen then."""


@dataclass(eq=False)
class EditorFolder:
    """A folder of lock files, open and watched since before the command started."""

    path: Path
    fd: int
    watch: FolderWatch

    @classmethod
    def opened(cls, path: Path) -> "EditorFolder | None":
        """Open a folder of the caller's; None if there is none, or others can write to it.

        Raises OSError where the kernel has no watch left.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(fd)
            is_own = status.st_uid == os.geteuid() and not status.st_mode & stat.S_IWOTH
            if is_own:
                return cls(path, fd, FolderWatch(fd))
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def close(self) -> None:
        """Watch no longer."""
        self.watch.close()
        os.close(self.fd)

    def locks(self) -> Iterator[Lock]:
        """Yield what the lock files say; raises OSError if the folder cannot be read.

        Those that were written last come first: editors that were killed have left theirs, and the
        agent cannot remove these, as it does outside.
        """
        found: list[tuple[int, str]] = []
        for name in filter(lock_file.port_named, os.listdir(self.fd)):  # noqa: PTH208
            with contextlib.suppress(OSError):  # it is gone
                status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
                found.append((status.st_mtime_ns, name))
        for _written, name in sorted(found, reverse=True)[:MOST]:
            with contextlib.suppress(OSError):  # it is gone, or none that is read
                if (lock := lock_file.read(name, self._content(name))) is not None:
                    yield lock

    def _content(self, name: str) -> bytes:
        """Return what is in a file that is the caller's and has no other name; raises OSError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        fd = os.open(name, flags, dir_fd=self.fd)
        try:
            status = os.fstat(fd)
            is_plain = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
            if not is_plain or status.st_uid != os.geteuid():
                return b""
            return os.read(fd, _MOST_BYTES)
        finally:
            os.close(fd)


@dataclass(eq=False)
class Editors:
    """Opens and closes the ports of the editors of one folder."""

    _folder: EditorFolder
    _ports: HostPorts
    _record: Record
    _serves: Callable[[int, int], frozenset[int]] = owner.serves
    _listener: Callable[[Endpoint], int] = owner.listener
    _known: "dict[Lock, trio.CancelScope]" = field(default_factory=dict)
    _open: dict[Lock, frozenset[int]] = field(default_factory=dict)
    """The sockets that were the editor's when that was asked last."""

    async def watch(self) -> None:
        """Follow what becomes of the lock files, until cancelled; raises OSError."""
        async with trio.open_nursery() as nursery:
            while True:
                self._look(nursery)
                await self._folder.watch.changed()
                await trio.sleep(_SETTLE)

    def _look(self, nursery: "trio.Nursery") -> None:
        """Go by what the folder has now: an editor that was there may serve no longer."""
        locks = set(self._folder.locks())
        for lock, scope in self._known.items():
            if lock not in locks or (lock in self._open and not self._is_served(lock)):
                scope.cancel()
        for lock in locks - self._known.keys():
            self._known[lock] = trio.CancelScope()
            nursery.start_soon(self._keep_open, lock, self._known[lock])

    async def _keep_open(self, lock: Lock, scope: "trio.CancelScope") -> None:
        """Have a port open until the editor has ended, or is cancelled.

        The process is held by a descriptor before it is looked at: if it ends in between, that
        tells, and no other that gets its number is taken for it.
        """
        try:
            with scope, contextlib.suppress(OSError), _held(lock.pid) as process:
                for pause in _PAUSES:
                    await trio.sleep(pause)
                    if sockets := self._serves(lock.pid, lock.port):
                        await self._open_until_end(lock, process, sockets)
                        break
        finally:
            del self._known[lock]

    def _is_served(self, lock: Lock) -> bool:
        """Return whether it is the editor that serves an open port, and note by which sockets."""
        self._open[lock] = self._serves(lock.pid, lock.port)
        return bool(self._open[lock])

    def _holds(self, lock: Lock, address: str) -> bool:
        """Return whether one of the editor's sockets would take a connection to this address.

        One that is not known is looked into, which takes a millisecond: the editor may have begun
        to listen anew. If it is another's, the port is closed.
        """
        listener = self._listener((address, lock.port))
        if listener and listener not in self._open[lock] and not self._is_served(lock):
            self._known[lock].cancel()
        return listener in self._open[lock]

    async def _open_until_end(self, lock: Lock, process: int, sockets: frozenset[int]) -> None:
        source = f"IDE lock file {self._folder.path / lock.name}"
        self._open[lock] = sockets
        if self._ports.open(lock.port, source, partial(self._holds, lock)):
            self._record(HostPortOpened(port=lock.port, source=source))
        try:
            await trio.lowlevel.wait_readable(process)
        finally:
            del self._open[lock]
            if self._ports.close(lock.port, source):
                self._record(HostPortClosed(port=lock.port, source=source))


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)
