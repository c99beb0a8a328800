"""A relay for sealed containers, and namespaces without a network that stand for containers.

async with relaying(keepline) as relay:          # keepline relay --socket, on the client
    done = await relay.run("curl", ..., container=STAYS)
    relay.events()                               # the records of its sessions, outside
"""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from relay.record import flightlog
from relay.record.events import AnyEvent, SessionStarted
from tests.support.command.driver import PROGRAM, Program
from tests.support.command.keepline import Done, Keepline, Session
from tests.support.command.programs import needs
from tests.support.machine.lacking import lacking
from tests.support.pace import patience

_DEADLINE: Final = 30.0
_POLL: Final = 0.02
_ENDS_IN: Final = 5.0
_DOCKERS: Final = (
    "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,"
    "sys_chroot,mknod,audit_write,setfcap"
)
"""The capabilities of a container of Docker by default."""


def makes_its_own() -> list[str]:
    """Return what starts a container whose processes may make namespaces."""
    return [needs("unshare"), "--net"] if os.getuid() == 0 else [needs("unshare"), "-cn"]


def stays(more: str = ",net_admin", *, less: str = "") -> list[str]:
    """Return what starts a container as Docker's, but for these capabilities, without unshare."""
    kept = f"{_DOCKERS}{more}".split(",")
    bounding = ",".join(["-all", *(f"+{each}" for each in kept if each != less)])
    started = [needs("unshare"), "-n"] if os.getuid() == 0 else [needs("unshare"), "-rn"]
    sets = ["--inh-caps", "+chown", "--bounding-set", bounding]
    return [*started, needs("setpriv"), *sets, *lacking("unshare")]


class Relay:
    """A relay that runs."""

    def __init__(self, keepline: Keepline, process: subprocess.Popen[bytes], path: Path) -> None:
        self.keepline = keepline
        self.process = process
        self.path = path

    def argv(self, *command: str, options: Sequence[str] = ()) -> list[str]:
        """Return the command line of `keepline run` inside."""
        return self.keepline.argv("run", "--relay", str(self.path), *options, "--", *command)

    async def run(
        self,
        *command: str,
        container: Sequence[str],
        options: Sequence[str] = (),
        check: bool = True,
    ) -> Done:
        """Run a command in a container to its end."""
        argv = [*container, *self.argv(*command, options=options)]
        done = await self.keepline.host.run_process(
            argv, env=self.keepline.environment, check=False
        )
        made = Done(done.returncode, done.stdout, done.stderr.decode())
        assert not check or made.status == 0, made
        return made

    @asynccontextmanager
    async def talking(
        self, container: Sequence[str], options: Sequence[str] = ()
    ) -> AsyncIterator[Program]:
        """Run the program of driver.py in a container."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        argv = [*container, *self.argv(*PROGRAM, options=options)]
        environment = self.keepline.environment
        with self.keepline.host.popen(argv, env=environment, bufsize=0, **pipes) as process:
            try:
                yield Program(Session(process, self.keepline.sessions))
            finally:
                process.kill()

    def records(self) -> list[list[AnyEvent]]:
        """Return the events of its sessions, by their records, the oldest first."""
        return [
            list(flightlog.read(path)) for path in sorted(self.keepline.sessions.glob("*.jsonl"))
        ]

    async def until(self, wanted: Callable[[AnyEvent], bool]) -> None:
        """Wait for an event in any of its records."""
        with trio.fail_after(patience(_DEADLINE)):
            while not any(wanted(event) for events in self.records() for event in events):  # noqa: ASYNC110 - it is another process's
                await trio.sleep(_POLL)

    async def until_started(self, sessions: int) -> None:
        """Wait until so many sessions have been started, those of another relay included."""

        def are_started(_event: AnyEvent) -> bool:
            firsts = [events[0] for events in self.records() if events]
            return sum(isinstance(each, SessionStarted) for each in firsts) >= sessions

        await self.until(are_started)

    async def end(self) -> str:
        """End it as a service manager does; return what it has said."""
        self.process.terminate()
        with trio.fail_after(patience(_DEADLINE)):
            _out, said = await trio.to_thread.run_sync(
                self.process.communicate, abandon_on_cancel=True
            )
        return str(said.decode())


@asynccontextmanager
async def relaying(
    keepline: Keepline, *options: str, path: Path | None = None
) -> AsyncIterator[Relay]:
    """Start a relay, and wait until it listens."""
    path = path or keepline.folder / "relay.sock"
    argv = keepline.argv("relay", "--socket", str(path), *options)
    process = keepline.host.popen(
        argv, env=keepline.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        with trio.fail_after(patience(_DEADLINE)):
            while not path.is_socket():
                assert process.poll() is None, process.communicate()
                await trio.sleep(_POLL)
        yield Relay(keepline, process, path)
    finally:
        process.terminate()  # what is measured of its sessions is written
        with trio.move_on_after(patience(_ENDS_IN), shield=True):
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
