"""--strict: what a program tries upon the host's processes, keys and terminals meets nothing."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from netns import syscalls
from netns.strict import keyring
from relay.record.events import LeftBehind
from tests.support.command.confined import confined, libc
from tests.support.command.keepline import Done, Keepline
from tests.support.command.terminal import Terminal, processes
from tests.support.internet.world import Internet
from tests.support.machine.lacking import lacking
from tests.support.pace import patience

STRICT = ("--strict",)


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


@pytest.fixture
def bystander(keepline: Keepline) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process of the same user outside, in a process group of its own."""
    process = keepline.host.popen(["sleep", "600"], process_group=0)
    yield process
    process.kill()
    process.wait()


async def tried(keepline: Keepline, name: str, *arguments: str, options: Sequence[str]) -> Done:
    return await keepline.run(*confined(name, *arguments), options=options)


# Processes


async def test_processes_of_the_host_are_out_of_reach(
    keepline: Keepline, bystander: subprocess.Popen[bytes]
) -> None:
    """By their ids: the relay's, that of whoever started it, and a stranger's."""
    async with keepline.start("cat", options=STRICT) as relay:
        pids = [str(pid) for pid in (relay.pid, os.getpid(), bystander.pid)]
        done = await tried(keepline, "processes", *pids, options=STRICT)
        relay.write(b"lives\n")
        assert await relay.readline() == b"lives\n"
    *met, seen = done.stdout.decode().splitlines()
    names = ("kill", "stop", "group", "limit", "priority", "affinity", "scheduler", "open")
    assert met == [*(f"{name}: ESRCH" for name in names), "read: ENOENT"] * 3
    assert seen == "[]"
    assert bystander.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
async def test_a_signal_to_the_own_group_stays_inside(
    keepline: Keepline, bystander: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    """keepline is in that group, and so is what shares a pipeline with it."""
    command = confined("group", str(int(number)))
    async with keepline.start(*command, options=STRICT, process_group=bystander.pid) as session:
        if number == signal.SIGSTOP:
            with trio.fail_after(patience(15)):
                while (await _states(session.pid)).count("T") != 1:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            assert (await _states(session.pid))[0] != "T"  # the relay goes on
            [command_pid] = [one.pid for one in await processes(session.pid) if one.state == "T"]
            os.kill(command_pid, signal.SIGCONT)
        done = await session.end()
    assert done.status == (128 + number if number == signal.SIGKILL else 0)
    assert done.stdout == (b"" if number == signal.SIGKILL else b"done\n")
    assert _state(bystander.pid) == "S"


async def _states(pid: int) -> str:
    return "".join(process.state for process in await processes(pid))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


async def test_the_init_is_not_to_be_ended_or_read(keepline: Keepline) -> None:
    done = await tried(keepline, "init", options=STRICT)
    assert done.stdout.decode().splitlines() == [
        *("kill: EPERM", "stop: EPERM", "environment: EACCES", "descriptors: EACCES"),
        *("memory: EACCES", "root: EACCES", "session-init"),
    ]


async def test_the_command_is_no_child_of_the_init(keepline: Keepline) -> None:
    """A parent with the id 1 is to programs the sign that their own has ended."""
    done = await keepline.run("sh", "-c", "echo $$ $PPID", options=STRICT)
    assert done.stdout == b"2 0\n"


async def test_what_is_left_behind_is_reaped(keepline: Keepline) -> None:
    script = (
        "for i in 1 2 3; do (sh -c 'exit 3' & exec sleep 0.01) & done; wait; sleep 0.1;"
        " grep -c Z /proc/[0-9]*/stat | grep -v :0; echo none"
    )
    done = await keepline.run("sh", "-c", script, options=STRICT)
    assert done.stdout == b"none\n"


async def test_what_is_left_behind_ends_with_the_command(keepline: Keepline) -> None:
    script = "setsid sleep 600 >/dev/null 2>&1 & echo $!; exit 4"
    done = await keepline.run("sh", "-c", script, options=STRICT, check=False)
    [left] = done.only(LeftBehind).processes
    assert left.startswith("sleep (")
    assert done.status == 4
    assert f"left behind, ended with the command: {left}; to stay" in done.stderr
    assert not await processes(int(left.partition("(")[2].rstrip(")")))


async def test_the_init_stays_for_what_is_left_behind(keepline: Keepline) -> None:
    script = "{ sleep 0.3; echo last; } & echo first"
    done = await keepline.run("sh", "-c", script, options=(*STRICT, "--linger"))
    assert (done.stdout, done.stderr) == (b"first\nlast\n", "")


async def test_all_processes_end_with_the_relay(keepline: Keepline) -> None:
    script = "trap '' HUP TERM; setsid sh -c 'trap \"\" HUP; echo ready; sleep 600' & wait"
    async with keepline.start("sh", "-c", script, options=STRICT) as session:
        assert await session.readline() == b"ready\n"
        _relay, *inside = await processes(session.pid)
        with ExitStack() as opened:
            running = [os.pidfd_open(process.pid) for process in inside]
            for pidfd in running:
                opened.callback(os.close, pidfd)
            session.process.kill()
            with trio.fail_after(patience(15)):
                for pidfd in running:
                    await trio.lowlevel.wait_readable(pidfd)


async def test_a_covered_proc_is_told(keepline: Keepline) -> None:
    """As in a container: the kernel gives a new one to nobody who does not see all of the old."""
    keepline.host.call(lambda: syscalls.mount("tmpfs", "/proc/fs", "tmpfs"))
    done = await keepline.run("true", options=STRICT, check=False)
    cause, fix = done.stderr.splitlines()
    assert done.status == 125
    assert "--strict needs a /proc of its own, and the kernel refuses it" in cause
    assert "systempaths=unconfined" in fix


async def test_another_proc_shows_the_same(keepline: Keepline, bystander: object) -> None:
    """As in a chroot's folder."""
    other = keepline.folder / "other"
    other.mkdir()

    def mount() -> None:
        syscalls.mount("/proc", str(other), flags=syscalls.MS_BIND | syscalls.MS_REC)

    keepline.host.call(mount)
    done = await keepline.run("ls", str(other), options=STRICT, cwd=str(keepline.folder))
    pids = [int(name) for name in done.stdout.split() if name.isdigit()]
    assert pids[:2] == [1, 2]
    assert max(pids) < 10


# Messages, keys, terminals, user namespaces


@contextmanager
def messages() -> Iterator[tuple[str, str]]:
    """Make shared memory and a message queue outside; yield the key and the name."""
    key, queue = 0x6B650000 + os.getpid(), f"/keepline-{os.getpid()}"
    segment = libc.shmget(key, 4096, 0o1600)
    descriptor = libc.mq_open(queue.encode(), os.O_RDWR | os.O_CREAT, 0o600, None)
    assert segment != -1
    assert descriptor != -1
    try:
        yield str(key), queue
    finally:
        libc.shmctl(segment, 0, None)
        libc.mq_unlink(queue.encode())
        os.close(descriptor)


async def test_messages_and_shared_memory_are_the_sessions_own(keepline: Keepline) -> None:
    with messages() as (key, queue):
        open_ = await tried(keepline, "messages", key, queue, options=())
        closed = await tried(keepline, "messages", key, queue, options=STRICT)
    assert open_.stdout == b"shared memory: found\nmessage queue: found\n"
    assert closed.stdout == b"shared memory: ENOENT\nmessage queue: ENOENT\n"


async def test_keys_are_out_of_reach(keepline: Keepline) -> None:
    assert (await tried(keepline, "keys", options=())).stdout.strip().isdigit()
    assert (await tried(keepline, "keys", options=STRICT)).stdout == b"ENOSYS\n"


def test_the_session_keyring_is_a_new_one() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = _session_keyring()
        keyring.join_new()
        os.write(write, b"new" if _session_keyring() != before else b"old")
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    assert os.read(read, 3) == b"new"
    os.close(read)


def _session_keyring() -> int:
    number = {"x86_64": 250}.get(os.uname().machine, 219)
    return int(libc.syscall(number, 0, ctypes.c_int(-3), 0))


async def test_other_terminals_are_out_of_reach(keepline: Keepline) -> None:
    shell = keepline.argv("run", *STRICT, "--", "bash", "--norc", "--noprofile", "-i")
    environment = keepline.environment | {"PS1": "inner> "}
    async with Terminal(keepline.host, keepline.folder, environment, shell) as terminal:
        await terminal.shows("^inner> ")
        await terminal.line("echo terminals: $(ls /dev/pts); tty; ls /dev/tty*")
        await terminal.shows("^terminals: ptmx\n/dev/console\n/dev/tty\ninner> ")
        await terminal.line("script -qc 'tty; ls /dev/pts' /dev/null")
        # script(1) drops what is typed before it has ended.
        await terminal.shows("^/dev/pts/0\n0 +ptmx\ninner> ")
        await terminal.line("echo said >$(tty); stty size; echo over")
        await terminal.shows("^said\n60 100\nover")


async def test_root_makes_no_user_namespace(
    keepline: Keepline, pytestconfig: pytest.Config
) -> None:
    """In one that maps 0 it would have all capabilities again; an ordinary user never has."""
    done = await keepline.run("unshare", "--user", "true", options=STRICT, check=False)
    if pytestconfig.getoption("act_as") == "root":
        assert done.status == 1
        assert "No space left on device" in done.stderr
    else:
        assert (done.status, done.stderr) == (0, "")


async def test_the_level_itself_is_only_entered_by_asking(keepline: Keepline) -> None:
    done = await keepline.run("readlink", "/proc/self/ns/pid")
    assert done.stdout.decode().strip() == str(await trio.Path("/proc/self/ns/pid").readlink())


# A kernel that lacks something


async def test_what_the_kernel_cannot_keep_in_is_named_once(keepline: Keepline) -> None:
    refused = "landlock_create_ruleset:ENOSYS"
    argv = lacking(refused, *keepline.argv("run", *STRICT, "--", "true"))
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    assert done.returncode == 0
    assert done.stderr.decode().count("signals to its own process group (kill 0)") == 1
    argv = lacking(refused, *keepline.argv("doctor"))
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    assert b"lacks   all that --strict promises: signals to its own process group" in done.stdout
