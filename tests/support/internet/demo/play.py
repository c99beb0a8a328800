"""The demo's two scenes, each played in both ways at once, one internet for each way."""

import sys
from contextlib import ExitStack
from typing import Final

import trio

from netns.errors import SandboxError
from tests.support.internet import faults
from tests.support.internet.enter import enter
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import SERVER, SERVER_V6, Internet

from . import report
from .stage import PORT, Run, Seen, watch

FORGETS_AFTER: Final = 3
IDLE: Final = 5
DEADLINE: Final = 4

_OPTIONS: Final = ("--keepidle", "1", "--keepintvl", "1", "--user-timeout", "10")
_BARE: Final = Run(None)
_KEPT: Final = Run(_OPTIONS)
_OWN_FAILURE: Final = 125

_INTRODUCTION: Final = f"""\
The same small client runs twice at the same time, in two equal small internets made of network
namespaces: once bare, and once by
    keepline run {" ".join(_OPTIONS)} -- client
It uses plain sockets without keepalive. Nothing here needs root or leaves this machine.

    client ---- router with NAT, forgets a connection idle for {FORGETS_AFTER} s ---- server

1. The client asks, is idle for {IDLE} s, and asks again on the same connection. It waits at most
   {DEADLINE} s for an answer, so this takes about {IDLE + DEADLINE} s ...

"""
_SECOND_SCENE: Final = f"""
2. The server's name has an IPv6 and an IPv4 address, but IPv6 connections get no answer. The
   client tries the addresses in the order it is given, for at most {DEADLINE} s in all ...

"""


def main() -> int:
    """Play the demo; gives the exit status."""
    try:
        enter(as_root=False)
    except SandboxError as error:
        sys.stderr.write(f"demo: {error.cause}\n  try: {error.next_step}\n")
        return _OWN_FAILURE
    return trio.run(_play)


async def _play() -> int:
    started = trio.current_time()
    with ExitStack() as internets:
        places = {run: internets.enter_context(Internet()) for run in (_BARE, _KEPT)}
        async with trio.open_nursery() as nursery:
            for place in places.values():
                await _open_for_business(place, nursery)
            _say(_INTRODUCTION)
            idle = await _both(places, "v4.test", IDLE)
            _say(report.of_idle(*idle))
            _say(_SECOND_SCENE)
            for place in places.values():
                faults.drop(place.router, Packets(version=6, only_syn=True))
            dual = await _both(places, "server.test", 0)
            _say(report.of_broken_v6(*dual))
            nursery.cancel_scope.cancel()
    not_shown = [*report.missing_of_idle(*idle), *report.missing_of_broken_v6(*dual)]
    _say(report.ending(not_shown, [idle[1], dual[1]], trio.current_time() - started))
    return 1 if not_shown else 0


async def _open_for_business(place: Internet, nursery: trio.Nursery) -> None:
    """Start the servers of one internet."""
    place.nat.forget_after(FORGETS_AFTER)
    await nursery.start(place.serve_names)
    listeners = [listen(place.server, address, PORT) for address in (SERVER, SERVER_V6)]
    await nursery.start(serve, Site(), *listeners)


async def _both(places: dict[Run, Internet], name: str, idle: float) -> tuple[Seen, Seen]:
    """Run the client in both ways at once."""
    seen: dict[Run, Seen] = {}

    async def one(run: Run, place: Internet) -> None:
        seen[run] = await watch(run, place, name, idle, DEADLINE)

    async with trio.open_nursery() as nursery:
        for run, place in places.items():
            nursery.start_soon(one, run, place)
    return seen[_BARE], seen[_KEPT]


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
