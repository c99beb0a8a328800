"""A host of the small internet as a pod: programs of several users, and its relay's stand-in."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Final, cast

import trio

from netns.network.pod import DNS_PORT, RELAY_UID, TCP_PORT
from tests.support.command.keepline import DEADLINE, Done, Keepline
from tests.support.internet.hosts import Host
from tests.support.internet.world import Internet
from tests.support.pace import patience

APP: Final = 1000
"""The user of a pod's programs."""

_HERE: Final = Path(__file__).parent
_SHOWN: Final = ("nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all", "ip addr")


class Pod:
    """What tests do in a pod."""

    def __init__(self, internet: Internet, host: Host | None = None) -> None:
        self.host = host or internet.client
        self.keepline = Keepline(internet, self.host)

    async def rules(self, *arguments: str, status: int = 0) -> Done:
        """Run `keepline sidecar rules`."""
        done = await self.keepline.call("sidecar", "rules", *arguments)
        assert done.status == status, done
        return done

    async def asked(self, *asks: str, uid: int = APP) -> list[str]:
        """Have a program do things, podded.py has them; return what came of each."""
        done = await self.host.run_process(_program("podded.py", uid, *asks))
        results: list[str] = json.loads(done.stdout.decode().splitlines()[-1])
        return results

    @asynccontextmanager
    async def program(self, *asks: str, uid: int = APP) -> AsyncIterator["Program"]:
        """Have a program that says `ready` while the with statement lasts."""
        with self._started(_program("podded.py", uid, *asks)) as process:
            program = Program(process)
            assert await program.line() == "ready"
            yield program

    @asynccontextmanager
    async def relay(self, uid: int = RELAY_UID) -> AsyncIterator[None]:
        """Have the stand-in of the relay."""
        argv = _program("stand_in_relay.py", uid, str(TCP_PORT), str(DNS_PORT))
        with self._started(argv) as process:
            assert await Program(process).line() == "ready"
            yield

    async def shown(self) -> str:
        """Return all rules, routes and addresses, as people see them."""
        done = await self.host.run_process(["sh", "-c", "; ".join(_SHOWN)])
        return done.stdout.decode()

    async def shell(self, script: str) -> str:
        """Run a script of a root of the pod."""
        done = await self.host.run_process(["sh", "-euc", script])
        return done.stdout.decode()

    @contextmanager
    def _started(self, argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        process = self.host.popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


class Program:
    """A program of a pod that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def line(self) -> str:
        """Return its next line."""
        stdout = cast("IO[str]", self._process.stdout)
        with trio.fail_after(patience(DEADLINE)):
            return (await trio.to_thread.run_sync(stdout.readline, abandon_on_cancel=True)).strip()

    async def answer(self, line: str) -> str:
        """Say something to it; return its next line."""
        cast("IO[str]", self._process.stdin).write(f"{line}\n")
        return await self.line()

    def end(self) -> None:
        """Let it end, as nothing more is said to it."""
        cast("IO[str]", self._process.stdin).close()


def _program(name: str, uid: int, *arguments: str) -> list[str]:
    return [sys.executable, "-I", str(_HERE / name), str(uid), *arguments]
