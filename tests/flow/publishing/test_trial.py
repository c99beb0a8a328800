"""Where a namespace cannot be entered, doctor says why servers in it are not reached."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from netns.network import netlink
from relay.publishing import trial

_ROOT: Final = Path(__file__).parents[3]
_FROM_BELOW: Final = """
import socket, sys
from netns import syscalls
from relay.publishing import trial

syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
print(trial.lacking(socket.socket(fileno=int(sys.argv[1]))))
"""


def test_a_namespace_that_nobody_can_enter() -> None:
    """It is one above, which the kernel lets nobody enter from below, setns(2)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
        done = subprocess.run(
            [sys.executable, "-c", _FROM_BELOW, str(diag.fileno())],
            cwd=_ROOT,
            pass_fds=[diag.fileno()],
            check=True,
            capture_output=True,
            text=True,
        )
    assert done.stdout == "Operation not permitted\n"


def test_ones_own_needs_no_entering() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
        assert trial.lacking(diag) == ""
