"""Rows 18 to 24: requests to the API host, lost before or in the middle of their answers.

A variant is one fault at one place, 1, 2 or 5 times in a row; after that the request is served
well. Each row has all the variants of its faults, and a row's `times` are samples of each variant:
under keepline every other one over HTTP/2 upstream, the others over HTTP/1.1. Bare, the client
speaks HTTP/1.1, so what only HTTP/2 has is not played there.

The server never says the same twice, so an answer put together from two tries shows.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count
from statistics import median
from typing import Any, Final, Literal, TypeAlias

import trio

from tests.internet.servers.api import stream
from tests.internet.servers.api.faults import (
    ONLY_H2,
    UNPROCESSED,
    Failure,
    Fault,
    Status,
    possible,
)
from tests.internet.servers.api.messages import message
from tests.internet.servers.api.server import BOTH, Api, context
from tests.internet.servers.api.stream import Position
from tests.internet.servers.listening import over_tls
from tests.internet.world import SECOND, SERVER

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
class Session:
    """A client that asks one after the other, or so many at a time."""

    player: Player
    name: str
    at_once: int = 1

    @property
    def url(self) -> str:
        """Where the messages are."""
        return f"https://{self.name}/v1/messages"


class Gateway:
    """The API, and the clients that ask it."""

    def __init__(self, scene: Scene, hold: Hold, *, is_only_h2: bool = False) -> None:
        self.api = Api()
        self.scene = scene
        self._hold = hold
        self._is_only_h2 = is_only_h2
        self.numbers = count(1)

    async def serve(self) -> None:
        """Serve under two names: with HTTP/2, and without it."""
        internet = self.scene.stage.internet
        internet.zone.add(_H1_NAME, "A", SECOND)
        places = ((NAME, SERVER, BOTH), (_H1_NAME, SECOND, ("http/1.1",)))
        for name, address, protocols in places:
            tls = context(internet.authority, name, protocols=protocols)
            await self.scene.stage.serve(over_tls(self.api, tls), 443, address)

    async def sessions(self, *, h2: tuple[int, int], h1: tuple[int, int]) -> list[Session]:
        """Start so many clients, each of which asks so much at a time; the bare one as h1 does."""
        found: list[Session] = []
        if self.scene.times:
            for name, (number, at_once) in ((NAME, h2), (_H1_NAME, h1)):
                if name == NAME or not self._is_only_h2:
                    players = await self._players(number, name)
                    found += [Session(player, name, at_once) for player in players]
        if self.scene.bare and not self._is_only_h2:
            (player,) = await self.scene.stage.players("agent", bare=1)
            found.append(Session(player, _H1_NAME, h1[1]))
        return found

    async def _players(self, number: int, name: str) -> list[Player]:
        silence = ["--stream-silence", f"{self.scene.seconds:g}"] if self.scene.seconds else []
        options = ["--gateway=tls", f"--gateway-hosts={name}", f"--hold={self._hold}", *silence]
        players = await self.scene.stage.players("agent", keepline=number, options=options)
        self.scene.everyone += players
        return players

    async def ask_all(self, sessions: Sequence[Session], variants: Variants) -> None:
        """Share the samples out among the sessions, and have all of them asked for."""
        async with trio.open_nursery() as nursery:
            for session in sessions:
                waiting = self._share(session, sessions, variants)
                for _ in range(session.at_once):
                    nursery.start_soon(self._work, session, waiting)

    def _share(
        self, session: Session, sessions: Sequence[Session], variants: Variants
    ) -> deque[Variant]:
        """Give a session its part: one that is alike has every second, third ... of the same."""
        alike = [each for each in sessions if _kind(each) == _kind(session)]
        is_bare = not session.player.under_keepline
        times = self.scene.bare if is_bare else self.scene.times
        samples = [
            variant
            for round_ in range(times)
            for number, variant in enumerate(variants(round_))
            if is_bare or self._is_only_h2 or (round_ + number) % 2 == (session.name == NAME)
        ]
        return deque(samples[alike.index(session) :: len(alike)])

    async def _work(self, session: Session, waiting: deque[Variant]) -> None:
        while waiting:
            await self.ask(session, waiting.popleft())

    async def ask(self, session: Session, variant: Variant) -> None:
        """Ask once, and judge."""
        number = next(self.numbers)
        self.api.script.add(*variant.failures, key=str(number))
        reply = await self.do(session, "ask", number, stream=variant.is_streamed)
        if reply is None:
            sample = Sample(math.inf, NO_ANSWER)
        else:
            sample = Sample(reply.seconds, _told(reply.said), self._wrong(number, reply.said))
        self.scene.note(session.player, sample)

    async def do(self, session: Session, do: str, number: int, **more: Any) -> Reply | None:
        """Have a client do something, for as long as may be."""
        player = session.player
        watchdogs = _WATCHDOGS if player.under_keepline else _BARE_WATCHDOGS
        settings = {"url": session.url, "headers": _FIELDS} | _SOON | watchdogs | more
        with trio.move_on_after(_CAP):
            return await player.do(do, key=str(number), seed=number, **settings)
        return None

    def _wrong(self, number: int, said: Mapping[str, Any]) -> str:
        """Tell what no promise allows."""
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


def _kind(session: Session) -> tuple[str, bool]:
    return session.name, session.player.under_keepline


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
    await gateway.serve()
    if Fault.SILENCE in faults:
        sessions = await gateway.sessions(h2=(2, 50), h1=(2, 50))
    else:  # a fault that ends an HTTP/2 connection would meet all of its streams
        sessions = await gateway.sessions(h2=(6, 1), h1=(1, 6))
    await gateway.ask_all(sessions, partial(variants, faults))


def variants(faults: Sequence[Fault], round_: int) -> list[Variant]:
    """Give each fault at each place, so many times in a row."""
    pause = _PAUSE if round_ // 2 % 2 == 0 else 0
    return [
        Variant([Failure(fault, position, pause)] * times, position is not Position.IN_BODY)
        for fault in faults
        for position in places(fault)
        for times in _IN_A_ROW
    ]


def places(fault: Fault) -> list[Position]:
    """Tell where; a head that does not come is no loss: it may be as late as ten minutes."""
    is_silence = fault is Fault.SILENCE
    return [each for each in possible(fault) if not (is_silence and each is Position.START)]


async def lost_together(scene: Scene, faults: Sequence[Fault], hold: Hold) -> None:
    """Ten requests on one HTTP/2 connection, lost together, and twice more."""
    gateway = Gateway(scene, hold, is_only_h2=True)
    await gateway.serve()
    sessions = await gateway.sessions(h2=(1, _TOGETHER), h1=(0, 0))
    places_ = [each for each in Position if each not in {Position.START, Position.IN_BODY}]

    def of_round(round_: int) -> list[Variant]:
        fault = faults[round_ % len(faults)]
        return [
            Variant([Failure(fault, position, _PAUSE)] * 2)
            for position in (places_ * 3)[round_ % len(places_) :][:_TOGETHER]
        ]

    await gateway.ask_all(sessions, of_round)


async def drained(scene: Scene, hold: Hold) -> None:
    """A GOAWAY before each answer, which goes on; the next request needs another connection."""
    gateway = Gateway(scene, hold, is_only_h2=True)
    await gateway.serve()
    sessions = await gateway.sessions(h2=(2, 1), h1=(0, 0))
    await gateway.ask_all(sessions, lambda _round: [Variant([Failure(Fault.GOAWAY_DRAIN)])])
    for asked in gateway.api.log.asked:
        if len(gateway.api.log.attempts(asked.request.key)) > 1:
            scene.note(sessions[0].player, Sample(0, wrong="an answer that went on was left"))


# 22: what is passed on as it is


async def passed_on(scene: Scene) -> None:
    """Errors that the server means: the client is told, and the server asked once."""
    gateway = Gateway(scene, "message")
    await gateway.serve()
    for session in await gateway.sessions(h2=(1, 1), h1=(1, 1)):
        for _ in range(scene.times if session.player.under_keepline else scene.bare):
            for told in _TOLD:
                await _pass_on(gateway, session, told)


async def _pass_on(gateway: Gateway, session: Session, told: Failure | Status) -> None:
    number = next(gateway.numbers)
    gateway.api.script.add(told, key=str(number))
    reply = await gateway.do(session, "ask", number, stream=True)
    if reply is None:
        gateway.scene.note(session.player, Sample(math.inf, NO_ANSWER))
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
    gateway.scene.note(session.player, sample)


# 23: what may not be asked for again


async def unlisted(scene: Scene, faults: Sequence[Fault]) -> None:
    """A POST for something else: it may have been processed, or was refused."""
    gateway = Gateway(scene, "message", is_only_h2=set(faults) <= ONLY_H2)
    await gateway.serve()
    for session in await gateway.sessions(h2=(1, 1), h1=(1, 1)):
        for _ in range(scene.times if session.player.under_keepline else scene.bare):
            for fault in faults:
                if session.name == NAME or fault not in ONLY_H2:
                    await _post(gateway, session, fault)


async def _post(gateway: Gateway, session: Session, fault: Fault) -> None:
    number = next(gateway.numbers)
    position = possible(fault)[number % len(possible(fault))]
    gateway.api.script.add(Failure(fault, position), key=str(number))
    url = f"https://{session.name}/v1/other"
    reply = await gateway.do(session, "send", number, url=url, method="POST", body="{}")
    if reply is None:
        gateway.scene.note(session.player, Sample(math.inf, NO_ANSWER))
        return
    tries = gateway.api.log.attempts(str(number))
    found = gateway.rules_broken(number, reply.said)
    if fault not in UNPROCESSED and len(tries) > 1:
        found.append(f"asked {len(tries)} times")
    gateway.scene.note(session.player, Sample(reply.seconds, reply.error or "", "; ".join(found)))


# 24: nothing fails


async def well(scene: Scene, hold: Hold) -> None:
    """Time counts from the request to the first event of its content."""
    gateway = Gateway(scene, hold)
    await gateway.serve()
    firsts: dict[bool, list[float]] = {False: [], True: []}
    sessions = await gateway.sessions(h2=(1, 1), h1=(1, 1))
    for session in sessions:
        is_ours = session.player.under_keepline
        for _ in range(scene.times if is_ours else 2 * scene.bare):
            number = next(gateway.numbers)
            reply = await gateway.do(session, "ask", number, stream=True)
            if reply is None:
                scene.note(session.player, Sample(math.inf, NO_ANSWER))
                continue
            said = reply.said
            found = gateway.rules_broken(number, said)
            expected = stream.body(message(number), pings=False)
            if said["raw"] != sha256(expected).hexdigest():
                found.append("other bytes")
            seconds = math.inf if said["first"] is None else said["first"] / 1000
            firsts[is_ours].append(seconds)
            scene.note(session.player, Sample(seconds, _told(said), "; ".join(found)))
    if hold == "block" and min(map(len, firsts.values())) >= _ENOUGH:
        later = median(firsts[True]) - median(firsts[False])
        if later > _LATER:
            why = f"the first event comes {later * 1000:.1f} ms later"
            ours = next(each.player for each in sessions if each.player.under_keepline)
            scene.note(ours, Sample(median(firsts[True]), wrong=why))


_TOGETHER: Final = 10
_ENOUGH: Final = 50
"""Samples, for medians to be compared."""

_LATER: Final = 0.002

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
    "block": "the same bytes but for pings, the median first event within 2 ms of bare",
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
            short=3 if Fault.SILENCE in faults else 0,
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
        times=25,
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
            times=200,
            bare=200,
            group="alone",
        )
        for hold, text in _UNHURT.items()
    ),
]
