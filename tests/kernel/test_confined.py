"""Whatever fails at the start, the command is confined as it should be, or never runs."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import trio

from netns.strict import scopes
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.world import Internet
from tests.support.machine.lacking import lacking
from tests.support.pace import patience

ROOT: Final = os.getuid() == 0
ROOT_KEEPS: Final = 0x8004_01FF

AMBIENT, READ, DROP, NO_NEW_PRIVS, DEATH = 47, 23, 24, 38, 1  # options of prctl(2)
PROCESSES_AND_IPC: Final = 0x2800_0000
NETWORK_AND_MOUNTS: Final = 0x4002_0000  # flags of unshare(2)

PRIVILEGES: Final = (
    *(f"prctl.{option}" for option in (AMBIENT, READ, DROP, DEATH)),
    *(["seccomp"] if ROOT else [f"prctl.{NO_NEW_PRIVS}", "seccomp"]),
    *("unshare", f"unshare.{NETWORK_AND_MOUNTS}"),
)
OTHERS: Final = ("mount", "umount2", "bind", "listen", "setsockopt", "ioctl", "getppid")

FAILURES: Final = (
    *(f"{call}:{error}" for call in PRIVILEGES for error in ("EPERM", "EINVAL", "0")),
    *(f"{call}:{error}" for call in OTHERS for error in ("EPERM", "0")),
)
"""Calls between fork and exec; those with 0 are not made, and said to have worked."""

SCRIPT: Final = """
    told=$(cat /proc/self/status; readlink /proc/self/ns/net /proc/self/ns/user /proc/self/ns/mnt)
    echo "$told"
"""
"""Tells all at once, or nothing."""

STEPS: Final = 12
STEPS_OF_STRICT: Final = 18
"""More than what the child reports before it becomes the command."""


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


def is_confined(told: str, host: Sequence[str], filters: int) -> bool:
    """Return whether a command that told so of itself had no more than it should have."""
    *status, net, user, mounts = told.splitlines()
    fields = dict(line.split(":", 1) for line in status)
    sets = {name: int(fields[name], 16) for name in fields if name.startswith("Cap")}
    kept = ROOT_KEEPS if ROOT else 0
    return (
        not any(held & ~kept for held in sets.values())
        and sets["CapInh"] == sets["CapAmb"] == 0
        and (ROOT or fields["NoNewPrivs"].strip() == "1")
        and fields["Seccomp"].strip() == "2"
        and int(fields["Seccomp_filters"]) > filters
        and not {net, user, mounts} & set(host)
    )


async def told_by(keepline: Keepline, *prefix: str) -> tuple[int, str]:
    """Run a command that tells what it has; return the exit status and what it told, if it ran."""
    argv = [*prefix, *keepline.argv("run", "--", "sh", "-c", SCRIPT)]
    with trio.fail_after(patience(30)):
        done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    return done.returncode, done.stdout.decode()


async def outside(keepline: Keepline) -> list[str]:
    done = await keepline.host.run_process(["sh", "-c", SCRIPT])
    return done.stdout.decode().splitlines()[-3:]


async def test_the_command_is_confined(keepline: Keepline) -> None:
    status, told = await told_by(keepline)
    assert (status, is_confined(told, await outside(keepline), filters=0)) == (0, True)


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_call_that_fails_lets_no_command_run_with_more(
    keepline: Keepline, failure: str
) -> None:
    status, told = await told_by(keepline, *lacking(failure))
    if told:
        assert is_confined(told, await outside(keepline), filters=1), told
    else:
        assert status == 125


STRICT: Final = (
    *("mount", "mount_setattr", "umount2", f"unshare.{PROCESSES_AND_IPC}", "keyctl"),
    *("landlock_create_ruleset", "landlock_restrict_self", "clone"),
)

SCRIPT_OF_STRICT: Final = """
    told=$(readlink /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/mnt
    awk '$2 == "/sys" { all = $4 } END { print all }' /proc/self/mounts
    cat /proc/1/comm; ls -d "$0" 2>&1)
    echo "$told"
"""


def is_strictly_confined(told: str, host: Sequence[str]) -> bool:
    """Return whether a command saw its own processes alone, and no file of /tmp of the host."""
    *spaces, sys, init, private = told.splitlines()
    return (
        not set(spaces) & set(host)
        and sys.split(",")[0] == "ro"
        and init == "session-init"
        and private.endswith("No such file or directory")
    )


async def strictly_told_by(
    keepline: Keepline, prefix: Sequence[str], private: Path
) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """Run a strict command that tells what it sees; return also what it told, if it ran."""
    script = ("sh", "-c", SCRIPT_OF_STRICT, str(private))
    argv = [*prefix, *keepline.argv("run", "--strict", "--", *script)]
    with trio.fail_after(patience(30)):
        done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    return done, done.stdout.decode()


@pytest.mark.parametrize("failure", ["", *(f"{c}:{e}" for c in STRICT for e in ("EPERM", "0"))])
async def test_a_call_that_fails_lets_no_strict_command_run_with_more(
    keepline: Keepline, tmp_path: Path, failure: str
) -> None:
    """What this kernel lacks is told on stderr: Landlock's scopes alone."""
    prefix = lacking(failure) if failure else []
    done, told = await strictly_told_by(keepline, prefix, tmp_path)
    host = await keepline.host.run_process(["sh", "-c", SCRIPT_OF_STRICT, "/nowhere"])
    if told:
        assert is_strictly_confined(told, host.stdout.decode().splitlines()[:3]), told
        is_lacking = not scopes.are_there() or failure.startswith("landlock_create")
        assert (b"Landlock" in done.stderr) == is_lacking
        assert failure in {"", "keyctl:EPERM"} or (is_lacking and failure.startswith("landlock"))
    else:
        assert (done.returncode, bool(failure)) == (125, True), done.stderr


def killing_the_relay(calls: Path, step: int) -> list[str]:
    """Return what kills the relay as it goes to read the child's next report."""
    kill = f"inject=recvmsg:signal=SIGKILL:when={step}"
    return [*(needs("strace"), "-f", "-qq", "-o", str(calls), "-e", "trace=recvmsg", "-e", kill)]


@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_a_relay_that_is_killed_while_it_starts_leaves_no_command_that_is_not_confined(
    keepline: Keepline, tmp_path: Path, step: int
) -> None:
    _status, told = await told_by(keepline, *killing_the_relay(tmp_path / "calls", step))
    if told:
        assert is_confined(told, await outside(keepline), filters=0), told


@pytest.mark.parametrize("step", range(6, STEPS_OF_STRICT + 1, 3))
async def test_a_relay_that_is_killed_leaves_no_strict_command_that_is_not_confined(
    keepline: Keepline, tmp_path: Path, step: int
) -> None:
    prefix = killing_the_relay(tmp_path / "calls", step)
    done, told = await strictly_told_by(keepline, prefix, tmp_path)
    host = await keepline.host.run_process(["sh", "-c", SCRIPT_OF_STRICT, "/nowhere"])
    spaces = host.stdout.decode().splitlines()[:3]
    assert not told or is_strictly_confined(told, spaces), (done, told)
