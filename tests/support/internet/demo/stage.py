"""Runs the client in a small internet; watches its words, the kernel's table and the NAT."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from tests.support.internet.sockets import Socket, tcp_sockets
from tests.support.internet.world import SERVER, Internet

PORT: Final = 80

_ROOT: Final = Path(__file__).resolve().parents[4]
_CLIENT: Final = str(Path(__file__).with_name("client.py"))
_RELAY: Final = ("-m", "relay.cli", "run")


@dataclass(frozen=True)
class Event:
    """One thing the client told."""

    what: str  # connected, answered, idle or failed
    seconds: float  # that it took
    detail: str


@dataclass
class Seen:
    """All that was seen of one run of the client."""

    events: list[Event] = field(default_factory=list)
    connection: Socket | None = None  # the one on the wire, right after the first answer
    remembered: bool = False  # whether the NAT knew the connection after the idle time
    stderr: str = ""

    def all_of(self, what: str) -> list[Event]:
        """Return all events of one sort."""
        return [event for event in self.events if event.what == what]


@dataclass(frozen=True)
class Run:
    """One way to run the client: bare, or under keepline with these options."""

    options: tuple[str, ...] | None

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the client, run in this way."""
        client = [sys.executable, _CLIENT, *arguments]
        if self.options is None:
            return client
        return [sys.executable, *_RELAY, *self.options, "--", *client]


async def watch(run: Run, internet: Internet, name: str, idle: float, deadline: float) -> Seen:
    """Run the client to its end, and look at the kernel's tables at the moments that matter."""
    process = internet.client.popen(
        run.command(name, str(PORT), str(idle), str(deadline)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(internet),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    seen = Seen()
    async for event in _told(process.stdout.fileno()):
        seen.events.append(event)
        if event.what == "answered" and seen.connection is None:
            seen.connection = _connection(internet)
        elif event.what == "idle":
            seen.remembered = internet.nat.flows() > 0
        os.write(process.stdin.fileno(), b"\n")
    _, stderr = await trio.to_thread.run_sync(process.communicate)
    seen.stderr = stderr.decode(errors="replace")
    return seen


async def _told(fd: int) -> AsyncIterator[Event]:
    """Read the client's events as they come."""
    async with trio.lowlevel.FdStream(os.dup(fd)) as stream:
        text = ""
        async for data in stream:
            *lines, text = (text + data.decode()).split("\n")
            for line in lines:
                yield Event(**json.loads(line))


def _connection(internet: Internet) -> Socket | None:
    """Find the connection that is on the wire: the client's own, or the relay's for it."""
    for found in tcp_sockets(internet.client):
        if found.remote == (SERVER, PORT) and found.state == "ESTABLISHED":
            return found
    return None


def _environment(internet: Internet) -> dict[str, str]:
    """Keep the person's settings and session records out of the demo."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("KEEPLINE_") or name.lower().endswith("_proxy"))
    }
    folder = str(internet.directory)
    own = {"PYTHONPATH": f"{_ROOT}:{kept.get('PYTHONPATH', '')}".rstrip(":")}
    own |= {"XDG_CONFIG_HOME": folder, "XDG_STATE_HOME": folder}
    return kept | own
