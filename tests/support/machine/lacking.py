"""Runs a program where something is lacking: `lacking("unshare", *argv)` gives the command line.

What may be lacking: `user_namespaces` (their number is limited to 0), `unshare` (a seccomp filter
forbids it), `netfilter` (the kernel has no such netlink), `raw_sockets` (a filter forbids them), or
any system call, `CALL:ERRNO`, as seccomp.forbid takes them.
"""

import os
import sys
from pathlib import Path
from typing import Final

from netns import syscalls
from netns.process import idmap
from tests.support.machine import seccomp

_MODULE: Final = "tests.support.machine.lacking"


def lacking(what: str, *argv: str) -> list[str]:
    """Return the command line that runs `argv` without it."""
    return [sys.executable, "-I", "-m", _MODULE, what, *argv]


def user_namespaces() -> None:
    """Move into a user namespace in which no other can be made."""
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    idmap.write_single(uid, gid)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


_LACKING: Final = {
    "user_namespaces": user_namespaces,
    "unshare": seccomp.forbid_unshare,
    "netfilter": seccomp.forbid_netfilter,
    "raw_sockets": seccomp.forbid_raw_sockets,
}

if __name__ == "__main__":
    call, _, error = sys.argv[1].partition(":")
    if error:
        seccomp.forbid(call, error)
    else:
        _LACKING[call]()
    os.execvp(sys.argv[2], sys.argv[2:])
