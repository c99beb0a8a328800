"""No folder is passed on to the command: from an open one, `..` leads to what is hidden."""

import contextlib
import fcntl
import os
import stat
from typing import Final

from netns.errors import SandboxError

_STANDARD: Final = 2


def check() -> None:
    """Raise SandboxError if a descriptor that the command would get is a folder, or O_PATH.

    By one of the latter kind a socket can be reached, through /proc/self/fd.
    """
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - iterdir would hold one more open
        fd = int(name)
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            if (fd <= _STANDARD or os.get_inheritable(fd)) and _leads_on(fd):
                raise SandboxError(
                    f"private files: descriptor {fd}, which is passed on, is a folder or a path:"
                    " it leads to the host's files",
                    f"close it for keepline, in a shell by {fd}<&-, or run without --strict",
                )


def _leads_on(fd: int) -> bool:
    is_path = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH
    return bool(is_path) or stat.S_ISDIR(os.fstat(fd).st_mode)
