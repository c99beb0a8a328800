"""Rows 5 and 6: connections lost before upstream's first byte, and what may be replayed then."""

import base64
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Literal, TypeAlias

import trio

from tests.support.inprocess.client_hello import extension, message, real, record
from tests.support.internet.servers.broken import reset, sent

from .row import Promise, Row, Sample, Scene
from .rows_dial import fetch_and_note
from .site import Site
from .stage import NAME

End: TypeAlias = Literal["fin", "reset"]

_MOST_LOSSES: Final = 3
_EARLY_DATA: Final = 42
_RAW_PORT: Final = 4430


class Losing:
    """Loses so many connections, each in the same way, before the next one is served."""

    def __init__(
        self,
        lose: Callable[[trio.SocketStream], Awaitable[None]],
        well: Callable[[trio.SocketStream], Awaitable[None]],
    ) -> None:
        self.left = 0
        self._lose = lose
        self._well = well

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Lose the connection, or serve it."""
        if self.left:
            self.left -= 1
            await self._lose(stream)
        else:
            await self._well(stream)


async def after_hello(stream: trio.SocketStream, *, how: End) -> None:
    """Read one record, the ClientHello, and end."""
    data = b""
    while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
        piece = await stream.receive_some()
        if not piece:
            return
        data += piece
    await _end(stream, how)


async def instead_of_accept(stream: trio.SocketStream) -> None:
    """Reset what has just been accepted."""
    reset(stream)


async def lost_dials(scene: Scene, lose: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    """One to three losses in a row for each request, which is a new connection."""
    losing = Losing(lose, scene.stage.over_tls(Site(once=True)))
    await scene.stage.serve(losing, 443)
    for player, times in await scene.pair():
        for number in range(times):
            losing.left = number % _MOST_LOSSES + 1
            await fetch_and_note(scene, player, f"https://{NAME}")


class Counting:
    """Reads a first flight, answers what it is told to, ends the connection; keeps what it read."""

    def __init__(self, size: int, answer: bytes) -> None:
        self.how: End = "fin"
        self.read: list[bytes] = []
        self._size = size
        self._answer = answer

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Lose one connection."""
        data = b""
        while len(data) < self._size:
            piece = await stream.receive_some()
            if not piece:
                break
            data += piece
        self.read.append(data)
        if self._answer:
            await stream.send_all(self._answer)
            await sent(stream)
        await _end(stream, self.how)


async def never_replayed(scene: Scene, flight: bytes, answer: bytes) -> None:
    """Lose each connection after its first flight; the server must see that flight once."""
    server = Counting(len(flight), answer)
    await scene.stage.serve(server, _RAW_PORT)
    said = base64.b64encode(flight).decode()
    for player, times in await scene.pair():
        for number in range(times):
            server.read.clear()
            server.how = "reset" if number % 2 else "fin"
            await player.do("connect", host=NAME, port=_RAW_PORT, key=number)
            reply = await player.do("end", key=number, data=said)
            wrong = ""
            if server.read != [flight]:
                wrong = f"the server saw {len(server.read)} connections"
            elif reply.said["end"] != server.how:
                wrong = f"a {server.how} came as {reply.said['end']}"
            elif reply.said["size"] != len(answer):
                wrong = "bytes before the loss are missing"
            scene.note(player, Sample(reply.seconds, reply.said["end"], wrong))


async def _end(stream: trio.SocketStream, how: End) -> None:
    if how == "reset":
        reset(stream)
        return
    await stream.send_eof()
    async for _ in stream:
        pass  # unread bytes would turn the FIN into an RST


ROWS: Final = [
    *(
        Row(
            number=5,
            fault=f"{what}, 1 to 3 times",
            client=client,
            promise=Promise("0 errors, answer within 2 s", 2.0),
            play=partial(lost_dials, lose=lose),
            times=200,
            bare=5,
            group="quick",
        )
        for what, lose in (
            ("FIN after the ClientHello", partial(after_hello, how="fin")),
            ("RST after the ClientHello", partial(after_hello, how="reset")),
            ("RST instead of accept", instead_of_accept),
        )
        for client in ("bun", "python")
    ),
    *(
        Row(
            number=6,
            fault=f"FIN or RST after {what}",
            client="python",
            promise=Promise("never replayed: loss passed on as it was, within 1 s", 1.0, "all"),
            play=partial(never_replayed, flight=flight, answer=answer),
            times=200,
            bare=20,
            group="quick",
        )
        for what, flight, answer in (
            ("a ClientHello with early_data", record(message(extension(_EARLY_DATA))), b""),
            ("a first flight that is not TLS", b"GET / HTTP/1.1\r\n\r\n", b""),
            ("one byte of upstream's", real(NAME), b"\x16"),
        )
    ),
]
