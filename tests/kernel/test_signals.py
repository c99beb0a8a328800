"""A signal to keepline, to its group or from the terminal reaches the command as often as bare."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio

from tests.support.command.inside import inside, name_of_signal
from tests.support.command.keepline import Keepline, Session
from tests.support.command.terminal import Terminal, processes
from tests.support.internet.world import Internet
from tests.support.pace import patience

ALL = sorted({int(number) for number in signal.valid_signals()} - {signal.SIGKILL, signal.SIGSTOP})
LAST = signal.SIGRTMAX
Act = Callable[[int, int], None]


@pytest.fixture
def keepline(at_each_level: Keepline) -> Keepline:
    return at_each_level


async def heard(keepline: Keepline, send: Act, numbers: Sequence[int]) -> dict[str, list[str]]:
    """Return what the command hears, bare and under keepline, one signal after the other."""
    command = inside("count_signals", name_of_signal(LAST))
    told: dict[str, list[str]] = {}
    for way, argv in {"bare": command, "keepline": keepline.argv("run", "--", *command)}.items():
        process = keepline.host.popen(
            argv,
            env=keepline.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            process_group=0,
            bufsize=0,
        )
        lines = Session(process, keepline.sessions)
        assert await lines.readline() == b"ready\n"
        told[way] = []
        for number in [*numbers, LAST]:
            send(process.pid, number)
            told[way].append((await lines.readline()).decode().strip())
        told[way] += (await lines.end()).stdout.decode().split()
    return told


@pytest.mark.parametrize("send", [os.kill, os.killpg])
async def test_each_signal_is_heard_once(keepline: Keepline, send: Act) -> None:
    told = await heard(keepline, send, ALL[:-1])
    assert told["bare"] == list(map(name_of_signal, ALL))
    assert told["keepline"] == told["bare"]


async def test_what_another_sends_to_one_after_the_group_is_heard_again(
    keepline: Keepline,
) -> None:
    """The witness forgets what the group got. Who sends both at once is heard once."""

    def by_another(pid: int, number: int) -> None:
        # What waits to be read is one signal with the next of its kind, signal(7).
        while "ShdPnd:\t0000000000000000\n" not in Path(f"/proc/{pid}/status").read_text():
            time.sleep(0.001)
        subprocess.run(["sh", "-c", f"kill -{number} {pid}"], check=True)

    sends = iter([os.killpg, by_another, by_another, os.killpg, os.killpg, by_another] * 2)

    def in_turns(pid: int, number: int) -> None:
        next(sends)(pid, number)

    told = await heard(keepline, in_turns, [signal.SIGINT] * 5)
    assert told["keepline"] == told["bare"] == ["SIGINT"] * 5 + [name_of_signal(LAST)]


async def test_processes_that_are_signalled_one_by_one_hear_it_once(keepline: Keepline) -> None:
    """As those of a control group are by systemd, in the order of their numbers."""
    async with keepline.start(*inside("count_signals", "SIGUSR2")) as session:
        assert await session.readline() == b"ready\n"
        for process in sorted(await processes(session.pid), key=lambda one: one.pid):
            os.kill(process.pid, signal.SIGTERM)
        assert await session.readline() == b"SIGTERM\n"
        session.process.send_signal(signal.SIGUSR2)
        assert (await session.end()).stdout == b"SIGUSR2\n"


async def test_what_the_command_sends_to_its_group_is_not_sent_back(keepline: Keepline) -> None:
    script = "trap 'echo heard' TERM; kill 0; sleep 0.2; sleep 0.2; echo ended"
    async with keepline.start("sh", "-c", script, start_new_session=True) as session:
        done = await session.end()
    assert (done.status, done.stdout) == (0, b"heard\nended\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
async def test_a_command_that_a_signal_ends_ends_keepline_by_it(
    keepline: Keepline, number: signal.Signals
) -> None:
    """Whoever waits for it sees the same as bare, not only the status that a shell shows."""
    async with keepline.start(*inside("hold_on")) as session:
        assert await session.readline() == b"ready\n"
        session.process.send_signal(number)
        done = await session.end()
    assert session.process.returncode == -number
    assert (done.status, done.stderr) == (128 + number, "")


async def test_an_interrupt_ends_the_loop_of_a_script(internet: Internet) -> None:
    """bash goes on where its command exits with 130, and ends where it dies of SIGINT.

    In a strict session the command's own signal does not reach bash: see test_strict.py.
    """
    keepline = Keepline(internet)
    once = shlex.join(keepline.argv("run", "--", "sh", "-c", "kill -INT 0; sleep 9"))
    script = f"for i in 1 2; do {once}; echo went on; done"
    argv = ["bash", "-c", script]
    done = await keepline.host.run_process(
        argv, env=keepline.environment, check=False, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (-signal.SIGINT, b"")


async def test_keys_reach_the_command_once(keepline: Keepline) -> None:
    script = shlex.join(keepline.argv("run", "--", *inside("count_signals", "SIGUSR1")))
    environment = keepline.environment | {"PS1": "outer> "}
    shell = ["bash", "--norc", "--noprofile", "-i"]
    async with Terminal(keepline.host, keepline.folder, environment, shell) as terminal:
        await terminal.line(script)
        await terminal.shows("^ready")
        for key, name in {"C-c": "SIGINT", "C-\\": "SIGQUIT", "C-z": "SIGTSTP"}.items():
            await terminal.key(key)
            await terminal.shows(f"{name}$")
        await terminal.resize(90, 50)
        await terminal.shows("SIGWINCH$")
        _shell, relay, *_below = await processes(await terminal.pid())
        for number in (signal.SIGTERM, signal.SIGUSR1):
            os.kill(relay.pid, number)
            await terminal.shows(f"{number.name}$")
        screen = await terminal.screen()
    for name in ("SIGINT", "SIGQUIT", "SIGTSTP", "SIGTERM"):
        assert screen.count(f"{name}\n") == 1, screen


async def test_an_alarm_that_was_set_before_is_the_commands(keepline: Keepline) -> None:
    """As in perl -e 'alarm 60; exec @ARGV' COMMAND, which is an old time-out."""

    def set_alarm() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.5)

    async with keepline.start("sleep", "600", preexec_fn=set_alarm) as session:
        done = await session.end()
    assert (session.process.returncode, done.stderr) == (-signal.SIGALRM, "")


STARTED = """
import os, runpy, sys
from relay.command import first
first.prepare()
os.write(1, b"ours\\n")
sys.argv[0] = "keepline"
runpy.run_module("relay", run_name="__main__")
"""


@pytest.mark.parametrize("arguments", [("run", "--", "sleep", "9"), ("doctor",), ("status",)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_while_it_starts_ends_it_quietly(
    keepline: Keepline, number: signal.Signals, arguments: tuple[str, ...]
) -> None:
    """At any moment after the interpreter's own start, in which no program of Python has a say."""
    interpreter = keepline.argv()[0]
    for group in (True, False):
        for milliseconds in range(0, 170, 17):
            process = keepline.host.popen(
                [interpreter, "-I", "-c", STARTED, *arguments],
                env=keepline.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                bufsize=0,
            )
            session = Session(process, keepline.sessions)
            assert await session.readline() == b"ours\n"
            await trio.sleep(milliseconds / 1000)
            (os.killpg if group else os.kill)(process.pid, number)
            done = await session.end()
            assert done.stderr == "", milliseconds
            assert process.returncode in {-number, *({0} if arguments[0] != "run" else ())}
            await until_empty(process.pid)


async def until_empty(group: int) -> None:
    """Wait until no process of a group is left; a zombie is none."""
    with trio.fail_after(patience(5)):
        while True:
            argv = ["pgrep", "-r", "R,S,D,T", "-g", str(group)]
            if (await trio.run_process(argv, capture_stdout=True, check=False)).returncode:
                return
            await trio.sleep(0.01)
