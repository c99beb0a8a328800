"""A process of the host's, or the relay, as a target, and what became of it."""

import contextlib
import os
import resource
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.escape.arena import (
    LOOPBACK_PORT,
)
from tests.escape.attempts import Attempt


@asynccontextmanager
async def victim(attempt: Attempt) -> AsyncIterator[None]:
    """A process of the caller's on the host, with a secret and a connection to the host."""
    arena = attempt.arena
    script = arena.folder / "programs/victim.py"
    process = arena.internet.client.popen(
        arena.argv(
            arena.python, "-I", "-S", str(script), "127.0.0.1", str(LOOPBACK_PORT), attempt.secret
        ),
        env={"PATH": os.environ["PATH"], "VICTIMS_SECRET": attempt.secret},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    line = await trio.to_thread.run_sync(process.stdout.readline)  # type: ignore[union-attr]
    address, its_fd = map(int, line.split())
    attempt.kept["victim"] = process
    attempt.facts |= {
        "victim": process.pid,
        "target": process.pid,
        "address": address,
        "its_fd": its_fd,
    }
    try:
        yield
    finally:
        process.kill()
        await trio.to_thread.run_sync(process.wait)


def ended(attempt: Attempt) -> bool:
    """The host's process is gone, though nobody on the host has ended it."""
    return attempt.kept["victim"].poll() is not None


def stopped(attempt: Attempt) -> bool:
    """The host's process is stopped."""
    return _stat(attempt.kept["victim"].pid)[0] == "T"


def limited(attempt: Attempt) -> bool:
    """The host's process has another limit of descriptors."""
    return resource.prlimit(attempt.kept["victim"].pid, resource.RLIMIT_NOFILE)[0] == 77


def scheduled(attempt: Attempt) -> bool:
    """The host's process has another priority."""
    return os.getpriority(os.PRIO_PROCESS, attempt.kept["victim"].pid) == 7


def exposed(attempt: Attempt) -> bool:
    """The host's process has another score."""
    return Path(f"/proc/{attempt.kept['victim'].pid}/oom_score_adj").read_text().strip() == "777"


def traced(attempt: Attempt) -> bool:
    """The host's process, or the relay, has a tracer."""
    pid = attempt.kept["victim"].pid if "victim" in attempt.kept else attempt.pid
    with contextlib.suppress(FileNotFoundError):
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    return False


def overwritten(attempt: Attempt) -> bool:
    """The host's process has the token in its memory."""
    with Path(f"/proc/{attempt.kept['victim'].pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(attempt.facts["address"])
        return memory.read(len(attempt.token)) == attempt.token.encode()


def relay_ended(attempt: Attempt) -> bool:
    """The relay was killed: it has ended, and not by what its command ended with."""
    assert attempt.process is not None
    return attempt.process.poll() == -9


def relay_stopped(attempt: Attempt) -> bool:
    """The relay is stopped."""
    return _stat(attempt.pid)[0] == "T"


def relay_limited(attempt: Attempt) -> bool:
    """The relay has another limit of descriptors."""
    with contextlib.suppress(ProcessLookupError):
        return resource.prlimit(attempt.pid, resource.RLIMIT_NOFILE)[0] == 77
    return False


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except FileNotFoundError:
        return ["gone"]
