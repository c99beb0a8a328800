"""COMMAND in a namespace of its own behind slirp4netns, which has no start of its own.

It does what a container engine does: the child unshares, slirp4netns joins it and says when its
device stands, then the child becomes the command.
"""

import os
import subprocess
import sys
from typing import NoReturn

from netns import syscalls
from netns.process import idmap


def main(command: list[str]) -> int:
    """Run the command; gives its exit status."""
    unshared_read, unshared_write = os.pipe()
    stands_read, stands_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(stands_write)
        _unshare_and_become(command, unshared_write, stands_read)
    os.close(unshared_write)
    os.close(stands_read)
    os.read(unshared_read, 1)
    exit_read, exit_write = os.pipe()  # closed with this process, however it ends
    slirp = subprocess.Popen(
        [
            *("slirp4netns", "--configure", "--mtu=65520"),
            *(f"--ready-fd={stands_write}", f"--exit-fd={exit_read}"),
            *(str(pid), "tap0"),
        ],
        pass_fds=(stands_write, exit_read),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(stands_write)
    _, status = os.waitpid(pid, 0)
    os.close(exit_write)
    slirp.wait()
    return os.waitstatus_to_exitcode(status)


def _unshare_and_become(command: list[str], unshared: int, stands: int) -> NoReturn:
    """Exec the command once there is a network; without one, fail."""
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
    idmap.write_single(uid, gid)
    os.write(unshared, b"u")
    if os.read(stands, 1):
        os.execvp(command[0], command)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
