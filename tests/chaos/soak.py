"""Row 17: an hour of bad weather; no request may hang, and the relay may keep nothing of it.

Twenty loops of requests, ten by each of two clients, each under a keepline of its own. Before
and after, all is quiet until the server has closed every idle connection; then the relays'
descriptors, open connections and memory are compared.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

import trio

from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
)
from tests.support.internet.enter import enter
from tests.support.internet.faults import lose
from tests.support.internet.servers.broken import reset, sent
from tests.support.internet.servers.http import Exchange, Request
from tests.support.machine.procfs import descriptors, resident_memory

from .players import Kind, Player, program
from .site import Site
from .stage import Stage, base, stage

HANG: Final = 30.0
"""Seconds without an outcome."""

LOOPS: Final = 10
"""Of each client."""

_LOSS: Final = 0.01
_PAUSE: Final = 1.0
_IDLE_LIMIT: Final = 6.0
_QUIET: Final = 20.0
_WARM_UP: Final = 60.0
_PATHS: Final = ("", "late/0.5", "slow/20/0.05", "bytes/3000", "bytes/300000")
_BREAKS: Final = 0.04
_FORGETS: Final = (20.0, 90.0)
_MOST_GROWTH: Final = 8 << 20
"""Bytes of memory that a relay may have more at the end: Python keeps what it once needed."""


@dataclass
class Relay:
    """What one relay holds while nothing happens."""

    descriptors: int
    open_connections: int
    memory: int

    @classmethod
    def of(cls, player: Player) -> "Relay":
        """Measure it."""
        kinds = Counter(type(event) for event in player.events())
        ended = kinds[ConnectionClosed] + kinds[DialFailed] + kinds[ConnectionDenied]
        return cls(
            len(descriptors(player.pid)),
            kinds[ConnectionOpened] - ended,
            resident_memory(player.pid),
        )


@dataclass
class Soaked:
    """What an hour did."""

    requests: int = 0
    answered: int = 0
    hangs: int = 0
    told: dict[str, int] = field(default_factory=dict)
    """Errors, by what the client said."""
    worst: float = 0.0
    median: float = 0.0
    before: list[Relay] = field(default_factory=list)
    """Each relay after the first minute."""
    after: list[Relay] = field(default_factory=list)
    minutes: float = 0.0

    def broken(self) -> Iterator[str]:
        """Yield in which ways the promise is broken: 0 hangs, 0 leaks."""
        if self.hangs:
            yield f"{self.hangs} hangs"
        for before, after in zip(self.before, self.after, strict=True):
            if after.descriptors > before.descriptors:
                yield f"{after.descriptors - before.descriptors} descriptors leaked"
            if after.open_connections:
                yield f"{after.open_connections} connections never ended"
            if after.memory > before.memory + _MOST_GROWTH:
                yield f"memory grew by {(after.memory - before.memory) >> 20} MiB"
        if not self.answered:
            yield "nothing was answered"

    @classmethod
    def from_json(cls, text: str) -> "Soaked":
        """Read what `main` wrote."""
        said: dict[str, Any] = json.loads(text)
        for when in ("before", "after"):
            said[when] = [Relay(**relay) for relay in said[when]]
        return cls(**said)


class Moody(Site):
    """Breaks some answers by FIN or RST, before them or in the middle."""

    def __init__(self) -> None:
        super().__init__(_IDLE_LIMIT)
        self.breaks = _BREAKS

    async def answer(self, request: Request, exchange: Exchange, stream: trio.abc.Stream) -> None:
        """Answer, or not."""
        if random.random() > self.breaks:
            await super().answer(request, exchange, stream)
            return
        if random.random() < 0.5:
            await exchange.send_head("200 OK", "Content-Length: 1000")
            await exchange.send(b"half")
        if random.random() < 0.5:
            await sent(stream)
            reset(stream)
        await trio.aclose_forcefully(stream)
        raise trio.BrokenResourceError("broken on purpose")


async def soak(it: Stage, minutes: float, clients: Sequence[Kind]) -> Soaked:
    """Play it, its first minute, or third, being the warm-up."""
    site = Moody()
    await it.serve_site(site)
    players: list[Player] = []
    for kind in clients:
        players += await it.players(kind, keepline=1, options=["--log-limit", "256"])
    done = Soaked(minutes=minutes)
    warm_up = min(_WARM_UP, minutes * 20)
    await _weather(it, players, done, warm_up)
    done.before = [Relay.of(player) for player in players]
    await _weather(it, players, done, minutes * 60 - warm_up)
    done.after = [Relay.of(player) for player in players]
    assert site.requests
    return done


async def _weather(it: Stage, players: Sequence[Player], done: Soaked, seconds: float) -> None:
    """Make requests in bad weather for so long, then be quiet in good weather."""
    over = trio.current_time() + seconds
    taken: list[float] = []
    with lose(it.internet.router, _LOSS):
        async with trio.open_nursery() as nursery:
            forgetting = trio.CancelScope()
            nursery.start_soon(_forget, it, forgetting)
            async with trio.open_nursery() as loops:
                for player in players:
                    for _ in range(LOOPS * 2 // len(players)):
                        loops.start_soon(_requests, player, done, over, taken)
            forgetting.cancel()
    done.median = median(taken)
    for player in players:
        if player.kind == "python":
            await player.do("drop_pool")
    await trio.sleep(_QUIET)


async def _forget(it: Stage, scope: trio.CancelScope) -> None:
    with scope:
        while True:
            await trio.sleep(random.uniform(*_FORGETS))
            it.internet.nat.forget()


async def _requests(player: Player, done: Soaked, over: float, taken: list[float]) -> None:
    await trio.sleep(random.uniform(0, _PAUSE))
    while trio.current_time() < over:
        done.requests += 1
        since = trio.current_time()
        number = player.order("fetch", url=f"{base(player.kind)}/{random.choice(_PATHS)}")
        reply = None
        with trio.move_on_after(HANG):
            reply = await player.reply(number, since)
        if reply is None:
            done.hangs += 1
            _count(done.told, f"hang at {time.strftime('%H:%M:%S')} of {player.kind} {number}")
            reply = await player.reply(number, since)
        done.worst = max(done.worst, reply.seconds)
        taken.append(reply.seconds)
        if reply.error is None:
            done.answered += 1
        else:
            _count(done.told, reply.error)
        await trio.sleep(random.uniform(0.5, 1.5) * _PAUSE)


async def _play(minutes: float) -> Soaked:
    async with stage() as it:
        return await soak(it, minutes, _clients())


def main() -> int:
    """Play it for so many minutes and write what became of it as JSON."""
    enter(as_root=False)
    done = trio.run(_play, float(sys.argv[1]))
    sys.stdout.write(json.dumps(asdict(done)))
    return 0


def _clients() -> list[Kind]:
    """Return the clients this machine has: one like the real one, and Python."""
    wanted: tuple[Kind, ...] = ("bun", "python")
    return [kind for kind in wanted if program(kind)]


def _count(told: dict[str, int], what: str) -> None:
    told[what] = told.get(what, 0) + 1


if __name__ == "__main__":
    sys.exit(main())
