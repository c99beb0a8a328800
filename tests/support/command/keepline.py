"""Runs the real keepline in a host of the small internet and gives back all that it did.

    keepline = Keepline(internet)                       # in internet.client
    done = await keepline.run("curl", "-s", "http://server.test/")
    assert (done.status, done.stdout, done.stderr) == (0, b"hello", "")
    assert done.only(ConnectionClosed).by == "program"

    done = await keepline.run("client", options=["--dns", "real"], stdin=b"...", check=False)
    keepline.config.write_text("keepidle = 1\\n")        # config.toml of all that follow

    async with keepline.start("cat", options=["--linger"]) as session:   # while it runs:
        session.write(b"line\\n")
        assert await session.readline() == b"line\\n"
        dialled = await session.until(Dialled)          # waits for an event in the flight log
        session.process.send_signal(signal.SIGTERM)     # the relay itself; session.pid is its pid
        done = await session.end()                      # closes stdin, waits, reads the rest

    done = await keepline.call("log", "--json")         # the other subcommands

`run` checks that the status is 0 unless told otherwise. Everything has a deadline of DEADLINE
seconds, after which the relay is killed and its stderr is part of the error. `options` go before
the `--`; `env` is added to the environment; other keywords are subprocess.Popen's (cwd, ...).
Flight logs and settings live in a folder of the internet: nothing of the person's is touched.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

import trio

from relay.record import flightlog
from relay.record.events import AnyEvent
from tests.support import log_schema
from tests.support.command.denied import denied
from tests.support.internet.hosts import Host
from tests.support.internet.world import Internet
from tests.support.pace import patience

DEADLINE: Final = 30.0
_POLL: Final = 0.02

E = TypeVar("E", bound=AnyEvent)


@dataclass(frozen=True)
class Done:
    """What one keepline did, from start to end."""

    status: int
    """As the shell of a person would show it: 128+N if keepline itself was killed by signal N."""
    stdout: bytes
    stderr: str
    events: list[AnyEvent] = field(default_factory=list)
    """The session's flight log."""

    def all(self, kind: type[E]) -> list[E]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def only(self, kind: type[E]) -> E:
        """Return the one event of its kind."""
        (event,) = self.all(kind)
        return event


class Session:
    """A keepline that runs; made by Keepline.start."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        sessions: Path,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.process = process
        self.ended = ended
        """Is to be called once the process has ended."""
        self.pid = process.pid
        self._sessions = sessions

    @property
    def log(self) -> Path | None:
        """Find the flight log, whose name ends with the relay's pid; None before it is there."""
        return next(iter(self._sessions.glob(f"*-{self.pid}.jsonl")), None)

    def events(self) -> list[AnyEvent]:
        """Read the flight log as it is now; the relay writes events within 0.2 s."""
        return list(flightlog.read(self.log)) if self.log else []

    async def until(self, kind: type[E], wanted: Callable[[E], bool] = bool) -> E:
        """Wait for the first event of a kind for which `wanted` holds, and give it."""
        with trio.fail_after(patience(DEADLINE)):
            while True:
                for event in self.events():
                    if isinstance(event, kind) and wanted(event):
                        return event
                await trio.sleep(_POLL)

    def write(self, data: bytes) -> None:
        """Write to the command's stdin; short pieces, for it may block."""
        cast("IO[bytes]", self.process.stdin).write(data)

    async def readline(self) -> bytes:
        """Read a line of the command's stdout; empty at its end."""
        return await _read(cast("IO[bytes]", self.process.stdout))

    async def readline_of_stderr(self) -> bytes:
        """Read a line of stderr; empty at its end."""
        return await _read(cast("IO[bytes]", self.process.stderr))

    async def end(self, stdin: bytes = b"", *, checks: bool = True) -> Done:
        """Write the last of stdin, close it, wait until all is over, and give what it did.

        The flight log is held against its schema, unless it is too long for that.
        """
        with trio.move_on_after(patience(DEADLINE)):
            stdout, stderr = await trio.to_thread.run_sync(
                self.process.communicate, stdin, abandon_on_cancel=True
            )
            self.ended()
            if self.log and checks:
                log_schema.check_log(self.log)
            code = self.process.returncode
            status = code if code >= 0 else 128 - code
            return Done(status, stdout or b"", (stderr or b"").decode(), self.events())
        told = b"".join([line async for line in self._stderr_so_far()])
        raise TimeoutError(f"{self.process.args!r} goes on, {self.events()}, {told.decode()}")

    async def _stderr_so_far(self) -> AsyncIterator[bytes]:
        """Kill the relay and give what it wrote; others may hold its stderr open for ever."""
        self.process.kill()
        with trio.move_on_after(1):
            while line := await self.readline_of_stderr():
                yield line


async def _read(pipe: IO[bytes]) -> bytes:
    with trio.fail_after(patience(DEADLINE)):
        return await trio.to_thread.run_sync(pipe.readline, abandon_on_cancel=True)


class Keepline:
    """The keepline of one host, with settings and flight logs of its own."""

    def __init__(self, internet: Internet, host: Host | None = None) -> None:
        self.host = host or internet.client
        self._internet = internet
        self.folder = internet.directory / f"keepline-{self.host.name}"
        self.sessions = self.folder / "state/keepline/sessions"
        self.config = self.folder / "config/keepline/config.toml"
        self.config.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: text for name, text in os.environ.items() if not _is_setting(name)}
        self.environment = kept | {
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    @staticmethod
    def argv(*arguments: str) -> list[str]:
        """Return the command line of `keepline ARGUMENTS`, good from any folder."""
        return [sys.executable, "-I", "-m", "relay", *arguments]

    def popen(
        self,
        *command: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> Session:
        """Start `keepline run`, for those who look after it themselves; see `start`."""
        return self._popen(self.argv("run", *options, "--", *command), env, popen)

    @asynccontextmanager
    async def start(
        self,
        *command: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> AsyncIterator[Session]:
        """Start `keepline run`; at the end of the with statement the relay is killed."""
        session = self.popen(*command, options=options, env=env, **popen)
        try:
            yield session
        finally:
            _abandon(session.process)
            session.ended()

    async def run(
        self,
        *command: str,
        options: Sequence[str] = (),
        stdin: bytes = b"",
        check: bool = True,
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> Done:
        """Run `keepline run [options] -- command` to its end; with `check` its status must be 0."""
        async with self.start(*command, options=options, env=env, **popen) as session:
            done = await session.end(stdin)
        assert not check or done.status == 0, done
        return done

    async def call(
        self, *arguments: str, env: Mapping[str, str] | None = None, **popen: Any
    ) -> Done:
        """Run `keepline ARGUMENTS` as it is to its end, whatever its status."""
        session = self._popen(self.argv(*arguments), env, popen)
        try:
            return await session.end()
        finally:
            _abandon(session.process)

    def _popen(
        self, argv: list[str], env: Mapping[str, str] | None, popen: dict[str, Any]
    ) -> Session:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = self.environment | dict(env or {})
        # Unbuffered, so that lines may be read first and the rest at the end.
        start = partial(self.host.popen, argv, env=environment, bufsize=0)
        ended = self._watched(argv, environment)
        return Session(start(**(pipes | popen)), self.sessions, ended)

    def _watched(self, argv: list[str], environment: Mapping[str, str]) -> Callable[[], None]:
        """Have the internet's witness look for what is denied; return what ends that."""
        witness = self._internet.witness
        if witness is None or self.host is not self._internet.client:
            return lambda: None
        return witness.begin(denied(argv, environment, self.config))


def _is_setting(variable: str) -> bool:
    """Return whether it would change what keepline does: its own, and those that name a proxy."""
    return variable.startswith("KEEPLINE_") or variable.lower().endswith("_proxy")


def _abandon(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs and close our ends of its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
