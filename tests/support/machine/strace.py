"""System calls of a process that fail because strace(1) says so: its -e inject.

async with failing(session.pid, "accept4", errno.EMFILE, tmp_path / "strace") as faults:
    ...                                             # the next three fail
    await eventually(lambda: faults.count > 0)
"""

import ctypes
import errno
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from netns import syscalls
from tests.support.command.programs import needs
from tests.support.pace import patience

_CAP_SYS_PTRACE: Final = 19
_CAPABILITY_VERSION_3: Final = 0x20080522
_PR_CAP_AMBIENT_RAISE: Final = 2
_ATTACHED: Final = b" attached"
_DEADLINE: Final = 10.0


@dataclass(frozen=True)
class Faults:
    """What strace does."""

    output: Path

    @property
    def count(self) -> int:
        """Calls that have failed because of it so far."""
        return self.output.read_text().count("(INJECTED)")


@asynccontextmanager
async def failing(
    pid: int, call: str, number: int, output: Path, *, times: int = 3
) -> AsyncIterator[Faults]:
    """Let the next calls of a process fail, all its threads'; written to `output` by strace."""
    rule = f"inject={call}:error={errno.errorcode[number]}:when=1..{times}"
    argv = [needs("strace"), "-f", "-p", str(pid), "-o", str(output), "-e", f"trace={call}"]
    with _started([*argv, "-e", rule]) as process:
        assert process.stderr is not None
        with trio.fail_after(patience(_DEADLINE)):
            line = await trio.to_thread.run_sync(process.stderr.readline, abandon_on_cancel=True)
        try:
            assert _ATTACHED in line, line
            yield Faults(output)
        finally:
            process.send_signal(signal.SIGINT)  # it lets the process go


def _started(argv: list[str]) -> subprocess.Popen[bytes]:
    """Start a program that keeps one capability, as Yama may ask for it: capabilities(7), ambient.

    It is this thread's for as long as the start takes; no other program starts meanwhile.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    before = type(sets)(*sets)
    sets[2] |= sets[1] & 1 << _CAP_SYS_PTRACE  # what is permitted is inheritable too
    libc.capset(header, sets)
    if sets[2] & 1 << _CAP_SYS_PTRACE:
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_SYS_PTRACE)
    try:
        return subprocess.Popen(argv, stderr=subprocess.PIPE)
    finally:
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
        libc.capset(header, before)  # who is started later inherits nothing of it
