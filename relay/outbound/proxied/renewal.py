"""Credentials of proxies that change: their command is run again once a proxy has refused them.

One run at a time, whose result is everybody's, and none within PAUSE after the last one began.
"""

import os
import signal
import subprocess
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
    """Return what a command prints; raises OSError, and ValueError if it fails.

    It has no terminal to write on or to be interrupted by, for the session's program has that.
    """
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - the caller's own, no shell; 1 ms
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    ended = os.pidfd_open(process.pid)
    try:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
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
        if process.wait():
            raise ValueError("it has failed")
        return data
    finally:
        os.close(ended)
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill it with what it has started, if it still runs, and forget it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
