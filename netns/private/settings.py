"""The kernel's settings can be read, and not written to: /sys, and as root what of /proc is global.

Root of the host is root in its user namespace too, and owns those files: no capability is asked of
it. An ordinary user owns none in /proc, but may own control groups in /sys, and could end by them
what it runs outside.
"""

import os
import stat
from typing import Final

from netns import syscalls
from netns.errors import SandboxError
from netns.mountinfo import elsewhere
from netns.private.mounting import BIND, TMPFS, named

_SETTINGS: Final = (
    *("sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "bpf"),
    *("pstore", "efivarfs", "selinuxfs", "smackfs", "resctrl"),
)
_OWN: Final = "/proc/sys/net"
"""Settings of the network namespace, which is the command's alone."""


def protect_sys() -> None:
    """Have nothing written to /sys and what is mounted below it; raises SandboxError."""
    if os.path.isdir("/sys"):  # noqa: PTH112 - as the rest
        _make_read_only("/sys")


def protect_elsewhere() -> None:
    """Treat what a chroot has of these the same; raises SandboxError.

    The device of a place tells whether the mount is in sight, or another is mounted over it.
    """
    for point, _root, device in elsewhere(_SETTINGS, "/sys"):
        if _shows(point, device):
            _make_read_only(point)
    for point, _root, device in elsewhere(("devtmpfs",), "/dev"):
        if os.path.isdir(point) and _shows(point, device):  # noqa: PTH112 - as the rest
            with named(point):
                syscalls.mount(
                    "tmpfs", point, "tmpfs", TMPFS | syscalls.MS_NOEXEC, "mode=755,size=1m"
                )


def _shows(point: str, device: str) -> bool:
    try:
        number = os.stat(point).st_dev  # noqa: PTH116 - as the rest
    except OSError:
        return False
    return device == f"{os.major(number)}:{os.minor(number)}"


def protect_proc() -> None:
    """Have nothing written to /proc but by way of its processes; raises SandboxError.

    For root alone: after this nobody can mount another procfs, for the kernel would show with it
    what is hidden here.
    """
    own = os.open(_OWN, os.O_PATH)
    try:
        for name in sorted(os.listdir("/proc")):  # noqa: PTH208 - as the rest
            if not name.isdigit() and _can_be_written(f"/proc/{name}"):
                _make_read_only(f"/proc/{name}")
        syscalls.mount(f"/proc/self/fd/{own}", _OWN, flags=BIND)
    finally:
        os.close(own)


def _can_be_written(path: str) -> bool:
    """Return whether something can be written there, whatever its mode: root does not heed it."""
    mode = os.lstat(path).st_mode
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode)


def _make_read_only(path: str) -> None:
    try:
        syscalls.mount(path, path, flags=BIND)
        syscalls.make_read_only(path)
    except OSError as error:
        raise SandboxError(
            f"private files: {path} cannot be made read-only: {os.strerror(error.errno or 0)}",
            "use Linux 5.12 or later, in a container with its seccomp filter unconfined,"
            " or run without --strict",
        ) from error
