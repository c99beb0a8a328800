"""Ways by other processes: the relay, and one of the same user's that runs on the host."""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any, Final

from .kernel import CLONE_NEWNS, syscall
from .met import attempt

_SEIZE: Final = 0x4206
_held: Final[list[int]] = []


def kill(facts: Any) -> None:
    """Send a signal, by pid, by a descriptor and to all."""
    with attempt():
        os.kill(facts.target, signal.SIGKILL)
    with attempt():
        descriptor = os.pidfd_open(facts.target)
        syscall("pidfd_send_signal", descriptor, int(signal.SIGKILL), None, 0)


def stop(facts: Any) -> None:
    """Stop it."""
    os.kill(facts.target, signal.SIGSTOP)


def limit(facts: Any) -> None:
    """Take its descriptors, prlimit(2)."""
    resource.prlimit(facts.target, resource.RLIMIT_NOFILE, (77, 77))


def schedule(facts: Any) -> None:
    """Set its priority and its processors."""
    with attempt():
        os.setpriority(os.PRIO_PROCESS, facts.target, 7)
    with attempt():
        os.sched_setaffinity(facts.target, {min(os.sched_getaffinity(0))})


def expose(facts: Any) -> None:
    """Have the kernel choose it when memory is short."""
    Path(f"/proc/{facts.target}/oom_score_adj").write_text("777")


def attach(facts: Any) -> None:
    """Trace it, ptrace(2)."""
    syscall("ptrace", _SEIZE, facts.target, 0, 0)
    time.sleep(0)


def read_memory(facts: Any) -> str:
    """Read its memory, by each way there is."""
    read = [""]
    with attempt():
        read.append(_vm(facts, "process_vm_readv", bytes(len(facts.token))))
    with attempt(), Path(f"/proc/{facts.target}/mem").open("rb", buffering=0) as memory:
        memory.seek(facts.address)
        read.append(memory.read(len(facts.token)).decode(errors="replace"))
    return " ".join(read)


def write_memory(facts: Any) -> None:
    """Write into its memory, by each way there is."""
    with attempt():
        _vm(facts, "process_vm_writev", facts.token.encode())
    with attempt(), Path(f"/proc/{facts.target}/mem").open("r+b", buffering=0) as memory:
        memory.seek(facts.address)
        memory.write(facts.token.encode())


def read_environment(facts: Any) -> str:
    """Read the environment that it was started with."""
    return Path(f"/proc/{facts.target}/environ").read_text()


def read_command_line(facts: Any) -> str:
    """Read its command line."""
    return Path(f"/proc/{facts.target}/cmdline").read_text()


def take_descriptor(facts: Any) -> None:
    """Take a connected socket of its, pidfd_getfd(2) or /proc/PID/fd, and send by it."""
    with attempt():
        pidfd = os.pidfd_open(facts.target)
        number = syscall("pidfd_getfd", pidfd, facts.its_fd, 0)
        with socket.socket(fileno=number) as taken:
            taken.sendall(facts.token.encode())
    with attempt():
        os.open(f"/proc/{facts.target}/fd/{facts.its_fd}", os.O_WRONLY)


def take_all_descriptors(facts: Any) -> None:
    """Take whatever the relay holds, and keep it for the host to look at."""
    pidfd = os.pidfd_open(facts.relay)
    for number in range(64):
        with attempt():
            _held.append(syscall("pidfd_getfd", pidfd, number, 0))
    with attempt():
        _held.append(os.open(f"/proc/{facts.relay}/mem", os.O_RDWR))


def _vm(facts: Any, call: str, data: bytes) -> str:
    """Move bytes between a buffer of ours and its memory, struct iovec of both."""

    class Iovec(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    buffer = ctypes.create_string_buffer(data, len(data))
    ours = Iovec(ctypes.addressof(buffer), len(data))
    theirs = Iovec(facts.address, len(data))
    ends = (ctypes.addressof(ours), 1, ctypes.addressof(theirs), 1, 0)
    syscall(call, facts.target, *ends)
    return buffer.raw.decode(errors="replace")


def kill_maker(facts: Any) -> None:
    """Kill the process that makes sockets inside."""
    os.kill(_maker(facts), signal.SIGKILL)


def take_from_maker(facts: Any) -> None:
    """Trace it, take what it holds, open its memory, and enter its namespaces."""
    pid = _maker(facts)
    with attempt():
        syscall("ptrace", _SEIZE, pid, 0, 0)
    with attempt():
        pidfd = os.pidfd_open(pid)
        for number in range(16):
            with attempt():
                _held.append(syscall("pidfd_getfd", pidfd, number, 0))
    for name in ("mem", "cwd", "root", "fd/0", "ns/net", "ns/user", "ns/mnt"):
        with attempt():
            _held.append(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
    with attempt():
        syscall("setns", os.pidfd_open(pid), CLONE_NEWNS)


def _maker(facts: Any) -> int:
    """Return its pid; raises ProcessLookupError where it cannot be seen."""
    until = time.monotonic() + 2
    while Path(f"/proc/{facts.relay}/stat").exists() and time.monotonic() < until:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = path.read_text().rpartition(") ")
                if name.endswith("(socket-maker") and int(rest.split()[1]) == facts.relay:
                    return int(path.parent.name)
        time.sleep(0.01)
    raise ProcessLookupError(errno.ESRCH, "it is not to be seen")
