"""A pod's relay beside no relay: the same loads, and how soon it is ready; for root alone.

    python -m tests.bench.pod [--quick]

Both clients are programs of one pod with rules. That which is the relay's user is left alone by
them: it is `direct`, the other is relayed.
"""

import argparse
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from netns.network.pod import HTTP_PORT, RELAY_UID
from tests.support.internet.enter import enter

from . import report
from .clients import Client, memory_of
from .metrics import EACH, EMPTY, FULL, QUICK, Effort, Figures, Metric, loads
from .stage import beside_servers
from .variants import Variant
from .world import MANY, NAME, SERVER, World

_APP: Final = 1000
_RUNS: Final = Path(__file__).parents[1] / "support/command/unprivileged.py"
_START: Final = Metric("ready", "start to ready", "seconds")
_PAUSE: Final = 0.005
"""Seconds between two questions whether it is ready."""
_POD: Final = "pod"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, figures are rough")
    effort = QUICK if parser.parse_args(arguments).quick else FULL
    enter(as_root=True)
    figures: Figures = trio.run(beside_servers, partial(_measured, effort))
    table = report.rows(figures)
    lines = report.table_lines(table, [report.DIRECT, _POD], figures)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _measured(effort: Effort, world: World) -> Figures:
    figures, volume = Figures(), world.client.directory / "volume"
    volume.mkdir()
    os.chown(volume, RELAY_UID, RELAY_UID)
    world.client.run([sys.executable, "-I", "-m", "relay", "sidecar", "rules"], stdout=-1)
    for _ in range(effort.starts):
        with _relay(world, volume) as (_pid, seconds):
            figures.add(_START, _POD, seconds)
            figures.add(_START, report.DIRECT, None)
    with _relay(world, volume) as (pid, _seconds):
        clients = {
            name: Client(world, Variant(name, (), client=_argv(uid, volume, "tests.bench.client")))
            for name, uid in ((report.DIRECT, RELAY_UID), (_POD, _APP))
        }
        _weigh(figures, clients[_POD], pid, effort)
        for _ in range(effort.rounds):
            for load in loads(effort, SERVER, NAME, MANY):
                for name, client in clients.items():
                    figures.add(load, name, client.ask(load.order, **load.arguments))
        for client in clients.values():
            client.close()
    return figures


def _weigh(figures: Figures, client: Client, relay: int, effort: Effort) -> None:
    """Weigh the relay once it has loaded all that names and connections need, and with many."""
    client.ask("first_byte", host=NAME, count=1)
    empty = memory_of(relay)
    client.ask("hold", address=SERVER, count=effort.idle)
    each = (memory_of(relay) - empty) / effort.idle
    client.ask("hold", address=SERVER, count=0)
    for metric, figure in ((EMPTY, empty), (EACH, each)):
        figures.add(metric, report.DIRECT, 0.0)
        figures.add(metric, _POD, figure)


@contextmanager
def _relay(world: World, volume: Path) -> Iterator[tuple[int, float]]:
    """Have the relay run; yield its pid, and the seconds until it was ready."""
    began = time.perf_counter()
    words = ("relay", "sidecar", "relay", "--state", "/mnt/volume")
    environment = {"HOME": "/", "PATH": os.environ["PATH"]}
    process = world.client.popen(_argv(RELAY_UID, volume, *words), env=environment)
    try:
        while not _is_ready(world):
            time.sleep(_PAUSE)
        yield process.pid, time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def _is_ready(world: World) -> bool:
    with world.client:
        sock = socket.socket()
    with sock:
        try:
            sock.connect(("127.0.0.1", HTTP_PORT))
            sock.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            return b" 200 " in sock.recv(100)
        except ConnectionError:
            return False


def _argv(uid: int, volume: Path, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-I", str(_RUNS), str(uid), str(volume), *words)


if __name__ == "__main__":
    sys.exit(main())
