"""Rows 7 to 13 and 15: established connections that are forgotten, held, or lost."""

import math
import random
import socket
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import trio

from relay.record.events import Slept
from relay.tcp.watch.diagnosis import TcpInfo
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.broken import reset, sent
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER
from tests.support.machine.procfs import tcp_sockets_of

from .players import Kind, Player
from .row import Errors, Play, Promise, Row, Sample, Scene
from .rows_dial import Heal, fetch_and_note
from .site import Site, slow_digest
from .stage import NAME, base, each
from .ways import RAW_PORT

_CAP: Final = 60.0
_QUESTION: Final = b64encode(b"?").decode()


# 7 to 9: a NAT that forgets


async def kept_alive(scene: Scene, *, forgets_after: int) -> None:
    """Idle for long behind a NAT that forgets idle flows; then one more request."""
    site = Site()
    await scene.stage.serve_site(site)
    options = []
    if scene.is_short:
        forgets_after, options = 8, ["--keepidle", "3"]
    scene.stage.internet.nat.forget_after(forgets_after)
    players = await scene.crowd(options=options)

    async def idle(player: Player) -> None:
        first = await player.fetch(base(player.kind))
        assert first.error is None, first.error
        await trio.sleep(scene.seconds)
        before = site.connections
        sample = Sample(math.inf, "no answer")
        with trio.move_on_after(_CAP):
            reply = await player.fetch(base(player.kind))
            wrong = "" if site.connections == before else "a new connection was needed"
            sample = Sample(reply.seconds, reply.error or "", wrong)
        scene.note(player, sample)

    async with trio.open_nursery() as nursery:
        for player in players:
            nursery.start_soon(idle, player)
            await trio.sleep(0.2)  # so that no two requests at the end meet


async def forgotten_while_idle(scene: Scene) -> None:
    """All flows forgotten, then a request on a pooled connection; time counts from it."""
    await scene.stage.serve_site(Site())
    players = await scene.crowd()
    await each(players, _first)
    scene.stage.internet.nat.forget()

    async def ask(player: Player) -> None:
        await trio.sleep(random.uniform(0, 1))
        await _outcome(scene, player, "", trio.current_time())

    await each(players, ask)


async def forgotten_while_waiting(scene: Scene) -> None:
    """All flows forgotten while requests wait for their answers; time counts from then."""
    site = Site()
    await scene.stage.serve_site(site)
    players = await scene.crowd()
    async with trio.open_nursery() as nursery:
        start = trio.Event()

        async def ask(player: Player) -> None:
            since = trio.current_time()
            number = player.order("fetch", url=f"{base(player.kind)}/never")
            await start.wait()
            forgotten = trio.current_time()
            sample = Sample(math.inf, "no answer")
            with trio.move_on_after(_CAP):
                reply = await player.reply(number, since)
                sample = Sample(reply.at - forgotten, reply.error or "")
            scene.note(player, sample)

        nursery.start_soon(each, players, ask)
        await site.until(lambda: site.requests == len(players))
        await trio.sleep(random.uniform(0.5, 2))
        scene.stage.internet.nat.forget()
        start.set()


async def _first(player: Player) -> None:
    reply = await player.fetch(base(player.kind))
    assert reply.error is None, reply.error


async def _outcome(scene: Scene, player: Player, path: str, since: float) -> None:
    sample = Sample(math.inf, "no answer")
    number = player.order("fetch", url=f"{base(player.kind)}/{path}")
    with trio.move_on_after(_CAP):
        reply = await player.reply(number, since)
        sample = Sample(reply.seconds, reply.error or "")
    scene.note(player, sample)


# 10: another address

_AT_ONCE: Final = 10


async def renumbered_while_idle(scene: Scene) -> None:
    """Connections that were used and are idle; time counts from the change of address."""
    await scene.stage.serve(echo, RAW_PORT)

    await _renumber(scene, _open_flow, lambda player, key: player.order("end", key=key))


async def renumbered_while_waiting(scene: Scene) -> None:
    """Requests that wait for their answer; time counts from the change of address."""
    site = Site()
    await scene.stage.serve_site(site)
    orders: dict[int, int] = {}

    async def ask(player: Player, key: int) -> None:
        before = site.requests
        orders[key] = player.order("fetch", url=f"{base(player.kind)}/never")
        await site.until(lambda: site.requests > before)

    await _renumber(scene, ask, lambda _player, key: orders[key])


async def next_dial(scene: Scene) -> None:
    """A request right after the change of address; time counts from the change."""
    await scene.stage.serve_site(Site())
    for player, times in await scene.pair():
        await _first(player)
        for number in range(times):
            _new_address(scene, number)
            await fetch_and_note(scene, player, base(player.kind))


async def _renumber(
    scene: Scene, prepare: Callable[..., object], order: Callable[[Player, int], int]
) -> None:
    for player, times in await scene.pair():
        for first in range(0, times, _AT_ONCE):
            keys = range(first, min(first + _AT_ONCE, times))
            for key in keys:
                await prepare(player, key)  # type: ignore[misc]
            numbers = [order(player, key) for key in keys]
            if not player.under_keepline:
                await trio.sleep(0.1)
            since = trio.current_time()
            _new_address(scene, first // _AT_ONCE)
            with trio.move_on_after(20):
                for number in list(numbers):
                    reply = await player.reply(number, since)
                    numbers.remove(number)
                    told = reply.error or str(reply.said.get("end", ""))
                    scene.note(player, Sample(reply.seconds, told))
            for _ in numbers:
                scene.note(player, Sample(math.inf, "no answer"))


def _new_address(scene: Scene, number: int) -> None:
    scene.stage.internet.renumber_client(f"10.1.0.{number % 200 + 3}")


# 11: outages in the middle of an answer


def silent(scene: Scene) -> Heal:
    """Have the router swallow everything, both ways."""
    return drop(scene.stage.internet.router, Packets()).remove


def unplugged(scene: Scene) -> Heal:
    """Unplug the server."""
    backbone = scene.stage.internet.backbone
    backbone.unplug()
    return backbone.plug


def down(scene: Scene) -> Heal:
    """Switch the client's interface off."""
    left = scene.stage.internet.access.left
    left.down()
    return left.up


_PIECE_EVERY: Final = 0.1
_GOES_ON: Final = 15.0


async def held_answer(scene: Scene, break_it: Callable[[Scene], Heal]) -> None:
    """An outage while an answer streams; time counts from its end to the next byte."""
    await scene.stage.serve_site(Site())
    pieces = round((scene.seconds + _GOES_ON) / _PIECE_EVERY)
    players = await scene.crowd()
    healed: list[float] = []
    since = trio.current_time()
    path = f"slow/{pieces}/{_PIECE_EVERY}"
    orders = [player.order("fetch", url=f"{base(player.kind)}/{path}") for player in players]

    async def stream(player: Player, number: int) -> None:
        sample = Sample(math.inf, "no answer")
        with trio.move_on_after(2 * scene.seconds + _GOES_ON + _CAP):
            reply = await player.reply(number, since)
            error = reply.error or ""
            wrong = ""
            if not error and reply.said["sha256"] != slow_digest(pieces):
                wrong = "other bytes"
            flowing = [at for at in reply.resumed if healed and at >= healed[0]]
            at = flowing[0] if flowing else reply.at
            sample = Sample(at - healed[0] if healed else math.inf, error, wrong)
        scene.note(player, sample)

    async with trio.open_nursery() as nursery:
        for player, number in zip(players, orders, strict=True):
            nursery.start_soon(stream, player, number)
            await player.started(number)
        await trio.sleep(random.uniform(1, 2))
        heal = break_it(scene)
        await trio.sleep(scene.seconds)
        heal()
        healed.append(trio.current_time())


async def held_request(scene: Scene) -> None:
    """A request on a kept connection in a silent outage; time counts from its end."""
    site = Site()
    await scene.stage.serve_site(site)
    players = await scene.crowd()
    await each(players, _first)
    heal = silent(scene)
    back = trio.current_time() + scene.seconds

    async def ask(player: Player) -> None:
        await trio.sleep(scene.moment())
        before = site.connections
        sample = Sample(math.inf, "no answer")
        with trio.move_on_at(back + scene.seconds + _CAP):
            reply = await player.fetch(base(player.kind))
            wrong = "" if site.connections == before else "the connection was given up"
            sample = Sample(reply.at - back, reply.error or "", wrong)
        scene.note(player, sample)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(each, players, ask)
        await trio.sleep_until(back)
        heal()
        back = trio.current_time()


# 12 and 13: how the end of a connection is passed on


class Closing:
    """Answers a byte, closes soon after; tells when it closed the latest connection."""

    def __init__(self) -> None:
        self.closed = 0.0

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        await stream.send_all(await stream.receive_some())
        await trio.sleep(random.uniform(0.005, 0.02))
        self.closed = time.monotonic()
        await stream.send_eof()
        async for _ in stream:
            pass


async def idle_limit_of_server(scene: Scene) -> None:
    """Time from the server's close to the client's end of file, on the machine's clock."""
    server = Closing()
    await scene.stage.serve(server, RAW_PORT)
    for player, times in await scene.pair():
        for key in range(times):
            await _connect(player, key)
            await player.do("exchange", key=key, data=_QUESTION, size=1)
            reply = await player.do("end", key=key)
            wrong = "" if reply.said["end"] == "fin" else f"FIN came as {reply.said['end']}"
            scene.note(player, Sample(reply.said["ended"] - server.closed, wrong=wrong))


_LOOPS: Final = 5


async def pool_at_idle_limit(scene: Scene) -> None:
    """Requests with pauses just around the server's limit: some meet the close."""
    limit = 0.05
    await scene.stage.serve_site(Site(limit))

    async def ask(player: Player, times: int) -> None:
        for _ in range(times):
            await fetch_and_note(scene, player, base(player.kind))
            await trio.sleep(limit + random.uniform(-0.03, 0.03))

    for player, times in await scene.pair():
        at_once = min(_LOOPS, times)
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(ask, player, times // at_once)


class Cutting:
    """Sends random bytes, then RST; keeps their digest."""

    def __init__(self) -> None:
        self.digest = ""

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        await stream.receive_some()
        body = random.randbytes(random.choice((1, 100, 5_000, 100_000, 400_000)))
        self.digest = sha256(body).hexdigest()
        await stream.send_all(body)
        await sent(stream)
        reset(stream)


async def cut_body(scene: Scene) -> None:
    """All bytes that the client's kernel, or keepline's, had before the RST, then the RST."""
    server = Cutting()
    await scene.stage.serve(server, RAW_PORT)
    for player, times in await scene.pair():
        for key in range(times):
            await _connect(player, key)
            reply = await player.do("end", key=key, data=_QUESTION)
            wrong = ""
            if reply.said["sha256"] != server.digest:
                wrong = "bytes before the RST are missing"
            elif reply.said["end"] != "reset" and not scene.unseen:
                wrong = "a clean end for a cut body"
            scene.note(player, Sample(reply.seconds, reply.said["end"], wrong))


# 15: suspend

_FLOWS: Final = 10
_IDLE_FIRST: Final = 6.0
_PROBED_WITHIN: Final = 3.0


async def suspended(scene: Scene) -> None:
    """Half of the idle flows are forgotten in a suspend; time counts from the wake-up.

    That the others are probed shows in TCP_INFO: their last ACK is of after the wake-up.
    """
    await scene.stage.serve(echo, RAW_PORT)
    clock = scene.stage.internet.directory / "clock"
    clock.write_text("0")
    launch = [sys.executable, "-I", "-m", "tests.chaos.sleeper", str(clock)]
    players = await scene.crowd(launch=launch)
    await each(players, partial(_open_flows, keys=range(_FLOWS)))
    scene.stage.internet.nat.forget()
    await each(players, partial(_open_flows, keys=range(_FLOWS, 2 * _FLOWS)))
    await trio.sleep(_IDLE_FIRST)
    await _replace(clock, str(scene.seconds or 600))
    woke = trio.current_time()

    async def watch(player: Player) -> None:
        orders = [player.order("end", key=key) for key in range(2 * _FLOWS)]
        dead, living = orders[:_FLOWS], orders[_FLOWS:]
        with trio.move_on_at(woke + 20):
            for number in dead:
                reply = await player.reply(number, woke)
                scene.note(player, Sample(reply.seconds, reply.said["end"]))
            dead.clear()
        for _ in dead:
            scene.note(player, Sample(math.inf, "no answer"))
        await trio.sleep_until(woke + _PROBED_WITHIN)
        if not player.under_keepline:
            return
        since = trio.current_time() - woke
        if _silences(player.pid, since):
            scene.note(player, Sample(0, "reset", wrong="idle flows were not probed"))
        if any(not player.is_waiting(number) for number in living):
            scene.note(player, Sample(0, "reset", wrong="a living flow was closed"))
        if not any(isinstance(event, Slept) for event in player.events()):
            scene.note(player, Sample(0, "reset", wrong="the suspend was not noticed"))

    await each(players, watch)


async def _open_flows(player: Player, keys: range) -> None:
    for key in keys:
        await _open_flow(player, key)


async def _open_flow(player: Player, key: int) -> None:
    """Open a connection that has been used."""
    await _connect(player, key)
    await player.do("exchange", key=key, data=_QUESTION, size=1)


async def _connect(player: Player, key: int) -> None:
    reply = await player.do("connect", host=NAME, port=RAW_PORT, key=key)
    assert reply.error is None, reply.error


async def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def _silences(pid: int, longest: float) -> int:
    """Count the relay's connections to the server without an ACK for so long."""
    count = 0
    with tcp_sockets_of(pid) as socks:
        for sock in socks:
            try:
                if sock.getpeername()[0] != SERVER:
                    continue
            except OSError:  # a listener
                continue
            raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TcpInfo.SIZE)
            count += TcpInfo.parse(raw).silence > longest
    return count


_ALL: Final[tuple[Kind, ...]] = ("bun", "node", "python")
_FETCHING: Final[tuple[Kind, ...]] = ("bun", "node")
_IDLE: Final[tuple[tuple[Kind, int], ...]] = (("python", 600), ("bun", 240), ("node", 240))
_ASKING: Final[tuple[tuple[Kind, int], ...]] = (
    *(("bun", seconds) for seconds in (20, 60, 180)),
    ("node", 60),
)
_FORGOTTEN: Final[tuple[tuple[int, str, Errors, Play], ...]] = (
    (8, "NAT forgets an idle flow; request then sent", "any", forgotten_while_idle),
    (9, "NAT forgets a flow while a request waits", "all", forgotten_while_waiting),
)
_RENUMBERED: Final[tuple[tuple[str, Kind, Promise, Play, int], ...]] = (
    (
        "address replaced while idle",
        "python",
        Promise("told within 2 s", 2.0, "all"),
        renumbered_while_idle,
        10,
    ),
    (
        "address replaced while waiting",
        "bun",
        Promise("told within 2 s", 2.0, "all"),
        renumbered_while_waiting,
        10,
    ),
    (
        "address replaced, then a request",
        "bun",
        Promise("next dial at once: 0 errors, answer within 1 s", 1.0),
        next_dial,
        3,
    ),
)
_HELD: Final[tuple[tuple[str, Callable[[Scene], Heal], Kind, int], ...]] = (
    ("silent", silent, "bun", 20),
    ("silent", silent, "bun", 60),
    ("silent", silent, "bun", 180),
    ("unplugged", unplugged, "node", 60),
    ("interface down", down, "python", 60),
)

ROWS: Final = [
    *(
        Row(
            number=7,
            fault="NAT forgets flows idle for 30 s; idle for {seconds} s",
            client=client,
            promise=Promise("flow held by keepalive, 0 errors, answer within 1 s", 1.0),
            play=partial(kept_alive, forgets_after=30),
            seconds=seconds,
            short=40,
        )
        for client, seconds in _IDLE
    ),
    *(
        Row(
            number=number,
            fault=fault,
            client=client,
            promise=Promise("loss told within 10 s", 10.0, errors),
            play=play,
        )
        for number, fault, errors, play in _FORGOTTEN
        for client in _ALL
    ),
    *(
        Row(
            number=10,
            fault=fault,
            client=client,
            promise=promise,
            play=play,
            times=200,
            bare=bare,
            group="quick",
        )
        for fault, client, promise, play, bare in _RENUMBERED
    ),
    *(
        Row(
            number=11,
            fault=f"outage ({what}) of {{seconds}} s in the middle of an answer",
            client=client,
            promise=Promise(
                "bytes identical, flowing no more than 3 s later than without: the server's kernel"
                " decides when it sends again",
                math.inf,
                later=3.0,
            ),
            play=partial(held_answer, break_it=break_it),
            seconds=seconds,
            short=5,
            bare=10,
        )
        for what, break_it, client, seconds in _HELD
    ),
    *(
        Row(
            number=11,
            fault="outage (silent) of {seconds} s, a request sent in it on a kept connection",
            client=client,
            promise=Promise("bytes identical, answer within 3 s of return", 3.0),
            play=held_request,
            seconds=seconds,
            short=5,
            bare=3,
        )
        for client, seconds in _ASKING
    ),
    Row(
        number=12,
        fault="server closes an idle connection: its FIN",
        client="python",
        promise=Promise("99 % of clients see FIN within 5 ms", 0.005, share=0.99),
        play=idle_limit_of_server,
        times=1000,
        bare=1000,
        group="alone",
    ),
    *(
        Row(
            number=12,
            fault="server closes idle connections while requests come",
            client=client,
            promise=Promise("0 hangs in 1,000", 5.0, "any"),
            play=pool_at_idle_limit,
            times=1000,
            bare=1000,
            group="quick",
        )
        for client in _FETCHING
    ),
    Row(
        number=13,
        fault="RST in the middle of a body",
        client="python",
        promise=Promise("all bytes before it delivered, then RST", 2.0, "all"),
        play=cut_body,
        times=1000,
        bare=100,
        group="quick",
    ),
    Row(
        number=15,
        fault="suspend of 10 min, half of the idle flows forgotten",
        client="python",
        promise=Promise("idle flows probed at once, dead ones told in 3 s", 3.0, "all"),
        play=suspended,
        times=5,
        bare=1,
    ),
]
