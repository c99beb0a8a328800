"""What an editor says of the server that it has for agents: `~/.claude/ide/PORT.lock`; pure."""

import re
from typing import Annotated, Final, NamedTuple

import msgspec

from relay.addresses import MAX_PORT

_NAME: Final = r"([1-9][0-9]{0,4})\.lock"
_FIRST_PROCESS: Final = 1


class Lock(NamedTuple):
    """A server, and whose it is."""

    name: str
    port: int
    pid: int
    """The editor's; its server may be in a process that this one has started."""


class _Content(msgspec.Struct):
    pid: Annotated[int, msgspec.Meta(gt=_FIRST_PROCESS, lt=1 << 22)]


def port_named(name: str) -> int | None:
    """Return the port that a file's name says; None if it is no lock file."""
    found = re.fullmatch(_NAME, name)
    port = int(found[1]) if found is not None else 0
    return port if 0 < port <= MAX_PORT else None


def read(name: str, content: bytes) -> Lock | None:
    """Return what a lock file says; None if it is none, or has not been written yet."""
    port = port_named(name)
    try:
        pid = msgspec.json.decode(content, type=_Content).pid
    except (msgspec.DecodeError, RecursionError):
        return None
    return Lock(name, port, pid) if port is not None else None
