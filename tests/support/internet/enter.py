"""Moves the calling process into a user, network and mount namespace of its own, once.

Inside, the process holds every capability over the new namespaces, so that it can make more of
them, and no socket made from then on reaches the real network. Environment, files, process ids
and /proc stay as they are. The capabilities vanish at exec unless the caller becomes root.
"""

import os
import threading
from pathlib import Path

from pyroute2 import IPRoute

from netns import syscalls
from netns.errors import SandboxError
from netns.process import idmap

# What a root caller becomes without `as_root`: some ordinary user, who owns root's files.
ORDINARY_ID = 1000

_NAMESPACES = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS
_entered = threading.Event()


def enter(*, as_root: bool) -> None:
    """Move the process; the caller must be single-threaded. Raises SandboxError if it cannot.

    With `as_root` a root caller keeps its whole range of ids. Without it, it becomes user 1000.
    An ordinary caller stays itself and cannot ask for `as_root`.
    """
    if has_entered():
        raise SandboxError("this process is already in a namespace of its own", "call enter() once")
    if threading.active_count() > 1:
        raise SandboxError(
            "a process with threads cannot enter a user namespace", "call enter() earlier"
        )
    if as_root:
        _unshare_keeping_ids()
    else:
        _unshare_as_ordinary()
    _entered.set()
    # No mount made here may travel to the real machine, or from one host to another.
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    with IPRoute() as netlink:
        netlink.link("set", index=1, state="up")


def has_entered() -> bool:
    """Return whether this process is in namespaces of its own."""
    return _entered.is_set()


def _unshare() -> None:
    """Unshare, or say why this machine does not allow it."""
    try:
        syscalls.unshare(_NAMESPACES)
    except OSError as error:
        raise SandboxError(
            f"no user namespace: {error.strerror}",
            "see sysctl user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns",
        ) from error


def _unshare_as_ordinary() -> None:
    """Leave one id in the map: the caller's own, or an ordinary one for a root caller."""
    uid, gid = os.geteuid(), os.getegid()
    _unshare()
    if uid != 0:
        idmap.write_single(uid, gid)
        return
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{ORDINARY_ID} {uid} 1\n")
    Path("/proc/self/gid_map").write_text(f"{ORDINARY_ID} {gid} 1\n")


def _unshare_keeping_ids() -> None:
    """Let a helper that stays outside write the maps: only there is the privilege to do so."""
    if not idmap.can_map_range():
        raise SandboxError("only root can keep a range of ids", "run this as root, or as a user")
    unshared_read, unshared_write = os.pipe()
    mapped_read, mapped_write = os.pipe()
    target = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(unshared_write)
        _write_maps_and_exit(target, unshared_read, mapped_write)
    os.close(unshared_read)
    os.close(mapped_write)
    try:
        _unshare()
        os.write(unshared_write, b"1")
        mapped = os.read(mapped_read, 1)
    finally:
        os.close(unshared_write)  # the helper ends, also if nothing was written
        os.close(mapped_read)
        os.waitpid(helper, 0)
    if not mapped:
        raise SandboxError("the id maps could not be written", "see user_namespaces(7)")


def _write_maps_and_exit(target: int, unshared: int, mapped: int) -> None:
    """Wait until `target` has unshared, map its ids, tell it; never return."""
    try:
        if os.read(unshared, 1):
            idmap.write_range(target)
            os.write(mapped, b"1")
    finally:
        os._exit(0)
