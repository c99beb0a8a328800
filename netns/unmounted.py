"""What is done where nothing may be mounted: containers whose AppArmor or seccomp forbids mount(2).

resolv.conf stays the container's own. That is enough for DNS: each address is the namespace's, so
whichever server is asked there, 127.0.0.11 of Docker's among them, keepline answers. What resolves
names past DNS, by a UNIX socket, cannot be hidden; where one is in sight nothing runs.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netns.errors import SandboxError
from netns.hints import ALLOW_MOUNT
from netns.mounts import (
    BYPASS_FOLDERS,
    BYPASS_SOCKETS,
    KEPT_SOURCES,
    NSSWITCH_CONF,
    RESOLV_CONF,
)
from netns.plan import Plan

SERVERS_OF: Final = {
    "resolve": ("/run/systemd/resolve",),
    "mymachines": ("/run/systemd/machine", "/run/systemd/userdb"),
    "mdns": ("/run/avahi-daemon",),
    "mdns4": ("/run/avahi-daemon",),
    "mdns6": ("/run/avahi-daemon",),
    "mdns_minimal": ("/run/avahi-daemon",),
    "mdns4_minimal": ("/run/avahi-daemon",),
    "mdns6_minimal": ("/run/avahi-daemon",),
    "sss": ("/var/lib/sss/pipes",),
    "ldap": ("/run/nslcd",),
    "wins": ("/run/samba/winbindd",),
}
"""The folders in which whoever answers for a source of nsswitch.conf(5) has its sockets."""


def require_without(plan: Plan, error: OSError) -> str:
    """Return what it means to go on without mounts, for people; raises SandboxError if it cannot.

    `error` is what mount(2) has failed with.
    """
    why = f"nothing can be mounted here ({os.strerror(error.errno or 0)})"
    if plan.strict:
        raise SandboxError(
            f"--strict hides files by mounts, and {why}", f"{ALLOW_MOUNT}; or leave it out"
        )
    if doors := list(_doors(_text(NSSWITCH_CONF))):
        raise SandboxError(
            f"{why}, and {', '.join(doors)} would resolve names past keepline",
            f"{ALLOW_MOUNT}; or start without {'it' if len(doors) == 1 else 'them'}",
        )
    if plan.has_rules and _is_replaceable(RESOLV_CONF):
        raise SandboxError(
            f"{why}: this user's program could write {RESOLV_CONF}, and so get around rules",
            f"run as a user who may not write it; or {ALLOW_MOUNT}; or leave the rules out",
        )
    if not names_ipv4(_text(RESOLV_CONF)):
        raise SandboxError(
            f"{why}, and {RESOLV_CONF} names IPv6 name servers only",
            f"{ALLOW_MOUNT}; or name one with an IPv4 address: --dns ADDRESS of the engine",
        )
    ssh = "; ssh may refuse root's configuration" if plan.owned or plan.owned_folders else ""
    return (
        f"{why}: resolv.conf and nsswitch.conf stay as they are, and what comes to resolve names"
        f" by a UNIX socket later is not hidden{ssh}"
    )


def names_ipv4(resolv_conf: str) -> bool:
    """Return whether a program would ask a server by IPv4: 127.0.0.1 where none is named."""
    lines = map(str.split, resolv_conf.splitlines())
    servers = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    return not servers or any(":" not in server for server in servers)


def bypasses(nsswitch: str) -> list[str]:
    """Return the sources of the `hosts:` line that ask somebody else than DNS, nsswitch.conf(5)."""
    lines = [line.partition("#")[0].partition(":") for line in nsswitch.splitlines()]
    values = [value for name, _colon, value in lines if name.strip() == "hosts"]
    words = [word for value in values for word in re.sub(r"\[[^]]*\]?", " ", value).split()]
    return [word for word in words if word not in KEPT_SOURCES]


def _doors(nsswitch: str) -> Iterator[str]:
    """Yield what would resolve names past keepline, if it is there now.

    nscd is asked by libc whatever nsswitch.conf says, the others by whoever knows them too.
    """
    sources = bypasses(nsswitch)
    places = [*BYPASS_FOLDERS, *(place for name in sources for place in SERVERS_OF.get(name, ()))]
    for folder in dict.fromkeys(places):
        yield from _sockets_in(folder)
    yield from filter(_is_socket, BYPASS_SOCKETS)
    unknown = [name for name in sources if name not in SERVERS_OF]
    yield from (f"the source `{name}` of {NSSWITCH_CONF}" for name in unknown)


def _is_replaceable(path: str) -> bool:
    """Return whether the caller may write a file, or put another in its place."""
    real = os.path.realpath(path)
    places = {path, real, os.path.dirname(path), os.path.dirname(real)}  # noqa: PTH120 - strings
    return any(os.access(place, os.W_OK) for place in places)


def _sockets_in(folder: str) -> Iterator[str]:
    """Yield the sockets in a folder; the folder itself if what is in it cannot be seen."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if _is_socket(entry.path)]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        yield folder
        return
    yield from found


def _is_socket(path: str) -> bool:
    """Return whether something to connect to is there, or may be."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116 - a string, as found
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
