"""User and group maps of a new user namespace: an ordinary caller maps itself, root the range."""

import os
from pathlib import Path

from netns import capabilities
from netns.errors import SandboxError
from netns.hints import host_facts, map_hint


def identity_map(own_map: str) -> str:
    """Map every id that the caller's own namespace has to itself.

    `own_map` is the text of /proc/self/uid_map or gid_map: lines of "inside outside count",
    user_namespaces(7). Raises ValueError on anything else.
    """
    extents = [tuple(map(int, line.split())) for line in own_map.splitlines()]
    return "".join(f"{inside} {inside} {count}\n" for inside, _outside, count in extents)


def can_map_range(held: int | None = None) -> bool:
    """Return whether the caller may map more ids than its own: uid 0 with SETUID and SETGID.

    `held` are its capabilities, if they are known.
    """
    needed = 1 << capabilities.SETUID | 1 << capabilities.SETGID
    return (
        os.geteuid() == 0
        and (capabilities.effective() if held is None else held) & needed == needed
    )


def refused(error: OSError, uid: int, held: int) -> SandboxError:
    """Return how a map that could not be written is told, of a caller with these capabilities."""
    lacks_setfcap = uid == 0 and not held & 1 << capabilities.SETFCAP
    hint = map_hint(error.errno, host_facts(), lacks_setfcap=lacks_setfcap)
    return SandboxError(f"id map: {Path(error.filename).name}: {error.strerror}", hint)


def write_range(pid: int) -> None:
    """Map the full range for `pid`, which has just unshared; the caller must be outside."""
    for kind in ("uid_map", "gid_map"):
        own = Path("/proc/self", kind).read_text()
        _write(Path("/proc", str(pid), kind), identity_map(own))


def write_single(uid: int, gid: int) -> None:
    """Map the caller's own uid and gid to themselves, from inside the new namespace.

    setgroups must be denied first, user_namespaces(7); supplementary groups stay in force but
    show as the overflow gid.
    """
    _write(Path("/proc/self/setgroups"), "deny")
    _write(Path("/proc/self/uid_map"), f"{uid} {uid} 1\n")
    _write(Path("/proc/self/gid_map"), f"{gid} {gid} 1\n")


def _write(path: Path, text: str) -> None:
    """Write a file of proc(5); raises OSError with its name, which write(2)'s own lacks."""
    try:
        path.write_text(text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
