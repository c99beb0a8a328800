"""The proxy needs nothing of Linux: its tests pass where the names that Linux alone has are gone.

What is left of Linux is trio's epoll, in whose place it has kqueue elsewhere. Nobody has tried a
real macOS yet.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]

WITHOUT: Final = '''
import ctypes, fcntl, os, signal, socket, sys, time

GONE = {
    fcntl: ("F_GETPIPE_SZ", "F_SETPIPE_SZ"),
    os: (
        *("eventfd", "memfd_create", "pidfd_open", "pipe2", "setns", "splice", "unshare"),
        *("SPLICE_F_MORE", "SPLICE_F_MOVE", "SPLICE_F_NONBLOCK", "sched_setaffinity"),
    ),
    signal: ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo"),
    socket: (
        *("AF_ALG", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "MSG_ERRQUEUE", "NETLINK_ROUTE"),
        *("SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_BINDTODEVICE", "SO_DOMAIN", "SO_MARK"),
        *("SO_PEERCRED", "SO_PROTOCOL", "TCP_DEFER_ACCEPT", "TCP_INFO", "TCP_KEEPIDLE"),
        *("TCP_QUICKACK", "TCP_USER_TIMEOUT"),
    ),
    time: ("CLOCK_BOOTTIME",),
}
CALLS = {
    *("inotify_add_watch", "inotify_init1", "prctl", "setns", "signalfd", "sigqueue", "umount2"),
    "unshare",
}
socket.TCP_KEEPALIVE = socket.TCP_KEEPIDLE  # macOS has it by this name
for module, names in GONE.items():
    for name in names:
        vars(module).pop(name, None)
socket.__all__ = [name for name in socket.__all__ if hasattr(socket, name)]


class Elsewhere:
    """A C library that is not Linux's."""

    def __init__(self, *arguments, **options):
        self.library = CDLL(*arguments, **options)

    def __getattr__(self, name):
        if name in CALLS:
            raise AttributeError(name)
        return getattr(self.library, name)


CDLL = ctypes.CDLL
ctypes.CDLL = Elsewhere
'''

PYTEST: Final = """
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""
WHICH: Final = ("tests/flow/inbound/proxy", "tests/flow/proxy/test_relay.py")

PATH: Final = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"

IMPORTS: Final = """
from netns import syscalls
from relay import sockets
from relay.host.suspend import time_suspended
from relay.outbound import keepalive
from relay.proxy import command, running
from relay.tcp.transfer import pipes
assert sockets.TCP_INFO is None and not sockets.HAS_USER_TIMEOUT and not syscalls.HAS_INOTIFY
assert keepalive.KEEPIDLE == socket.TCP_KEEPALIVE and pipes.borrow() is None
assert time_suspended() > 0
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{PATH}{code}", *arguments],
        check=False,
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_of_it_can_be_imported() -> None:
    run(WITHOUT + IMPORTS)


def test_its_tests_pass() -> None:
    assert " passed" in run(WITHOUT + PYTEST, *WHICH)
