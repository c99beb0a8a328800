"""What the servers of an API do to the gateway: frames, heads, lines and answers without end."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from tests.bounds.inside import asking
from tests.bounds.row import MEMORY, OTHERS, PROCESSOR, RECORD, Row
from tests.bounds.stage import Stage
from tests.support.command.asking import NAME, keepline_of
from tests.support.command.keepline import Keepline
from tests.support.inprocess.gateway import until
from tests.support.internet.servers import floods
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.server import context
from tests.support.internet.servers.api.stream import body
from tests.support.internet.servers.listening import Handler, listen, over_tls, serve
from tests.support.internet.world import SERVER, Internet

_EVENTS: Final = body(message(7))
_PORT: Final = 1000
_MIB: Final = 1024 * 1024

Flood = Callable[[trio.abc.Stream], Awaitable[object]]
"""What is done to the first connection that asks; the next has its answer."""


def _keepline(internet: Internet) -> Keepline:
    return keepline_of(internet, internet.authority)


def _server(flood: Flood, *, times: float) -> Handler:
    left = times

    async def handle(stream: trio.abc.Stream) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            await flood(stream)
            return
        await until(stream, b"}")
        await stream.send_all(floods.STREAMED + _EVENTS)

    return handle


async def _served(stage: Stage, each: Sequence[Flood], protocol: str, *, times: float) -> None:
    """Serve each flood at a port of its own."""
    tls = context(stage.internet.authority, NAME, protocols=(protocol, "http/1.1"))
    for number, flood in enumerate(each):
        listener = listen(stage.internet.server, SERVER, _PORT + number)
        await stage.nursery.start(serve, over_tls(_server(flood, times=times), tls), listener)


async def _hidden(stage: Stage, each: Sequence[Flood], protocol: str) -> None:
    """Ask one after the other: each floods, is judged, and is asked again."""
    await _served(stage, each, protocol, times=1)
    ports = [_PORT + number for number in range(len(each))]
    async with stage.measured():
        met = await stage.program(asking.in_turn, NAME, ports, _MIB)
    assert [status for status, _ in met] == [200] * len(each), met
    assert all(what not in ("cut", "more") for _, what in met), met


def _frames(name: str) -> Flood:
    return partial(floods.frames_without_end, name=name)


def _text(begin: bytes, again: bytes) -> Flood:
    async def flood(stream: trio.abc.Stream) -> None:
        await until(stream, b"}")
        await floods.without_end(stream, begin, again)

    return flood


def _options(count: int) -> tuple[str, ...]:
    hosts = ",".join(f"{NAME}:{_PORT + number}" for number in range(count))
    return ("--gateway=tls", f"--gateway-hosts={hosts}", "--hold=message")


def _event(kind: str, **more: object) -> bytes:
    data = json.dumps({"type": kind, **more}).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


_BEGIN: Final = _event("message_start", message={}) + _event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
)
_DELTA: Final = _event(
    "content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 4000}
)
_ANSWERS: Final = 8


async def _endless(stage: Stage) -> None:
    """Answers that never end, all at once; a program gives up after 64 MiB of one."""
    flood = _text(floods.STREAMED + _BEGIN, _DELTA)
    await _served(stage, [flood] * _ANSWERS, "http/1.1", times=1)
    async with stage.measured():
        ports = [_PORT + number for number in range(_ANSWERS)]
        met = await stage.program(asking.asked, NAME, ports, 16 * _MIB)
    assert met == [(200, "more")] * _ANSWERS, met


async def _one_event(stage: Stage) -> None:
    """One event without end."""
    flood = _text(floods.STREAMED + _BEGIN + b"event: content_block_delta\ndata: ", b"x" * 1000)
    await _served(stage, [flood], "http/1.1", times=1)
    async with stage.measured():
        met = await stage.program(asking.asked, NAME, [_PORT], 32 * _MIB)
    assert met == [(200, "more")], met


def _row(flood: str, each: Mapping[str, object], play: Callable[[Stage], Awaitable[None]]) -> Row:
    return Row(
        attacker="an upstream",
        flood=flood,
        play=play,
        keepline=_keepline,
        options=_options(len(each)),
        bounds={PROCESSOR: 8, MEMORY: 24, OTHERS: 4, RECORD: 300},
        meets=f"{', '.join(each)}: the connection's end, after 8,192 frames, lines or heads, or"
        " 2 MiB that frame nothing; the request is asked again on another",
        said="it floods the connection with what carries no answer",
    )


_FRAMES: Final = {name: _frames(name) for name in floods.FRAMES}
_TEXTS: Final = {name: _text(*each) for name, each in (floods.HEADS | floods.LINES).items()}

ROWS: Final = (
    _row(
        f"{len(_FRAMES)} servers send frames of HTTP/2 that carry nothing, without end",
        _FRAMES,
        lambda stage: _hidden(stage, list(_FRAMES.values()), "h2"),
    ),
    _row(
        f"{len(_TEXTS)} servers send HTTP/1.1, or events, that carry nothing, without end",
        _TEXTS,
        lambda stage: _hidden(stage, list(_TEXTS.values()), "http/1.1"),
    ),
    Row(
        attacker="an upstream",
        flood=f"{_ANSWERS} answers without end at once, with `--hold=message`",
        play=_endless,
        keepline=_keepline,
        options=_options(_ANSWERS),
        bounds={PROCESSOR: 20, MEMORY: 96, OTHERS: 4},
        meets="48 MiB are held of them together; what is more goes on as it comes",
    ),
    Row(
        attacker="an upstream",
        flood="one event without end, with `--hold=message`",
        play=_one_event,
        keepline=_keepline,
        options=_options(1),
        bounds={PROCESSOR: 8, MEMORY: 64},
        meets="after 4 MiB it goes on as it comes",
    ),
)
