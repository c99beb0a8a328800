"""User and group maps of a new user namespace: an ordinary caller maps itself, root the range."""

import os
from pathlib import Path

CAP_SETGID = 6
CAP_SETUID = 7


def identity_map(own_map: str) -> str:
    """Map every id that the caller's own namespace has to itself.

    `own_map` is the text of /proc/self/uid_map or gid_map: lines of "inside outside count",
    user_namespaces(7). Raises ValueError on anything else.
    """
    extents = [tuple(map(int, line.split())) for line in own_map.splitlines()]
    return "".join(f"{inside} {inside} {count}\n" for inside, _outside, count in extents)


def can_map_range() -> bool:
    """Return whether the caller may map more ids than its own: uid 0 with SETUID and SETGID."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    needed = 1 << CAP_SETUID | 1 << CAP_SETGID
    return os.geteuid() == 0 and effective & needed == needed


def write_range(pid: int) -> None:
    """Map the full range for `pid`, which has just unshared; the caller must be outside."""
    for kind in ("uid_map", "gid_map"):
        own = Path("/proc/self", kind).read_text()
        Path("/proc", str(pid), kind).write_text(identity_map(own))


def write_single(uid: int, gid: int) -> None:
    """Map the caller's own uid and gid to themselves, from inside the new namespace.

    setgroups must be denied first, user_namespaces(7); supplementary groups stay in force but
    show as the overflow gid.
    """
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1\n")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1\n")
