"""Credentials of proxies that change: their command is run again once a proxy has refused them.

One run at a time, whose result is everybody's, and none within PAUSE after the last one began.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Final

import trio

from relay.proxies import printed
from relay.proxies.url import Credentials, Proxy

PAUSE: Final = 60.0
"""Seconds, from one run to the next: so a proxy that refuses all has few runs, not one a dial."""

SECONDS: Final = 10.0
"""For a run; connections wait for it."""


class NoOthersError(Exception):
    """There are no other credentials: the message says why, for people."""


class Renewal:
    """The credentials of a session's proxies."""

    def __init__(self, command: Sequence[str] = (), why_not: str = "") -> None:
        """Run `command` for others, unless there is none, or a reason why not."""
        self._command = command
        self._why_not = why_not
        self._printed: Credentials | None = None
        self._next_run = 0.0
        self._running = trio.Lock()

    def of(self, proxy: Proxy) -> Credentials | None:
        """Return those by which a proxy knows us now."""
        return self._printed or proxy.credentials

    async def renew(self, proxy: Proxy, refused: Credentials | None) -> None:
        """Have others than those that a proxy has refused; raises NoOthersError.

        Several connections are refused at the same time. The first of them has the command run;
        the others wait for it here, and find by then that what they were refused for is old.
        """
        async with self._running:
            if self.of(proxy) != refused:
                return
            if self._why_not or not self._command:
                raise NoOthersError(self._why_not)
            if trio.current_time() < self._next_run:
                raise NoOthersError("proxy_command was run again less than a minute ago")
            self._next_run = trio.current_time() + PAUSE
            found = await self._run(proxy)
            if found == refused:
                raise NoOthersError("proxy_command prints the same as before")
            self._printed = found

    async def _run(self, proxy: Proxy) -> Credentials:
        try:
            with trio.move_on_after(SECONDS):
                return printed.parse(proxy.scheme, await _output(self._command))
        except (OSError, ValueError) as error:
            raise NoOthersError(f"proxy_command, run again: {error}") from None
        raise NoOthersError(f"proxy_command, run again: no end within {SECONDS:g} s")


async def _output(command: Sequence[str]) -> bytes:
    """Return what a command prints; raises OSError, and ValueError if it fails."""
    with contextlib.ExitStack() as undo:
        pipe, end = os.pipe()
        undo.callback(os.close, pipe)
        try:
            pid = _start(command, end)
        finally:
            os.close(end)
        undo.callback(_end, pid)
        ended = os.pidfd_open(pid)
        undo.callback(os.close, ended)
        data = b""
        while len(data) <= printed.LONGEST:
            await trio.lowlevel.wait_readable(pipe)
            more = os.read(pipe, printed.LONGEST)
            if not more:
                break
            data += more
        else:
            raise ValueError("it prints too much")
        await trio.lowlevel.wait_readable(ended)
        if _has_failed(pid):
            raise ValueError("it has failed")
        return data


def _start(command: Sequence[str], output: int) -> int:
    """Start a command that writes to `output`; return its process. Raises OSError.

    It has no terminal to write on or to be interrupted by, for the session's program has that, and
    no signal blocked: the relay, which reads all of them, relay/command/signals.py, has blocked
    them, and what it starts would inherit that (subprocess has no way to say otherwise).
    """
    return os.posix_spawnp(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # the interpreter ignores both
    )


def _has_failed(pid: int) -> bool:
    """Return whether one that has ended has failed, as far as can be known.

    As the first process of a container the relay reaps whatever has ended, this one too if it comes
    to that first: then what was printed tells.
    """
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED)
    except ChildProcessError:
        return False
    return ended is None or ended.si_code != os.CLD_EXITED or ended.si_status != 0


def _end(pid: int) -> None:
    """Kill it with what it has started, if it still runs, and forget it."""
    with contextlib.suppress(ChildProcessError):  # it is forgotten
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is None:
            os.killpg(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED)
