"""The resolvers of the host's resolv.conf, read again whenever it changes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from relay.dns.lookup.question import Server
from relay.host import resolv_conf as resolvconf
from relay.record.events import Event, ResolversChanged


class HostResolvers:
    """Calling it gives the resolvers in force now."""

    def __init__(self, path: Path, record: Callable[[Event], None]) -> None:
        """Watch the file by its status, stat(2): it is replaced as often as it is rewritten."""
        self._path = path
        self._record = record
        self._status = self._read_status()
        self._servers = self._read()

    def __call__(self) -> Sequence[Server]:
        """Give the IPv4 resolvers; the last known ones while the file is away or names none."""
        status = self._read_status()
        if status != self._status:
            self._status = status
            servers = self._read() or self._servers
            if servers != self._servers:
                self._servers = servers
                self._record(ResolversChanged(resolvers=list(map(str, servers))))
        return self._servers

    def _read_status(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - on the path of every lookup
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> tuple[Server, ...]:
        try:
            text = self._path.read_text(errors="replace")
        except OSError:
            return ()
        return tuple(map(Server, resolvconf.parse(text).ipv4))
