"""A player is a client program, bare or under keepline, that follows orders: JSON lines each way.

    async with Player(stage_host, "bun", environment, keepline) as player:
        reply = await player.fetch("https://server.test/")
        assert reply.error is None

An order is followed beside the others. `reply.at` is when its answer was read, trio's clock.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import trio

from relay.record import flightlog
from relay.record.events import AnyEvent
from tests.support.internet.hosts import Host

Kind: TypeAlias = Literal["bun", "node", "python", "agent", "agent-h2"]
"""A runtime with its fetch, or "agent": Bun with the rules of the real client, over HTTP/1.1."""

_SCRIPTS: Final[Mapping[Kind, str]] = {
    "bun": "fetch.mjs",
    "node": "fetch.mjs",
    "python": "python.py",
    "agent": "agent.mjs",
    "agent-h2": "agent.mjs",
}

_OPTIONS: Final[Mapping[Kind, Sequence[str]]] = {
    "python": ["-I"],
    "agent-h2": ["--experimental-http2-fetch"],
}

_CLIENTS: Final = Path(__file__).with_name("clients")
_PROGRAMS: Final = Path(__file__).resolve().parents[2] / ".venv/programs/node_modules/.bin"
_LAST_LINES: Final = 8
"""The last calls of a traceback, its error, and what keepline says of that."""


def program(kind: Kind) -> str | None:
    """Find the client's runtime; None if this machine has none."""
    if kind == "python":
        return sys.executable
    runtime = "bun" if kind.startswith("agent") else kind
    return shutil.which(runtime) or shutil.which(runtime, path=str(_PROGRAMS))


@dataclass(frozen=True)
class Reply:
    """What became of an order."""

    error: str | None
    at: float
    seconds: float
    said: Mapping[str, Any]
    """All that the client told."""
    resumed: Sequence[float]
    """When bytes came after seconds without any."""


@dataclass
class _Waiting:
    started: trio.Event = field(default_factory=trio.Event)
    done: trio.Event = field(default_factory=trio.Event)
    resumed: list[float] = field(default_factory=list)
    reply: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0


class PlayerGoneError(Exception):
    """The client or its keepline has ended; the message is what it said last."""


class Player:
    """One client program that runs."""

    def __init__(
        self,
        host: Host,
        kind: Kind,
        folder: Path,
        *,
        keepline: Sequence[str] | None,
        environment: Mapping[str, str],
        trusted: Mapping[str, str],
    ) -> None:
        """Start it in `host`, under `keepline` (its command line, without the command) if any.

        Flight log and messages go to `folder`.
        """
        self.kind: Kind = kind
        self.under_keepline = keepline is not None
        argv = [str(program(kind)), *_OPTIONS.get(kind, ()), str(_CLIENTS / _SCRIPTS[kind])]
        folder.mkdir(parents=True)
        self._sessions = folder / "keepline/sessions"
        self._stderr = folder / "stderr"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("KEEPLINE_")}
        own = {"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with self._stderr.open("wb") as stderr:
            self.process = host.popen(
                [*keepline, "--", *argv] if keepline is not None else argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                env=kept | own | dict(trusted) | dict(environment),
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._orders = self.process.stdin
        self._answers = trio.lowlevel.FdStream(os.dup(self.process.stdout.fileno()))
        self._waiting: dict[int, _Waiting] = {}
        self._gone = False
        self.ready = trio.Event()
        self.last_order = 0

    @property
    def pid(self) -> int:
        """The relay's process id under keepline, else the client's."""
        return self.process.pid

    async def listen(self) -> None:
        """Read answers until the client ends; runs in the stage's nursery."""
        data = b""
        async with self._answers:
            async for piece in self._answers:
                *lines, data = (data + piece).split(b"\n")
                for line in lines:
                    self._heard(json.loads(line))
        self._gone = True
        self.ready.set()
        for waiting in self._waiting.values():
            waiting.started.set()
            waiting.done.set()

    def _heard(self, answer: Mapping[str, Any]) -> None:
        if "ready" in answer:
            self.ready.set()
            return
        waiting = self._waiting[answer["id"]]
        if "resumed" in answer:
            waiting.resumed.append(trio.current_time())
        elif "started" not in answer:
            waiting.reply, waiting.at = answer, trio.current_time()
            waiting.done.set()
        waiting.started.set()

    def order(self, do: str, **arguments: Any) -> int:
        """Give an order; its number is for `started` and `reply`."""
        self.last_order += 1
        number = self.last_order
        self._waiting[number] = _Waiting()
        line = json.dumps({"id": number, "do": do} | arguments) + "\n"
        try:
            self._orders.write(line.encode())
        except BrokenPipeError:
            raise PlayerGoneError(self.last_words()) from None
        return number

    async def started(self, number: int) -> None:
        """Wait until the first byte of the body has come, or the order is done."""
        await self._waiting[number].started.wait()

    async def reply(self, number: int, since: float) -> Reply:
        """Wait until the order is done."""
        waiting = self._waiting[number]
        await waiting.done.wait()
        del self._waiting[number]
        if not waiting.reply:
            raise PlayerGoneError(self.last_words())
        error = waiting.reply.get("error")
        return Reply(error, waiting.at, waiting.at - since, waiting.reply, waiting.resumed)

    def is_waiting(self, number: int) -> bool:
        """Return whether an order is not done yet."""
        return number in self._waiting and not self._waiting[number].done.is_set()

    async def do(self, do: str, **arguments: Any) -> Reply:
        """Give an order and wait for its end."""
        since = trio.current_time()
        return await self.reply(self.order(do, **arguments), since)

    async def fetch(self, url: str) -> Reply:
        """GET an url by the client's pool."""
        return await self.do("fetch", url=url)

    def events(self) -> list[AnyEvent]:
        """Read the flight log so far; the relay writes within 0.2 s."""
        log = next(iter(self._sessions.glob("*.jsonl")), None)
        return list(flightlog.read(log)) if log else []

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr, in one line, for the row's verdict."""
        lines = [
            line.strip(" |+-") for line in self._stderr.read_text(errors="replace").split("\n")
        ]
        return " / ".join([line for line in lines if line][-_LAST_LINES:]) or self._status()

    def _status(self) -> str:
        return f"it ended without a word, status {self.process.poll()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._orders.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
