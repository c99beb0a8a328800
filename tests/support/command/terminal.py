"""A terminal that a test types on and looks at: one pane of a tmux of its own, in a host.

    async with Terminal(host, folder, environment, ["bash", "--norc"]) as terminal:
        await terminal.shows("$ ")
        await terminal.line("echo $((1 + 1))")
        await terminal.shows("\\n2\\n")

What has been shown is never taken away, so a text is waited for that was not typed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio

from tests.support.command.programs import needs
from tests.support.internet.hosts import Host
from tests.support.pace import patience

DEADLINE: Final = 15.0
_POLL: Final = 0.02
_COLUMNS, _ROWS = 100, 60


@dataclass(frozen=True)
class Process:
    """One line of proc_pid_stat(5)."""

    pid: int
    name: str
    state: str
    in_foreground: bool


async def processes(pid: int) -> list[Process]:
    """Return a process and all below it that are there now."""
    folder = trio.Path(f"/proc/{pid}")
    try:
        start, _, rest = (await (folder / "stat").read_text()).rpartition(") ")
        children = await (folder / f"task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    state, _parent, group, _session, _terminal, foreground, *_ = rest.split()
    found = [Process(pid, start.partition("(")[2], state, group == foreground)]
    for child in children.split():
        found += await processes(int(child))
    return found


class Terminal:
    """One pane."""

    def __init__(
        self, host: Host, folder: Path, environment: Mapping[str, str], argv: Sequence[str]
    ) -> None:
        self._tmux = [needs("tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._host = host
        self._environment = {**environment, "LC_ALL": "C.UTF-8", "TERM": "xterm", "HISTFILE": ""}
        self._argv = argv

    async def __aenter__(self) -> Self:
        """Start the program in a pane."""
        size = ["-x", str(_COLUMNS), "-y", str(_ROWS)]
        await self._call("new-session", "-d", *size, "--", *self._argv)
        await self._call("set-option", "-g", "remain-on-exit", "on")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hang up: whatever is still in the foreground gets SIGHUP."""
        with trio.CancelScope(shield=True):
            await self.hang_up()

    async def hang_up(self) -> None:
        """Take the terminal away."""
        await self._call("kill-server", check=False)

    async def type(self, text: str) -> None:
        """Type characters."""
        await self._call("send-keys", "-l", "--", text)

    async def key(self, name: str) -> None:
        """Press a key: C-c, Enter ..."""
        await self._call("send-keys", name)

    async def line(self, text: str) -> None:
        """Type a line."""
        await self.type(text)
        await self.key("Enter")

    async def resize(self, columns: int, rows: int) -> None:
        """Change the window's size."""
        await self._call("resize-window", "-x", str(columns), "-y", str(rows))

    async def screen(self) -> str:
        """Return all that is on it, by rows: joined, one that is just full would take the next."""
        return (await self._call("capture-pane", "-p", "-N", "-S", "-")).rstrip("\n") + "\n"

    async def shows(self, pattern: str) -> re.Match[str]:
        """Wait until it shows a pattern, over several lines if need be, and give the match."""
        screen = ""
        with trio.move_on_after(patience(DEADLINE)):
            while True:
                screen = await self.screen()
                if match := re.search(pattern, screen, re.MULTILINE):
                    return match
                await trio.sleep(_POLL)
        raise AssertionError(f"{pattern!r} is not shown:\n{screen}")

    async def runs(self, name: str) -> None:
        """Wait until a process of this name runs in the foreground."""
        with trio.move_on_after(patience(DEADLINE)):
            while True:
                for process in await processes(await self.pid()):
                    if process.name == name and process.in_foreground and process.state != "T":
                        return
                await trio.sleep(_POLL)
        found = await processes(await self.pid())
        raise AssertionError(f"{name} is not in the foreground: {found}\n{await self.screen()}")

    async def pid(self) -> int:
        """Return the process id of the pane's program."""
        return int(await self._call("display-message", "-p", "#{pane_pid}"))

    async def _call(self, *arguments: str, check: bool = True) -> str:
        done = await self._host.run_process(
            [*self._tmux, *arguments], env=self._environment, check=check
        )
        return done.stdout.decode()
