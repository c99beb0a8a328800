"""Runs a program as an ordinary user in the network of its caller: `as_user(*argv)` for root.

The program's user namespace maps user 1000 to its caller, so that it has no capability, owns
what the caller owns, and is uid 1000 to itself. Unlike tests.support.internet.enter it stays in the
network where it is.
"""

import os
import sys
from pathlib import Path
from typing import Final

from netns import syscalls
from tests.support.internet.enter import ORDINARY_ID

_MODULE: Final = "tests.support.internet.as_user"


def as_user(*argv: str) -> list[str]:
    """Return the command line that runs `argv` as an ordinary user."""
    return [sys.executable, "-I", "-m", _MODULE, *argv]


def become_user() -> None:
    """Move the calling process; its capabilities vanish with the next exec."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{ORDINARY_ID} {uid} 1\n")
    Path("/proc/self/gid_map").write_text(f"{ORDINARY_ID} {gid} 1\n")


if __name__ == "__main__":
    become_user()
    os.execvp(sys.argv[1], sys.argv[1:])
