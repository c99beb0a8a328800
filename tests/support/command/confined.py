"""What a program in a strict session tries upon the host: each tells what it meets.

`confined("name", "argument")` gives the command line that runs the function of that name here.
"""

import ctypes
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.command.inside import tell

_MODULE: Final = "tests.support.command.confined"
_PROC: Final = Path("/proc")
_KEYCTL: Final = {"x86_64": 250}.get(os.uname().machine, 219)
_GET_KEYRING_ID, _SESSION_KEYRING = 0, -3

libc = ctypes.CDLL(None, use_errno=True)


def confined(name: str, *arguments: str) -> list[str]:
    """Return the command line of a program of this module."""
    return [sys.executable, "-I", "-m", _MODULE, name, *arguments]


def met(attempt: Callable[[], object]) -> str:
    """Return the name of the error that an attempt meets, or `done`."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def processes(*pids: str) -> None:
    """Try to do something to processes by their ids, and tell what can be seen in /proc."""
    for pid in map(int, pids):
        _try_process(pid)
    tell(
        sorted(each.name for each in _PROC.iterdir() if each.name.isdigit() and len(each.name) > 2)
    )


def _try_process(pid: int) -> None:
    attempts: dict[str, Callable[[], object]] = {
        "kill": lambda: os.kill(pid, signal.SIGKILL),
        "stop": lambda: os.kill(pid, signal.SIGSTOP),
        "group": lambda: os.killpg(pid, signal.SIGKILL),
        "limit": lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "affinity": lambda: os.sched_setaffinity(pid, {0}),
        "scheduler": lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
        "open": lambda: os.pidfd_open(pid),
        "read": (_PROC / str(pid) / "environ").stat,
    }
    for name, attempt in attempts.items():
        tell(f"{name}: {met(attempt)}")


def group(number: str) -> None:
    """Send a signal to the whole process group, without heeding it, and go on."""
    if int(number) not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(int(number), signal.SIG_IGN)
    tell(met(lambda: os.kill(0, int(number))))


def init() -> None:
    """Try to end, stop, read and trace the init."""
    for name, attempt in {
        "kill": lambda: os.kill(1, signal.SIGKILL),
        "stop": lambda: os.kill(1, signal.SIGSTOP),
        "environment": (_PROC / "1/environ").read_bytes,
        "descriptors": lambda: [each.readlink() for each in (_PROC / "1/fd").iterdir()],
        "memory": (_PROC / "1/mem").read_bytes,
        "root": lambda: list((_PROC / "1/root/").iterdir()),
    }.items():
        tell(f"{name}: {met(attempt)}")
    tell((_PROC / "1/cmdline").read_bytes().rstrip(b"\0").decode())


def messages(key: str, queue: str) -> None:
    """Look for System V shared memory by its key, and for a POSIX message queue by its name."""
    ctypes.set_errno(0)
    tell("shared memory:", _errno_of(libc.shmget(int(key), 0, 0)))
    tell("message queue:", _errno_of(libc.mq_open(queue.encode(), os.O_RDONLY)))


def _errno_of(result: int) -> str:
    return "found" if result != -1 else errno.errorcode[ctypes.get_errno()]


def keys() -> None:
    """Tell which session keyring there is, or what keyctl(2) meets."""
    result = libc.syscall(_KEYCTL, _GET_KEYRING_ID, _SESSION_KEYRING, 0)
    tell(result if result != -1 else errno.errorcode[ctypes.get_errno()])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
