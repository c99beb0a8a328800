"""What a program does to descriptors: by connections that stand, under several limits."""

import resource
from functools import partial
from typing import Final

from tests.bounds.inside import floods
from tests.bounds.row import DESCRIPTORS, MEMORY, PROCESSOR, Row
from tests.bounds.stage import Stage
from tests.support.command import program as at
from tests.support.command.driver import eventually
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import sink
from tests.support.internet.world import SERVER

_SPARE: Final = 16
"""Descriptors that are free now and then at the limit: spare ones, and those of dials."""
_BESIDE: Final = 64
"""Descriptors that the relay has for all else, at most."""
_MANY: Final = 2000
_SINK: Final = 9
"""The port of a server that says nothing."""


def _available(count: int) -> int:
    """Return so many descriptors, or as many as this machine lets us have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return count if hard == resource.RLIM_INFINITY else min(count, hard)


def _limited(count: int) -> None:
    """Let what is started have so many descriptors, and never more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_available(count), _available(count)))


async def _serve_sink(stage: Stage) -> None:
    await stage.nursery.start(
        serve, sink, listen(stage.internet.server, SERVER, _SINK, backlog=4096)
    )


async def _connections(stage: Stage, limit: int, count: int) -> None:
    if (there_are := _available(limit)) < limit:
        stage.notes.append(f"this machine has {there_are:,} descriptors, and not {limit:,}")
        limit, count = there_are, count * there_are // limit
    await stage.program(floods.allow_descriptors, limit)
    async with stage.measured():
        await stage.program(floods.hold_many, SERVER, _SINK, count)
        await eventually(lambda: stage.meter.descriptors() >= limit - _SPARE)
        stage.look()
    assert await stage.program(floods.standing) >= (limit - _BESIDE) // 2
    assert await stage.program(at.refused, SERVER, _SINK) in {"EHOSTUNREACH", "ECONNRESET"}
    if limit > _MANY:
        return  # to end all of them takes longer than the rest
    await stage.program(floods.close_all)
    await stage.program(floods.hold_many, SERVER, _SINK, 1)


def _row(limit: int, count: int, memory: float, meets: str, said: str = "") -> Row:
    play = partial(_connections, limit=limit, count=count)
    return Row(
        attacker="a program inside",
        flood=f"{count:,} connections that stand, with a limit of {limit:,} descriptors",
        prepare=_serve_sink,
        play=play,
        bounds={PROCESSOR: 8, MEMORY: memory, DESCRIPTORS: limit},
        popen={"preexec_fn": partial(_limited, limit)},
        meets=meets,
        said=said,
    )


_REFUSED: Final = "one for every two descriptors stands; each further one is reset or EHOSTUNREACH"

ROWS: Final = (
    _row(20_000, 12_000, 160, _REFUSED, "What changes it: ulimit -Hn"),
    _row(1024, 900, 32, _REFUSED, "What changes it: ulimit -Hn"),
    _row(256, 200, 16, _REFUSED, "What changes it: ulimit -Hn"),
)
