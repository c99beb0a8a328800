"""Rows 18 to 24: requests to the API host, lost before or in the middle of their answers.

A variant is one fault at one place, 1, 2 or 5 times in a row; after that the request is served
well. Each row has all the variants of its faults, and a row's `times` are samples of each variant:
under keepline every other one over HTTP/2 upstream, the others over HTTP/1.1. Bare, the client
speaks HTTP/1.1, so what only HTTP/2 has is not played there. One keepline carries dozens of
requests at a time: most of a lost one's time is pauses. The short form has each place once.

The server never says the same twice, so an answer put together from two tries shows.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count, islice
from statistics import median
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import trio

from tests.support.internet.servers.api import stream
from tests.support.internet.servers.api.faults import (
    ONLY_H2,
    UNPROCESSED,
    Failure,
    Fault,
    Status,
    possible,
)
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.server import BOTH, Api, context
from tests.support.internet.servers.api.stream import Position
from tests.support.internet.servers.listening import over_tls
from tests.support.internet.world import SECOND, SERVER

from .players import Player, Reply
from .row import Promise, Row, Sample, Scene
from .stage import NAME

Hold: TypeAlias = Literal["message", "block"]

_H1_NAME: Final = "h1.test"
_IN_A_ROW: Final = (1, 2, 5)
_CAP: Final = 90.0

# What the client was told, or noticed and got over.
ASKED_AGAIN: Final = "asked again"
NO_ANSWER: Final = "no answer"

_FIELDS: Final = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "a-1,b-2",
    "authorization": "Bearer not-a-secret",
    "x-odd": 'a  b;c="d", e',
    "x-stainless-retry-count": "0",
}
"""They reach the server as they are."""

_SOON: Final = {"pause": 10, "longest_pause": 100}
"""Milliseconds that the client pauses between its retries, instead of half a second and more."""

_BARE_WATCHDOGS: Final = {"silence": 3, "headers_within": 3}
_WATCHDOGS: Final = {"silence": 15, "headers_within": 60}
"""Seconds that the client waits for an event and for a head, instead of 300 and 600."""

_PAUSE: Final = 0.03
"""Seconds before the loss, in half of the samples: then the client has what came before."""


@dataclass(frozen=True)
class Variant:
    """One way in which a request is lost."""

    failures: Sequence[Failure | Status]
    is_streamed: bool = True


Variants: TypeAlias = Callable[[int], Sequence[Variant]]
"""All variants, as they are played in one round."""


@dataclass(frozen=True)
class Asker:
    """Asks one after the other, beside others: by a client, of a server."""

    player: Player
    name: str

    @property
    def url(self) -> str:
        """Where the messages are."""
        return f"https://{self.name}/v1/messages"

    @property
    def is_by_h2(self) -> bool:
        """Whether it is asked over HTTP/2 upstream."""
        return self.name != _H1_NAME


class Gateway:
    """The API, and the clients that ask it."""

    def __init__(self, scene: Scene, hold: Hold, *, is_only_h2: bool = False) -> None:
        self.api = Api()
        self.scene = scene
        self._hold = hold
        self._is_only_h2 = is_only_h2
        self.numbers = count(1)

    async def serve(self, *, h2: int, h1: int, is_shared: bool = False) -> list[Asker]:
        """Serve, and start the clients: so many ask at a time over HTTP/2 and HTTP/1.1 upstream.

        Each has an HTTP/2 connection of its own, or all share one. The bare client asks as h1 does.
        """
        names = [NAME] * h2 if is_shared else [f"h2-{number}.test" for number in range(h2)]
        if self._is_only_h2:
            h1 = 0
        await self._listen(SERVER, set(names), BOTH)
        await self._listen(SECOND, {_H1_NAME}, ("http/1.1",))
        names += [_H1_NAME] * h1
        askers: list[Asker] = []
        if self.scene.times:
            ours = await self._ours(names)
            askers += [Asker(ours, name) for name in names]
        if self.scene.bare:
            (bare,) = await self.scene.stage.players("agent", bare=1)
            askers += [Asker(bare, _H1_NAME)] * h1
        return askers

    async def _listen(
        self, address: str, names: AbstractSet[str], protocols: Sequence[str]
    ) -> None:
        internet = self.scene.stage.internet
        for name in names - {NAME}:
            internet.zone.add(name, "A", address)
        tls = context(internet.authority, *names, protocols=protocols)
        await self.scene.stage.serve(over_tls(self.api, tls), 443, address)

    async def _ours(self, names: Iterable[str]) -> Player:
        silence = ["--stream-silence", f"{self.scene.seconds:g}"] if self.scene.seconds else []
        hosts = ",".join(sorted(set(names)))
        options = ["--gateway=tls", f"--gateway-hosts={hosts}", f"--hold={self._hold}", *silence]
        (ours,) = await self.scene.stage.players("agent", keepline=1, options=options)
        self.scene.everyone.append(ours)
        return ours

    async def ask_all(self, askers: Sequence[Asker], variants: Variants) -> None:
        """Have all samples asked for; those who ask alike take them from one queue."""
        waiting = {kind: self._samples(*kind, variants) for kind in map(_kind, askers)}
        async with trio.open_nursery() as nursery:
            for asker in askers:
                nursery.start_soon(self._work, asker, waiting[_kind(asker)])

    def _samples(self, is_bare: bool, is_by_h2: bool, variants: Variants) -> deque[Variant]:
        return deque(
            variant
            for round_ in range(self.scene.bare if is_bare else self.scene.times)
            for number, variant in enumerate(variants(round_))
            if is_bare or self._is_only_h2 or (round_ + number) % 2 == is_by_h2
        )

    async def _work(self, asker: Asker, waiting: deque[Variant]) -> None:
        while waiting:
            await self.ask(asker, waiting.popleft())

    async def ask(self, asker: Asker, variant: Variant) -> None:
        """Ask once, and judge."""
        number = next(self.numbers)
        self.api.script.add(*variant.failures, key=str(number))
        reply = await self.do(asker, "ask", number, stream=variant.is_streamed)
        if reply is None:
            sample = Sample(math.inf, NO_ANSWER)
        else:
            sample = Sample(reply.seconds, _told(reply.said), self._wrong(number, reply.said))
        self.scene.note(asker.player, sample)

    async def do(
        self, asker: Asker, do: str, number: int, *, within: float = _CAP, **more: Any
    ) -> Reply | None:
        """Have a client do something, for as long as may be."""
        player = asker.player
        watchdogs = _WATCHDOGS if player.under_keepline else _BARE_WATCHDOGS
        settings = {"url": asker.url, "headers": _FIELDS} | _SOON | watchdogs | more
        with trio.move_on_after(within):
            return await player.do(do, key=str(number), seed=number, **settings)
        return None

    def _wrong(self, number: int, said: Mapping[str, Any]) -> str:
        """Return what no promise allows."""
        found = list(self.rules_broken(number, said))
        tries = self.api.log.attempts(str(number))
        if said["outcome"] == "ok":
            last = message(number, tries[-1].version)
            if said["digest"] != last.digest():
                found.append("another message than the server's last one")
        return "; ".join(found)

    def rules_broken(self, number: int, said: Mapping[str, Any]) -> list[str]:
        """Ask the server's log."""
        tries = self.api.log.attempts(str(number))
        found: list[str] = []
        for key in {asked.request.key for asked in tries}:
            at = said["content_at"] if said.get("content_key") == key else None
            # Date.now() is in whole milliseconds.
            content_at = None if at is None else at / 1000 + 0.001
            found += self.api.log.broken(key, content_at=content_at)
        for name, value in _FIELDS.items():
            if any(asked.request.field(name) != value for asked in tries):
                found.append(f"{name} was changed")
        return found


def _kind(asker: Asker) -> tuple[bool, bool]:
    return not asker.player.under_keepline, asker.is_by_h2


def _told(said: Mapping[str, Any]) -> str:
    """Say what the client saw of the losses; nothing is what is hoped for."""
    if said["outcome"] == "fatal":
        return f"fatal: {said['error']}"
    if said["outcome"] != "ok":
        return str(said["outcome"])
    return ASKED_AGAIN if said["retries"] or said["fallbacks"] else ""


# 18 to 21: what may be asked for again


async def lost(scene: Scene, faults: Sequence[Fault], hold: Hold) -> None:
    """All variants of some faults; time counts from the request."""
    gateway = Gateway(scene, hold, is_only_h2=set(faults) <= ONLY_H2)
    at_once = _SILENT_AT_ONCE if Fault.SILENCE in faults else _AT_ONCE
    is_shared = not set(faults) & _OF_THE_CONNECTION  # else one's loss would be that of all
    by_h2 = at_once * 2 if set(faults) <= ONLY_H2 else at_once
    askers = await gateway.serve(h2=by_h2, h1=at_once, is_shared=is_shared)
    await gateway.ask_all(askers, partial(variants, faults, is_short=scene.is_short))


def variants(faults: Sequence[Fault], round_: int, *, is_short: bool) -> list[Variant]:
    """Return each fault at each place, so many times in a row; if short, each place once."""
    pause = _PAUSE if round_ // 2 % 2 == 0 else 0
    every = [
        Variant([Failure(fault, position, pause)] * times, position is not Position.IN_BODY)
        for fault in faults
        for position in places(fault)
        for times in _IN_A_ROW
    ]
    if not is_short:
        return every
    kinds = len(_IN_A_ROW)
    return [each for number, each in enumerate(every) if number % kinds == number // kinds % kinds]


def places(fault: Fault) -> list[Position]:
    """Return the positions; a head that does not come is no loss: it may be ten minutes late."""
    is_silence = fault is Fault.SILENCE
    return [each for each in possible(fault) if not (is_silence and each is Position.START)]


async def lost_together(scene: Scene, faults: Sequence[Fault], hold: Hold) -> None:
    """Ten requests on one HTTP/2 connection, lost together by the fault of one, which fails twice.

    The others would fail a second later, so all of them are in the middle of their answers.
    """
    gateway = Gateway(scene, hold, is_only_h2=True)
    askers = await gateway.serve(h2=_TOGETHER, h1=0, is_shared=True)
    places_ = [each for each in Position if each not in {Position.START, Position.IN_BODY}]
    for round_ in range(scene.times):
        fault = faults[round_ % len(faults)]
        async with trio.open_nursery() as nursery:
            for number, asker in enumerate(askers):
                pauses = (_PAUSE, _PAUSE) if number == 0 else (1.0,)
                position = places_[(round_ + number) % len(places_)]
                failures = [Failure(fault, position, pause) for pause in pauses]
                nursery.start_soon(gateway.ask, asker, Variant(failures))


async def drained(scene: Scene, hold: Hold) -> None:
    """A GOAWAY before each answer, which goes on; the next request needs another connection."""
    gateway = Gateway(scene, hold, is_only_h2=True)
    askers = await gateway.serve(h2=2, h1=0)
    await gateway.ask_all(askers, lambda _round: [Variant([Failure(Fault.GOAWAY_DRAIN)])])
    for asked in gateway.api.log.asked:
        if len(gateway.api.log.attempts(asked.request.key)) > 1:
            scene.note(askers[0].player, Sample(0, wrong="an answer that went on was left"))


# 22: what is passed on as it is


async def passed_on(scene: Scene) -> None:
    """Errors that the server means: the client is told, and the server asked once."""
    gateway = Gateway(scene, "message")
    for asker in await gateway.serve(h2=1, h1=1):
        for _ in range(scene.times if asker.player.under_keepline else scene.bare):
            for told in _TOLD:
                await _pass_on(gateway, asker, told)


async def _pass_on(gateway: Gateway, asker: Asker, told: Failure | Status) -> None:
    number = next(gateway.numbers)
    gateway.api.script.add(told, key=str(number))
    reply = await gateway.do(asker, "ask", number, stream=True)
    if reply is None:
        gateway.scene.note(asker.player, Sample(math.inf, NO_ANSWER))
        return
    if isinstance(told, Failure):
        is_told = reply.said["events"] == [told.fault.value]
    else:
        is_told = reply.said["statuses"][0] == told.code
    found = gateway.rules_broken(number, reply.said)
    if not is_told:
        found.append(f"{told} was not passed on")
    if len(gateway.api.log.tries(f"{number}.0")) > 1:
        found.append(f"{told} was asked for again")
    sample = Sample(reply.seconds, _told(reply.said), "; ".join(found))
    gateway.scene.note(asker.player, sample)


# 23: what may not be asked for again


async def unlisted(scene: Scene, faults: Sequence[Fault]) -> None:
    """A POST for something else: it may have been processed, or was refused."""
    gateway = Gateway(scene, "message", is_only_h2=set(faults) <= ONLY_H2)
    for asker in await gateway.serve(h2=1, h1=1):
        for _ in range(scene.times if asker.player.under_keepline else scene.bare):
            for fault in faults:
                if asker.is_by_h2 or fault not in ONLY_H2:
                    await _post(gateway, asker, fault)


async def _post(gateway: Gateway, asker: Asker, fault: Fault) -> None:
    number = next(gateway.numbers)
    position = possible(fault)[number % len(possible(fault))]
    gateway.api.script.add(Failure(fault, position), key=str(number))
    url = f"https://{asker.name}/v1/other"
    reply = await gateway.do(asker, "send", number, url=url, method="POST", body="{}")
    if reply is None:
        gateway.scene.note(asker.player, Sample(math.inf, NO_ANSWER))
        return
    tries = gateway.api.log.attempts(str(number))
    found = gateway.rules_broken(number, reply.said)
    if fault not in UNPROCESSED and len(tries) > 1:
        found.append(f"asked {len(tries)} times")
    gateway.scene.note(asker.player, Sample(reply.seconds, reply.error or "", "; ".join(found)))


# 24: nothing fails


async def well(scene: Scene, hold: Hold) -> None:
    """Time counts from the request to the first content_block_delta.

    Bare and kept ask in turns, over the same HTTP, so that the server's time is in both; each
    asks a number of times without a pause, as processors that were idle slow down all. The server
    stands for another machine, so it has a processor of its own.
    """
    server, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or {server})  # what is started has them too
    gateway = Gateway(scene, hold)
    askers = await gateway.serve(h2=1, h1=1)
    if scene.bare:
        (bare,) = await scene.stage.players("agent-h2", bare=1)
        askers.append(Asker(bare, next(asker.name for asker in askers if asker.is_by_h2)))
    os.sched_setaffinity(0, {server})
    firsts: dict[Asker, list[_First]] = {asker: [] for asker in askers}
    for begun in range(0, scene.times, _IN_A_TURN):
        for asker, told in firsts.items():
            told.extend(await _turn(gateway, asker, min(_IN_A_TURN, scene.times - begun)))
    if hold == "block" and scene.bare and scene.times >= _ENOUGH:
        medians = {_kind(asker): _median(each) for asker, each in firsts.items()}
        for asker in askers:
            if asker.player.under_keepline:
                by_h2 = asker.is_by_h2
                _compare(scene, asker, medians[False, by_h2], medians[True, by_h2])


class _First(NamedTuple):
    """Seconds to the first content."""

    asked: float
    """From the request on."""
    answered: float
    """From when the server had the whole request."""


_NEVER: Final = _First(math.inf, math.inf)


def _median(firsts: Sequence[_First]) -> _First:
    return _First(*map(median, zip(*firsts, strict=True)))


def _compare(scene: Scene, asker: Asker, kept: _First, bare: _First) -> None:
    """Note it if what is kept comes too late."""
    later, answer = kept.asked - bare.asked, kept.answered - bare.answered
    if later > _LATER:
        why = (
            f"over {'HTTP/2' if asker.is_by_h2 else 'HTTP/1.1'} {later * 1000:.1f} ms later,"
            f" of these {answer * 1000:.1f} ms on the answer's way"
        )
        scene.note(asker.player, Sample(kept.asked, wrong=why))


async def _turn(gateway: Gateway, asker: Asker, times: int) -> list[_First]:
    """Ask so often, and then judge."""
    numbers = list(islice(gateway.numbers, times))
    replies = [await gateway.do(asker, "ask", number, stream=True) for number in numbers]
    return [
        _judged(gateway, asker, number, reply)
        for number, reply in zip(numbers, replies, strict=True)
    ]


def _judged(gateway: Gateway, asker: Asker, number: int, reply: Reply | None) -> _First:
    if reply is None:
        gateway.scene.note(asker.player, Sample(math.inf, NO_ANSWER))
        return _NEVER
    said = reply.said
    found = gateway.rules_broken(number, said)
    expected = stream.body(message(number), pings=False)
    if said["raw"] != sha256(expected).hexdigest():
        found.append("other bytes")
    first = _NEVER
    if said["first"] is not None:
        had = gateway.api.log.attempts(str(number))[-1].at
        first = _First(float(said["first"]) / 1000, float(said["first_at"]) / 1000 - had)
    gateway.scene.note(asker.player, Sample(first.asked, _told(said), "; ".join(found)))
    return first


_AT_ONCE: Final = 16
_SILENT_AT_ONCE: Final = 50
"""Askers, over each of the two; mostly they wait."""

_OF_THE_CONNECTION: Final = frozenset(
    {Fault.FIN, Fault.TLS_CLOSE, Fault.RST, Fault.GOAWAY, Fault.GOAWAY_ABOVE}
)
"""They end an HTTP/2 connection, under all of its streams."""

_TOGETHER: Final = 10
_ENOUGH: Final = 50
"""Samples, for medians to be compared."""

_IN_A_TURN: Final = 50
"""Requests of one asker, until it is the next one's turn."""

_LATER: Final = 0.002
"""Seconds."""

_TOLD: Final[Sequence[Failure | Status]] = (
    *(
        Failure(fault, position)
        for fault in (Fault.RATE_LIMIT, Fault.INVALID)
        for position in possible(fault)
    ),
    *(Status(code) for code in (400, 401, 408, 409, 413, 429, 500, 503, 529)),
    Status(429, should_retry=False),
)

_HOLDS: Final[Mapping[Hold, Promise]] = {
    "message": Promise("0 visible losses", _CAP),
    "block": Promise("none fatal, none silently wrong", _CAP, bearable=(ASKED_AGAIN,)),
}
_LOST: Final[Sequence[tuple[int, str, Sequence[Fault]]]] = (
    (18, "FIN", [Fault.FIN]),
    (18, "TLS close", [Fault.TLS_CLOSE]),
    (18, "RST", [Fault.RST]),
    (19, "GOAWAY, then FIN", [Fault.GOAWAY]),
    (19, "RST_STREAM (INTERNAL_ERROR, CANCEL)", [Fault.RST_INTERNAL, Fault.RST_CANCEL]),
    (19, "not processed: REFUSED_STREAM, GOAWAY below the stream", sorted(UNPROCESSED, key=str)),
    (20, "silence, {seconds} s of it a loss", [Fault.SILENCE]),
    (21, "clean end without message_stop", [Fault.CLEAN_END]),
    (21, "error event (overloaded_error, api_error)", [Fault.OVERLOADED, Fault.API_ERROR]),
)
_UNHURT: Final[Mapping[Hold, str]] = {
    "message": "the same bytes but for pings",
    "block": "the same bytes but for pings; the median first content 2 ms later at most",
}
_ENDED: Final = (Fault.FIN, Fault.TLS_CLOSE, Fault.RST)

ROWS: Final = [
    *(
        Row(
            number=number,
            fault=f"{what}; hold = {hold}",
            client="agent",
            promise=promise,
            play=partial(lost, faults=faults, hold=hold),
            times=50,
            bare=0 if set(faults) <= ONLY_H2 else 2,
            seconds=5 if Fault.SILENCE in faults else 0,
            short=2 if Fault.SILENCE in faults else 0,
            group="gateway",
        )
        for number, what, faults in _LOST
        for hold, promise in _HOLDS.items()
    ),
    *(
        Row(
            number=19,
            fault=f"FIN, RST or GOAWAY under ten answers at once; hold = {hold}",
            client="agent",
            promise=promise,
            play=partial(lost_together, faults=(Fault.FIN, Fault.RST, Fault.GOAWAY), hold=hold),
            times=50,
            bare=0,
            group="gateway",
        )
        for hold, promise in _HOLDS.items()
    ),
    Row(
        number=19,
        fault="GOAWAY before an answer that goes on; hold = message",
        client="agent",
        promise=Promise("0 visible losses, nothing asked twice", _CAP),
        play=partial(drained, hold="message"),
        times=200,
        bare=0,
        group="gateway",
    ),
    Row(
        number=22,
        fault="error event (rate_limit_error, invalid_request_error) or status; hold = message",
        client="agent",
        promise=Promise("passed on as it is, asked once", _CAP, "any"),
        play=passed_on,
        times=25,
        bare=2,
        group="gateway",
    ),
    Row(
        number=23,
        fault="POST for something else, may have been processed: FIN, TLS close, RST, RST_STREAM",
        client="agent",
        promise=Promise("asked once: loss told", _CAP, "all"),
        play=partial(unlisted, faults=(*_ENDED, Fault.GOAWAY, Fault.RST_INTERNAL)),
        times=50,
        bare=2,
        group="gateway",
    ),
    Row(
        number=23,
        fault="POST for something else, not processed: REFUSED_STREAM, GOAWAY below the stream",
        client="agent",
        promise=Promise("0 visible losses, processed once", _CAP),
        play=partial(unlisted, faults=sorted(UNPROCESSED, key=str)),
        times=50,
        bare=0,
        group="gateway",
    ),
    *(
        Row(
            number=24,
            fault=f"none; hold = {hold}",
            client="agent",
            promise=Promise(text, 2.0),
            play=partial(well, hold=hold),
            times=1000,
            bare=1000,
            group="alone",
        )
        for hold, text in _UNHURT.items()
    ),
]
