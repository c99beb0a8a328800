"""What /proc and /dev/pts show: the namespace's own processes, and its own terminals.

Other mounts of these kinds, as a chroot has them, are covered too: each would show the host's.
"""

import errno
import os
from pathlib import Path
from typing import Final

from netns import syscalls
from netns.errors import SandboxError
from netns.mountinfo import Mount, elsewhere
from netns.process import folder

_PROC: Final = "/proc"
_TERMINALS: Final = "/dev/pts"
_CONSOLE: Final = "/dev/console"
_MAX_USER_NAMESPACES: Final = Path("/proc/sys/user/max_user_namespaces")
_SAFE: Final = syscalls.MS_NOSUID | syscalls.MS_NOEXEC


def mount_proc() -> None:
    """Mount a new procfs over each; raises SandboxError where the host's hides a part of itself.

    The caller is in the PID namespace that it is to show. The kernel allows a new one only to those
    who see all of theirs, and containers cover parts. The working folder may have been in it.
    """
    covered = list(elsewhere(("proc",), _PROC))
    working = folder.current()
    try:
        syscalls.mount("proc", _PROC, "proc", _SAFE | syscalls.MS_NODEV)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        raise SandboxError(
            "--strict needs a /proc of its own, and the kernel refuses it: parts of this one are"
            " covered, as in most containers",
            "start the container with --security-opt systempaths=unconfined (docker) or"
            " --security-opt unmask=ALL (podman), or run without --strict",
        ) from error
    _cover(covered, _PROC)
    folder.enter(working if Path(working).is_dir() else "/")


def forbid_user_namespaces() -> None:
    """Let none be made in this user namespace, or in one below it; raises OSError.

    In one that maps 0, root would have all capabilities again, over namespaces of its own. The
    number belongs to the user namespace, and is not to be raised without CAP_SYS_RESOURCE over it.
    """
    _MAX_USER_NAMESPACES.write_text("0")


def mount_terminals() -> int | None:
    """Mount a new devpts; return the caller's terminal, open(2) O_PATH, None without one.

    What the caller's terminal is called there is another's name, or nobody's: show_terminal().
    """
    own = _own_terminal()
    if Path(_TERMINALS).is_dir():
        covered = list(elsewhere(("devpts",), _TERMINALS))
        syscalls.mount("devpts", _TERMINALS, "devpts", _SAFE, "newinstance,ptmxmode=0666,mode=620")
        _cover(covered, _TERMINALS)
    return own


def show_terminal(own: int | None) -> None:
    """Show the caller's terminal as /dev/console, where ttyname(3) finds it, and close `own`."""
    if own is None:
        return
    try:
        os.close(os.open(_CONSOLE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        syscalls.mount(f"/proc/self/fd/{own}", _CONSOLE, flags=syscalls.MS_BIND)
    finally:
        os.close(own)


def _own_terminal() -> int | None:
    """Open the terminal at one of the standard streams, by its name.

    Only so it can be mounted: what a stream has open is in another mount namespace.
    """
    for stream in (0, 1, 2):
        try:
            return os.open(os.ttyname(stream), os.O_PATH)
        except OSError:
            continue  # it is none, is closed, or has no name here
    return None


def _cover(covered: list[Mount], folder: str) -> None:
    """Show the same part of the new file system at each point; if it has none, nothing."""
    for point, root, _device in covered:
        source = f"{folder}{root}".rstrip("/")
        if not Path(point).exists():
            continue  # something else is mounted over it
        if Path(source).exists():
            syscalls.mount(source, point, flags=syscalls.MS_BIND)
        elif Path(point).is_dir():
            syscalls.mount("tmpfs", point, "tmpfs", _SAFE | syscalls.MS_NODEV, "mode=755")
        else:
            syscalls.mount("/dev/null", point, flags=syscalls.MS_BIND)
