"""keepline as a container's first process: PID 1 of a namespace, without an init beside it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.support.command.keepline import Keepline, Session
from tests.support.command.programs import needs
from tests.support.internet.world import Internet
from tests.support.pace import patience

NAMESPACE: Final = [
    *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
    *(() if os.getuid() == 0 else ("--user", "--map-current-user")),
]

ORPHANS: Final = """
import os, sys, time

def zombies():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = open(f"/proc/{name}/stat").read().rpartition(") ")[2].split()[:2]
        except OSError:
            continue
        if (state, parent) == ("Z", "1"):
            yield name

for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            while os.getppid() != 1:
                time.sleep(0.001)
        os._exit(0)
    os.wait()
assert os.getppid() == 1
while list(zombies()):
    time.sleep(0.01)
print("reaped", flush=True)
sys.exit(7)
"""
"""Leaves twenty orphans to PID 1, and ends once none of them is a zombie."""


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    needs("unshare")
    return Keepline(internet)


def start(keepline: Keepline, *command: str, options: tuple[str, ...] = ()) -> Session:
    """Start `keepline run` as PID 1 of a namespace."""
    argv = [*NAMESPACE, *keepline.argv("run", *options, "--", *command)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = keepline.host.popen(argv, env=keepline.environment, bufsize=0, **pipes)
    return Session(process, keepline.sessions)


def children(pid: int) -> list[int]:
    """Return a process's children, as they are seen from here."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it is another user's for a moment, or has ended
        return []
    return [int(each) for each in text.split()]


def first_process(session: Session) -> int:
    """Return the process id of keepline, as seen from here: unshare's only child."""
    (first,) = children(session.pid)
    return first


async def test_orphans_are_reaped_and_the_status_is_the_commands(keepline: Keepline) -> None:
    session = start(keepline, sys.executable, "-c", ORPHANS)
    done = await session.end()
    assert (done.status, done.stdout, done.stderr) == (7, b"reaped\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
async def test_a_signal_from_outside_reaches_the_command(
    keepline: Keepline, number: signal.Signals
) -> None:
    name = number.name.removeprefix("SIG")
    traps = f"trap 'echo asked; exit 3' {name}; echo ready; while :; do sleep 0.05; done"
    session = start(keepline, "sh", "-c", traps)
    assert await session.readline() == b"ready\n"
    os.kill(first_process(session), number)
    done = await session.end()
    assert (done.status, done.stdout, done.stderr) == (3, b"asked\n", "")


async def test_a_command_that_asks_for_no_signal_ends_by_it(keepline: Keepline) -> None:
    session = start(keepline, "sh", "-c", "echo ready; exec sleep 60")
    assert await session.readline() == b"ready\n"
    os.kill(first_process(session), signal.SIGTERM)
    done = await session.end()
    assert (done.status, done.stderr) == (128 + signal.SIGTERM, "")


async def test_a_signal_that_comes_while_it_starts_is_not_lost(keepline: Keepline) -> None:
    """As soon as it has a child; the kernel would ignore what PID 1 has no handler for."""
    session = start(keepline, "sleep", "60")
    with trio.fail_after(patience(30)):
        while not (first := children(session.pid)) or not children(first[0]):
            await trio.lowlevel.checkpoint()
    os.kill(first[0], signal.SIGTERM)
    done = await session.end()
    assert (done.status, done.stderr) == (128 + signal.SIGTERM, "")


async def test_what_the_command_leaves_behind_ends_with_the_container(keepline: Keepline) -> None:
    session = start(keepline, "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo left")
    done = await session.end()
    assert (done.status, done.stdout) == (0, b"left\n")
    assert "left behind, ended with the command: sleep (" in done.stderr


async def test_lingering_ends_with_the_container(keepline: Keepline) -> None:
    """The one that is left tells that the command, its parent, has ended."""
    script = "(while [ -e /proc/$PPID/cwd ]; do :; done; echo alone; exec sleep 60) & exit 0"
    session = start(keepline, "sh", "-c", script, options=("--linger",))
    assert await session.readline() == b"alone\n"
    os.kill(first_process(session), signal.SIGTERM)
    done = await session.end()
    assert done.status == 0
    assert "left behind, ended with the command: sleep (" in done.stderr


async def test_lingering_ends_with_the_last_process_left(keepline: Keepline) -> None:
    script = "(read word; echo $word) <&3 3<&- & exec true"
    session = start(keepline, "sh", "-c", f"exec 3<&0; {script}", options=("--linger",))
    done = await session.end(b"word\n")
    assert (done.status, done.stdout, done.stderr) == (0, b"word\n", "")
