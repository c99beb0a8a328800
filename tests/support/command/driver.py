"""Drives program.py from a test: the same calls inside keepline and bare, one after the other.

    async with inside(keepline, options=["--dns", "real"]) as program:
        assert await program(look_up, "server.test") == [SERVER]
        assert program.seconds < 1
        done = await program.session.end()          # the flight log, if it ran inside

What a call raises inside, it raises here.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, ParamSpec, TypeVar

import trio

from tests.support.command.keepline import Keepline, Session
from tests.support.internet.hosts import Host
from tests.support.pace import patience

from .program import Answer, decode, encode

P = ParamSpec("P")
R = TypeVar("R")

_MAIN: Final = "from tests.support.command.program import main; main()"
_MEASURES: Final = "COVERAGE_PROCESS_CONFIG"
_UNMEASURED: Final = ("env", "-u", _MEASURES) if _MEASURES in os.environ else ()
"""The program is none of what is measured, and would take thrice as long to start."""
PROGRAM: Final = (*_UNMEASURED, sys.executable, "-I", "-c", _MAIN)
"""Its command line."""
_POLL: Final = 0.01
_PATIENCE: Final = 10.0


class Program:
    """A program that does what it is told; `seconds` is how long its last call took there."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seconds = 0.0

    async def __call__(self, function: Callable[P, R], *arguments: P.args, **none: P.kwargs) -> R:
        """Have it call a function of program.py."""
        self.session.write(encode((function, arguments)))
        line = await self.session.readline()
        assert line, f"the program has ended: {(await self.session.end()).stderr}"
        answer: Answer = decode(line)
        self.seconds = answer.seconds
        if answer.error is not None:
            raise answer.error
        value: R = answer.value
        return value


@asynccontextmanager
async def inside(
    keepline: Keepline, options: Sequence[str] = (), **popen: Any
) -> AsyncIterator[Program]:
    """Run the program inside keepline."""
    async with keepline.start(*PROGRAM, options=options, **popen) as session:
        yield Program(session)


@asynccontextmanager
async def bare(host: Host) -> AsyncIterator[Program]:
    """Run the program in a host without keepline."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with host.popen(PROGRAM, bufsize=0, **pipes) as process:
        try:
            yield Program(Session(process, host.directory))
        finally:
            process.kill()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something the kernel tells by no event."""
    with trio.fail_after(patience(_PATIENCE)):
        while not condition():  # noqa: ASYNC110, there is no event to wait for
            await trio.sleep(_POLL)
