"""What slow programs do to the gateway: heads, bodies and answers that never come to an end."""

from functools import partial
from typing import Final

from tests.bounds.inside import floods, slow
from tests.bounds.row import MEMORY, OTHERS, PROCESSOR, Row
from tests.bounds.stage import Stage
from tests.support.command.asking import HTTP, keepline_of, serve_api
from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet

_LIMIT: Final = 20_000
_MIB: Final = 1024 * 1024
_ASK: Final = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
_HALF_A_HEAD: Final = _ASK[:-4] + b"\r\nX-Slow: "
_HALF_A_BODY: Final = b"".join(
    [
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n",
        b"Content-Length: %d\r\n\r\n" % (8 * _MIB),
        bytes(4 * _MIB),
    ]
)


def _keepline(internet: Internet) -> Keepline:
    return keepline_of(internet, internet.authority)


async def _serve(stage: Stage) -> None:
    await serve_api(stage.internet, stage.nursery)


async def _asked(stage: Stage) -> None:
    """See that another program is served, beside all that is slow."""
    line, seconds = await stage.program(slow.ask, _ASK)
    assert b" 200" in line, line
    stage.note(OTHERS, seconds)


async def _slow(stage: Stage, count: int, words: bytes, reset: int) -> None:
    await stage.program(floods.allow_descriptors, _LIMIT)
    await _asked(stage)
    async with stage.measured():
        await stage.program(slow.open_many, count, words)
        await _asked(stage)
        ends = await stage.program(slow.ends)
    assert ends.get("reset", 0) >= reset, ends


_BOUND: Final = "2,048 stand; each further one ends that which is waited for longest, by a reset"

ROWS: Final = (
    Row(
        attacker="a program inside",
        flood="2,500 connections to the gateway, each with half a request's head",
        play=partial(_slow, count=2500, words=_HALF_A_HEAD, reset=2500 - 2048),
        prepare=_serve,
        keepline=_keepline,
        options=HTTP,
        bounds={PROCESSOR: 8, MEMORY: 64, OTHERS: 5},
        meets=_BOUND,
        said="the gateway reset a connection (it waited for the program, and others came)",
    ),
    Row(
        attacker="a program inside",
        flood="2,500 connections to the gateway that say nothing",
        play=partial(_slow, count=2500, words=b"", reset=2500 - 2048),
        prepare=_serve,
        keepline=_keepline,
        options=HTTP,
        bounds={PROCESSOR: 8, MEMORY: 64, OTHERS: 5},
        meets=_BOUND,
        said="the gateway reset a connection (it waited for the program, and others came)",
    ),
    Row(
        attacker="a program inside",
        flood="24 requests to the gateway, each with half of a body of 8 MiB",
        play=partial(_slow, count=24, words=_HALF_A_BODY, reset=0),
        prepare=_serve,
        keepline=_keepline,
        options=HTTP,
        bounds={PROCESSOR: 8, MEMORY: 84, OTHERS: 5},
        meets="they wait; 64 MiB of all bodies are kept, what is beyond is not asked for again",
    ),
)
