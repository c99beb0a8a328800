"""The name servers of the host's resolv.conf: required at the start, read again when it changes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from netns.mounts import RESOLV_CONF
from relay.addresses import DNS_PORT, Destination
from relay.descriptors import at_all_costs
from relay.host import HostError
from relay.host.resolv_conf import Options, ResolvConf, parse
from relay.record.events import Event, ResolversChanged


def read_resolv_conf(nameservers: Sequence[str]) -> str:
    """Return the text of the host's resolv.conf; raises HostError if there is nobody to ask.

    A missing file means 127.0.0.1, resolv.conf(5). If `nameservers` are set, they are asked
    instead of those in the file, which may then name IPv6 servers only.
    """
    try:
        text = Path(RESOLV_CONF).read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise HostError(
            f"{RESOLV_CONF}: {error.strerror}", f"make it readable: chmod a+r {RESOLV_CONF}"
        ) from error
    if not nameservers and not parse(text).servers:
        raise HostError(
            f"{RESOLV_CONF} names IPv6 name servers only, which keepline does not ask",
            "name one with an IPv4 address: --nameservers ADDRESS, or nameservers in config.toml",
        )
    return text


_Status: TypeAlias = tuple[int, int, int]


class HostResolvers:
    """The IPv4 name servers in a resolv.conf, which may be replaced or rewritten at any time."""

    def __init__(self, path: Path, record: Callable[[Event], None]) -> None:
        self._path = path
        self._record = record
        self._status: _Status | None = None
        self._servers = () if path.exists() else _servers_of(parse(""))
        self.options = Options()
        """How the host's libc asks them, as of the last look."""
        self._look()

    def __call__(self) -> tuple[Destination, ...]:
        """Return the current name servers; the last known ones if the file is away or names none.

        A file that has been away from the start means 127.0.0.1, resolv.conf(5).

        The file's status, stat(2), is taken before its text is read. If the file is replaced
        between the two, the new text is kept with the old status, and the next call reads it
        again; the other way round the new text would never be seen. Nor is a status kept whose
        text could not be read, for want of a descriptor for example.
        """
        before = self._servers
        self._look()
        if self._servers != before:
            self._record(ResolversChanged(resolvers=[server.host for server in self._servers]))
        return self._servers

    def _look(self) -> None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - at every lookup, and pathlib is slower
            status = found.st_ino, found.st_mtime_ns, found.st_size
            if status == self._status:
                return
            text = at_all_costs(lambda: self._path.read_text(errors="replace"))
        except OSError:
            return
        self._status = status
        named = parse(text)
        self.options = named.options
        self._servers = _servers_of(named) or self._servers


def _servers_of(resolv_conf: ResolvConf) -> tuple[Destination, ...]:
    return tuple(Destination(address, DNS_PORT) for address in resolv_conf.servers)
