"""Row 25: an API that fails for everybody, until the client gives up; how often it is asked.

The client pauses as the real one does, 0.5 s that double up to 35 s; shorter in the short form.
"""

import math
from functools import partial
from typing import Final

import trio

from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.stream import Position

from .row import Promise, Row, Sample, Scene
from .rows_gateway import NO_ANSWER, Asker, Gateway

MORE: Final = 5
"""Resends, in all."""

_FOR_EVER: Final = 500
_CAP: Final = 300.0
_DOUBLINGS: Final = 70
"""The longest pause in first ones."""


async def stormed(scene: Scene, failure: Failure) -> None:
    """Ask once by each client, of a host of its own, which fails whatever it is asked."""
    gateway = Gateway(scene, "message")
    askers = await gateway.serve(h2=1, h1=1)
    async with trio.open_nursery() as nursery:
        for asker in askers:
            nursery.start_soon(_ask, scene, gateway, asker, failure)


async def _ask(scene: Scene, gateway: Gateway, asker: Asker, failure: Failure) -> None:
    number = next(gateway.numbers)
    gateway.api.script.add(*[failure] * _FOR_EVER, key=str(number))
    longest = scene.seconds * 1000
    pauses = {"pause": longest / _DOUBLINGS, "longest_pause": longest}
    reply = await gateway.do(asker, "ask", number, within=_CAP, stream=True, **pauses)
    if reply is None:
        scene.note(asker.player, Sample(math.inf, NO_ANSWER))
        return
    asked, tries = len(gateway.api.log.attempts(str(number))), reply.said["attempts"]
    wrong = f"{asked} requests for {tries} of the client" if asked > tries + MORE else ""
    scene.note(asker.player, Sample(reply.seconds, f"fatal: {asked} requests", wrong))


_FAULTS: Final = {
    "RST before the head": Failure(Fault.RST),
    "FIN before the head": Failure(Fault.FIN),
    "RST in tool_use": Failure(Fault.RST, Position.IN_TOOL_USE, pause=0.1),
}

ROWS: Final = [
    Row(
        number=25,
        fault=f"{what}, of every answer; pauses of up to {{seconds}} s",
        client="agent",
        promise=Promise("the client's own tries and 5 more, 16 of 11", _CAP, "all"),
        play=partial(stormed, failure=failure),
        times=2,
        bare=1,
        seconds=35,
        short=1,
    )
    for what, failure in _FAULTS.items()
]
