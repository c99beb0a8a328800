"""At a terminal keepline is not noticed: keys, jobs and window size are the command's."""

import os
import shlex
import signal
from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.command.inside import inside
from tests.support.command.keepline import Keepline
from tests.support.command.terminal import DEADLINE, Process, Terminal, processes
from tests.support.pace import patience

SHELL = ["bash", "--norc", "--noprofile", "-i"]


@pytest.fixture
def keepline(at_each_level: Keepline) -> Keepline:
    return at_each_level


def typed(keepline: Keepline, *command: str) -> str:
    """Write a command line of keepline the way it is typed."""
    return shlex.join(keepline.argv("run", "--", *command))


@pytest.fixture
async def outer(keepline: Keepline) -> AsyncIterator[Terminal]:
    """A terminal with a shell that is not under keepline."""
    environment = keepline.environment | {"PS1": "outer> "}
    async with Terminal(keepline.host, keepline.folder, environment, SHELL) as terminal:
        await terminal.shows("^outer> ")
        yield terminal


@pytest.fixture
async def inner(keepline: Keepline) -> AsyncIterator[Terminal]:
    """A terminal whose shell is under keepline."""
    environment = keepline.environment | {"PS1": "inner> "}
    argv = keepline.argv("run", "--", *SHELL)
    async with Terminal(keepline.host, keepline.folder, environment, argv) as terminal:
        await terminal.shows("^inner> ")
        yield terminal


async def all_but_init(pid: int) -> list[Process]:
    """Return a process and all below it, the witness last, but for what is no part of the job.

    No key stops a strict session's init, nor who makes sockets in the namespace.
    """
    apart = {"session-init", "socket-maker"}
    found = [one for one in await processes(pid) if one.name not in apart]
    return sorted(found, key=lambda one: one.name == "signal-witness")


async def states(pid: int) -> str:
    """Return the states of a process and of all below it, one letter each."""
    return "".join(process.state for process in await all_but_init(pid))


async def job_of(terminal: Terminal) -> int:
    """Return the process id of the one job of the terminal's shell."""
    _shell, job, *_below = await processes(await terminal.pid())
    return job.pid


async def until_all_run(pid: int) -> None:
    """Wait until neither a process nor any below it is stopped."""
    with trio.fail_after(patience(DEADLINE)):
        while "T" in await states(pid):  # noqa: ASYNC110, there is no event to wait for
            await trio.sleep(0.01)


# A shell inside


async def test_a_shell_has_job_control(inner: Terminal) -> None:
    await inner.line("sleep 100 &")
    await inner.shows(r"^\[1\] \d+")
    await inner.line("jobs")
    await inner.shows(r"^\[1\]\+ +Running +sleep 100 &")
    await inner.line("kill %1; wait; echo waited-$?")
    await inner.shows("^waited-0")
    screen = await inner.screen()
    assert "no job control" not in screen
    assert "cannot set terminal process group" not in screen


async def test_an_interrupt_ends_the_program_in_the_foreground_alone(inner: Terminal) -> None:
    await inner.line("sleep 1000")
    await inner.runs("sleep")
    await inner.key("C-c")
    await inner.line("echo ended-$?")
    await inner.shows("^ended-130")


async def test_a_stopped_program_goes_on_in_the_foreground(inner: Terminal) -> None:
    await inner.line("sleep 1000")
    await inner.runs("sleep")
    await inner.key("C-z")
    await inner.shows(r"^\[1\]\+ +Stopped +sleep 1000")
    await inner.line("fg")
    await inner.runs("sleep")
    await inner.key("C-c")
    await inner.line("jobs; echo ended-$?")
    await inner.shows("^ended-0")


async def test_the_shells_status_is_ours(outer: Terminal, keepline: Keepline) -> None:
    await outer.line(typed(keepline, "env", "PS1=inner> ", *SHELL))
    await outer.shows("^inner> ")
    await outer.line("exit 9")
    await outer.shows("^outer> .*\n(.*\n)*^outer> ")
    await outer.line("echo ended-$?")
    await outer.shows("^ended-9")


async def test_the_window_changes_its_size_inside_too(inner: Terminal) -> None:
    await inner.line(shlex.join(inside("watch_window")))
    await inner.shows("^size 100 60")
    await inner.resize(72, 41)
    await inner.shows("^changed 72 41")
    await inner.line("stty size")
    await inner.shows("^41 72")


async def test_a_shell_that_suspends_itself_goes_on(outer: Terminal, keepline: Keepline) -> None:
    await outer.line(typed(keepline, "env", "PS1=inner> ", *SHELL))
    await outer.shows("^inner> ")
    await outer.line("suspend")
    await outer.shows(r"^\[1\]\+ +Stopped ")
    assert set(await states(await job_of(outer))) == {"T", "S"}  # S: the witness
    await outer.line("fg")
    await outer.line("echo back-$((1 + 1))")
    await outer.shows("^back-2")
    await outer.line("exit 4")
    await outer.line("echo ended-$?")
    await outer.shows("^ended-4")


# A shell outside


async def test_nothing_is_typed_to_the_shell_outside(outer: Terminal, keepline: Keepline) -> None:
    """Where dev.tty.legacy_tiocsti is 0, the kernel says EIO to everybody."""
    await outer.line(typed(keepline, *inside("types", "echo injected-$((40 + 2))")))
    await outer.shows("^not typed: EPERM")
    await outer.line("echo typed-$((1 + 1))")
    await outer.shows("^typed-2")
    assert "injected-42" not in await outer.screen()


# keepline as a job


async def test_the_settings_of_the_terminal_are_the_same(
    outer: Terminal, keepline: Keepline
) -> None:
    await outer.line(f"cd {keepline.folder}; stty -echoctl; stty -a > bare")
    await outer.line(f"{typed(keepline, 'stty', '-a')} > kept; cmp bare kept; echo compared-$?")
    await outer.shows("^compared-0")


async def test_keepline_stops_and_goes_on_as_a_job(outer: Terminal, keepline: Keepline) -> None:
    await outer.line(typed(keepline, "sleep", "1000"))
    await outer.runs("sleep")
    await outer.key("C-z")
    await outer.shows(r"^\[1\]\+ +Stopped ")
    job = await job_of(outer)
    assert await states(job) == "TTS"  # the witness reads no terminal, and holds the stop back
    await outer.line("fg")
    await outer.runs("sleep")
    await until_all_run(job)
    await outer.key("C-z")
    await outer.shows(r"(?s)Stopped .* Stopped ")
    await outer.line("bg")
    await outer.shows(r"^\[1\]\+ .* &$")
    await until_all_run(job)
    await outer.line("fg")
    await outer.runs("sleep")
    await outer.key("C-c")
    await outer.line("echo ended-$?")
    await outer.shows("^ended-130")


async def test_a_command_that_is_stopped_again_at_once_stays_so(
    outer: Terminal, keepline: Keepline
) -> None:
    """As by a second Ctrl-Z before the relay has woken from the first."""
    await outer.line(typed(keepline, "sleep", "1000"))
    await outer.runs("sleep")
    await outer.key("C-z")
    await outer.shows(r"^\[1\]\+ +Stopped ")
    job = await all_but_init(await job_of(outer))
    relay, command, witness = [process.pid for process in job]
    os.kill(command, signal.SIGCONT)
    await until_all_run(command)
    os.kill(command, signal.SIGSTOP)
    before = await switches(relay)
    for one in (witness, relay):  # as a shell does with the group, and before the second Ctrl-Z
        os.kill(one, signal.SIGCONT)
    with trio.fail_after(patience(DEADLINE)):
        while await switches(relay) == before or await states(relay) != "TTS":  # noqa: ASYNC110
            await trio.sleep(0.01)
    await outer.line("fg")
    await outer.runs("sleep")
    await outer.key("C-c")
    await outer.line("echo ended-$?")
    await outer.shows("^ended-130")


async def switches(pid: int) -> list[str]:
    """Count how often a process has been scheduled."""
    text = await trio.Path(f"/proc/{pid}/status").read_text()
    return [line for line in text.splitlines() if "ctxt_switches" in line]


async def test_a_program_that_handles_the_stop_itself(outer: Terminal, keepline: Keepline) -> None:
    """As an editor does, which first gives the terminal back as it was."""
    await outer.line(typed(keepline, *inside("edit")))
    await outer.shows("^editing 1")
    await outer.key("C-z")
    await outer.shows("tidied$")
    await outer.shows(r"^\[1\]\+ +Stopped ")
    await outer.line("fg")
    await outer.shows("^editing 2")
    await outer.line("quit")
    await outer.line("echo ended-$?")
    await outer.shows("^ended-6")


@pytest.mark.parametrize(("key", "status"), [("C-c", 130), ("C-\\", 131)])
async def test_keys_that_end_a_command_end_keepline_with_its_status(
    outer: Terminal, keepline: Keepline, key: str, status: int
) -> None:
    await outer.line("ulimit -c 0")
    await outer.line(typed(keepline, "sleep", "1000"))
    await outer.runs("sleep")
    await outer.key(key)
    await outer.line("echo ended-$?")
    await outer.shows(f"^ended-{status}")


async def test_a_program_reads_what_is_typed(outer: Terminal, keepline: Keepline) -> None:
    await outer.line(typed(keepline, "sh", "-c", 'read word; echo "got-$word"'))
    await outer.runs("sh")
    await outer.line("this")
    await outer.shows("^got-this")


async def test_a_job_in_the_background_does_not_touch_the_terminal(
    outer: Terminal, keepline: Keepline
) -> None:
    await outer.line("set -o notify")
    await outer.line(f"{typed(keepline, 'sh', '-c', 'read word; exit 8')} &")
    await outer.shows(r"^\[1\]\+ +Stopped ")
    await outer.line("fg")
    await outer.runs("sh")
    await outer.line("this")
    await outer.line("echo ended-$?")
    await outer.shows("^ended-8")


async def test_the_end_of_the_terminal_ends_all(outer: Terminal, keepline: Keepline) -> None:
    await outer.line(typed(keepline, "sleep", "1000"))
    await outer.runs("sleep")
    assert len(await all_but_init(await outer.pid())) == 4  # shell, keepline, command, witness
    running = [os.pidfd_open(process.pid) for process in await processes(await outer.pid())]
    await outer.hang_up()
    with trio.fail_after(patience(DEADLINE)):
        for pidfd in running:
            await trio.lowlevel.wait_readable(pidfd)
            os.close(pidfd)
