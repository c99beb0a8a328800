"""Plays rows as one caller, each way in an internet of its own; writes outcomes as JSON lines."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import trio

from tests.support.command.keepline import Keepline
from tests.support.internet.enter import enter
from tests.support.internet.world import Internet
from tests.support.pace import patience

from .networks.situations import Network
from .row import WAYS, Outcome, Row, Way, outcome
from .rows import ROWS

# The program's own time, without that of keepline's start.
_TIMED: Final = (
    'echo began >&2; began=$EPOCHREALTIME; "$@"; status=$?; ended=$EPOCHREALTIME;'
    ' echo >&2; echo "took $((${ended/[.,]/} - ${began/[.,]/}))" >&2; exit $status'
)
_TOOK: Final = re.compile(r"^took (\d+)$", re.MULTILINE)
_POLL: Final = 0.01
_SLOWEST: Final = 1.5
"""What a machine may be slower by: then 2 s are not at once. A busier one plays a row once more."""


@dataclass(frozen=True)
class Played:
    """What became of one row in one way."""

    row: str
    way: Way
    outcome: Outcome


async def play(row: Row, way: Way) -> Outcome:
    """Play it, in a network of its own."""
    with Internet() as internet:
        async with trio.open_nursery() as nursery:
            await nursery.start(internet.serve_names)
            network = Network(internet, nursery)
            async with row.network(network):
                status, output = await _run(row, way, network)
                if row.observe is not None and status is not None:
                    output += f"\nsaid: {await row.observe(network)}\n"
            nursery.cancel_scope.cancel()
    took = _TOOK.search(output)
    if status is not None and took is None:
        return Outcome(status, output.strip().splitlines()[-1], "it did not run")
    seconds = int(took.group(1)) / 1e6 if took else row.limit
    return outcome(row, status, output, seconds, min(patience(1), _SLOWEST))


async def _run(row: Row, way: Way, network: Network) -> tuple[int | None, str]:
    """Run the program to its end, or to the row's limit; return its status and all it said."""
    internet = network.internet
    argv = ["bash", "-c", _TIMED, "timed", *row.program.argv]
    if way == "keepline":
        argv = Keepline.argv("run", *row.options, "--", *argv)
    output = internet.directory / "output"
    with output.open("wb") as file:
        process = internet.client.popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=_environment(internet.directory) | network.variables,
            start_new_session=True,
        )
    ended = os.pidfd_open(process.pid)
    try:
        with trio.move_on_after(row.limit) as scope:
            while not output.stat().st_size:  # noqa: ASYNC110, a file tells by no event
                await trio.sleep(_POLL)
            network.began.set()
            await trio.lowlevel.wait_readable(ended)
    finally:
        os.close(ended)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    text = output.read_text(errors="replace")
    return (None if scope.cancelled_caught else process.wait()), text


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment without the person's own: no proxy, no settings, English messages."""
    home = str(folder)
    homes = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), home)
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **homes}


async def play_all(rows: list[Row], at_once: int) -> None:
    """Play rows side by side, and both ways of each."""
    limiter = trio.CapacityLimiter(at_once)

    async def one(row: Row, way: Way) -> None:
        async with limiter:
            played = Played(row.name, way, await play(row, way))
        sys.stdout.write(msgspec.json.encode(played).decode() + "\n")
        sys.stdout.flush()

    async with trio.open_nursery() as nursery:
        for row in sorted(rows, key=lambda row: row.is_quick):
            for way in WAYS:
                nursery.start_soon(one, row, way)
                await trio.lowlevel.checkpoint()


def main() -> int:
    """Play the rows whose names stand on stdin, a line each."""
    caller, at_once = sys.argv[1:]
    wanted = set(sys.stdin.read().splitlines())
    enter(as_root=caller == "root")
    trio.run(play_all, [row for row in ROWS if row.name in wanted], int(at_once))
    return 0


if __name__ == "__main__":
    sys.exit(main())
