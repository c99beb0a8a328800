"""Rows 1 to 4, 14 and 16: names and dials that fail."""

import random
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Final, TypeAlias

import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

from tests.support.internet.faults import drop, reset
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.zone import Trouble
from tests.support.internet.world import (
    GATEWAY,
    NAMES,
    OTHER_NAMES,
    SECOND,
    SERVER,
    THIRD,
    Internet,
)

from .players import Kind, Player
from .row import Promise, Row, Sample, Scene
from .site import Site
from .stage import Stage, base, each

Heal: TypeAlias = Callable[[], None]
Break: TypeAlias = Callable[[Stage], Heal]

_IDLE_LIMIT: Final = 0.5
_CAP: Final = 60.0
"""Seconds beyond the fault for which a client is waited for."""

_CAP_QUICK: Final = 10.0
"""The same where many samples are taken."""


# 1 to 3: outages


def refusing(stage: Stage) -> Heal:
    """Have the server's closed port answer."""
    return reset(stage.internet.server, Packets(destination=SERVER, only_syn=True)).remove


def swallowing_syns(stage: Stage) -> Heal:
    """Have the router swallow every dial to the server, and to the proxy in front of it."""
    packets = [Packets(destination=each, only_syn=True) for each in {SERVER, stage.hop}]
    faults = [drop(stage.internet.router, each) for each in packets]

    def heal() -> None:
        for fault in faults:
            fault.remove()

    return heal


def no_route(stage: Stage) -> Heal:
    """Take the default route away."""
    interface = stage.internet.access.left
    interface.remove_route("default", GATEWAY)
    return partial(interface.add_route, "default", GATEWAY)


def interface_down(stage: Stage) -> Heal:
    """Switch the client's interface off."""
    interface = stage.internet.access.left
    interface.down()
    return interface.up


def silent_names(stage: Stage) -> Heal:
    """Have the name server answer nothing."""
    return _troubled(stage.internet, Trouble(silent=True))


def failing_names(stage: Stage) -> Heal:
    """Have the name server answer SERVFAIL."""
    return _troubled(stage.internet, Trouble(rcode=dns.rcode.SERVFAIL))


def _troubled(internet: Internet, trouble: Trouble) -> Heal:
    internet.zone.trouble = trouble

    def heal() -> None:
        internet.zone.trouble = Trouble()

    return heal


async def outage(scene: Scene, break_it: Break, *, known: bool) -> None:
    """Requests on new connections at random moments of an outage; time counts from its end."""
    site = Site(_IDLE_LIMIT)
    await scene.stage.serve_site(site)
    players = await scene.crowd()
    if known:
        await _make_known(scene, site, players)
    heal = break_it(scene.stage)
    back = trio.current_time() + scene.seconds

    async def ask(player: Player) -> None:
        await trio.sleep(scene.moment())
        sample = Sample(float("inf"), "no answer")
        with trio.move_on_at(back + _CAP):
            reply = await player.fetch(base(player.kind))
            sample = Sample(max(0.0, reply.at - back), reply.error or "")
        scene.note(player, sample)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(each, players, ask)
        await trio.sleep_until(back)
        heal()
        back = trio.current_time()


async def own_time_out(scene: Scene) -> None:
    """A request into an outage that lasts longer than the client waits for a connection."""
    await scene.stage.serve_site(Site(_IDLE_LIMIT))
    players = await scene.crowd()
    heal = swallowing_syns(scene.stage)

    async def ask(player: Player) -> None:
        sample = Sample(float("inf"), "no answer")
        with trio.move_on_after(scene.seconds):
            reply = await player.fetch(base(player.kind))
            sample = Sample(reply.seconds, reply.error or "")
        scene.note(player, sample)

    await each(players, ask)
    heal()


async def outage_of_names(scene: Scene, break_it: Break) -> None:
    """Requests on new connections in an outage of a name server that has answered before."""
    scene.stage.internet.zone.add("server.test", "A", SERVER, ttl=1)
    site = Site(_IDLE_LIMIT)
    await scene.stage.serve_site(site)
    players = await scene.crowd()
    await _make_known(scene, site, players)
    heal = break_it(scene.stage)

    async def ask(player: Player) -> None:
        await trio.sleep(random.uniform(1, scene.seconds))
        sample = Sample(float("inf"), "no answer")
        with trio.move_on_after(_CAP):
            reply = await player.fetch(base(player.kind))
            sample = Sample(reply.seconds, reply.error or "")
        scene.note(player, sample)

    await each(players, ask)
    heal()


async def _make_known(scene: Scene, site: Site, players: list[Player]) -> None:
    """Have all fetch once, and wait until the server has closed their connections."""

    async def know(player: Player) -> None:
        reply = await player.fetch(base(player.kind))
        assert reply.error is None, reply.error

    await each(players, know)
    await site.until(lambda: site.open == 0)
    await trio.sleep(_IDLE_LIMIT)  # for the FINs to arrive, of which no event tells


# 4: two addresses


async def first_is_dead(scene: Scene, *, swallowed: bool) -> None:
    """The first of two addresses swallows SYNs, or refuses them; each request a new dial."""
    await scene.stage.serve_site(Site(once=True), "two.test", THIRD)
    scene.stage.internet.zone.keep_order("two.test", "A")
    if swallowed:
        drop(scene.stage.internet.router, Packets(destination=SECOND))
    for player, times in await scene.pair():
        for _ in range(times):
            await fetch_and_note(scene, player, base(player.kind, "two.test"))


async def fetch_and_note(scene: Scene, player: Player, url: str) -> None:
    """Fetch, for a time; the time counts from the request."""
    since = trio.current_time()
    number = player.order("fetch", url=url)
    with trio.move_on_after(_CAP_QUICK):
        reply = await player.reply(number, since)
        scene.note(player, Sample(reply.seconds, reply.error or ""))
        return
    scene.note(player, Sample(float("inf"), "no answer"))


# 14: other resolvers


async def other_resolvers(scene: Scene, *, known: bool) -> None:
    """Change resolv.conf before each request; the two name servers tell different addresses."""
    internet = scene.stage.internet
    await scene.stage.serve(Site(once=True, greeting=NAMES.encode()), 80, SERVER)
    await scene.stage.serve(Site(once=True, greeting=OTHER_NAMES.encode()), 80, SECOND)
    names = ["server.test" if known else f"name{n}.test" for n in range(scene.times + scene.bare)]
    for name in names:
        internet.zone.add(name, "A", SERVER)
        internet.zone_of_other.add(name, "A", SECOND)
    for player, times in await scene.pair():
        for _ in range(times):
            name = names.pop()
            resolver = OTHER_NAMES if len(names) % 2 else NAMES
            internet.client.use_resolvers(resolver)
            reply = await player.fetch(f"http://{name}")
            wrong = "" if reply.said["size"] == len(resolver) else "asked the old name server"
            scene.note(player, Sample(reply.seconds, reply.error or "", wrong))


# 16: many black holes

_ENOUGH: Final = 10
"""Samples, for medians to be compared."""


async def black_holes(scene: Scene) -> None:
    """Dial fifty addresses that answer nothing; then ask another one, each time anew."""
    await scene.stage.serve_site(Site(once=True))
    holes = [f"198.51.100.{number}" for number in range(1, 51)]
    for player, times in await scene.pair():
        alone = []
        for _ in range(times):
            reply = await player.fetch(base(player.kind))
            alone.append(reply.seconds)
        await player.do("dial_many", addresses=holes, port=443)
        beside = []
        for _ in range(times):
            reply = await player.fetch(base(player.kind))
            beside.append(reply.seconds)
            scene.note(player, Sample(reply.seconds, reply.error or ""))
        if times >= _ENOUGH and median(beside) > 2 * median(alone):
            why = f"median {median(beside):.4f} s beside black holes, {median(alone):.4f} s alone"
            scene.note(player, Sample(median(beside), wrong=why))


_OUTAGES: Final[tuple[tuple[Kind, bool, int], ...]] = (
    ("bun", False, 20),
    ("bun", True, 20),
    ("node", True, 8),  # it waits 10 s for a connection
    ("bun", True, 240),
)
_BACK: Final = Promise("0 errors, answer within 2 s of its return", 2.0)

ROWS: Final = [
    *(
        Row(
            number=1,
            fault="dial refused by a known destination, for {seconds} s",
            client=client,
            promise=_BACK,
            play=partial(outage, break_it=refusing, known=True),
            seconds=8 if client == "node" else 20,
            short=5,
        )
        for client in ("bun", "node", "python")
    ),
    *(
        Row(
            number=2,
            fault=f"{what}, {{seconds}} s, {'in the middle' if known else 'at start'}",
            client=client,
            promise=_BACK,
            play=partial(outage, break_it=break_it, known=known),
            seconds=seconds,
            short=10 if seconds > 20 else 5,
        )
        for what, break_it in (
            ("SYN black hole", swallowing_syns),
            ("no route", no_route),
            ("interface down", interface_down),
        )
        for client, known, seconds in _OUTAGES
    ),
    Row(
        number=2,
        fault="SYN black hole, {seconds} s, longer than the client waits",
        client="node",
        promise=Promise(
            "the client's own time-out of 10 s, as bare", 12.0, errors="all", later=1.0
        ),
        play=own_time_out,
        seconds=30,
        short=15,
    ),
    *(
        Row(
            number=3,
            fault=f"DNS {what} {{seconds}} s, at start",
            client=client,
            promise=Promise("0 errors, answer within 3.5 s of its return", 3.5),
            play=partial(outage, break_it=break_it, known=False),
            seconds=20,
            short=5,
        )
        for what, break_it in (("silent", silent_names), ("SERVFAIL", failing_names))
        for client in ("bun", "python")
    ),
    *(
        Row(
            number=3,
            fault=f"DNS {what} {{seconds}} s, in the middle, the last answer expired",
            client="bun",
            promise=Promise("unnoticed: 0 errors, answer within 1 s", 1.0),
            play=partial(outage_of_names, break_it=break_it),
            seconds=20,
            short=5,
        )
        for what, break_it in (("silent", silent_names), ("SERVFAIL", failing_names))
    ),
    *(
        Row(
            number=4,
            fault=f"first of two A records {what}",
            client=client,
            promise=Promise("0 errors, answer within 0.5 s", 0.5),
            play=partial(first_is_dead, swallowed=swallowed),
            times=200,
            bare=3,
            group="alone",
        )
        for what, swallowed in (("a black hole", True), ("refuses", False))
        for client in ("bun", "python")
    ),
    *(
        Row(
            number=14,
            fault=f"resolver changes, {'known' if known else 'new'} name",
            client="python",
            promise=Promise("the next lookup uses the new one, answer within 1 s", 1.0),
            play=partial(other_resolvers, known=known),
            times=200,
            bare=20,
            group="quick",
        )
        for known in (False, True)
    ),
    Row(
        number=16,
        fault="50 black-holed destinations dialled at once",
        client="python",
        promise=Promise(
            "others' median within twice that of before, and < 50 ms", 1.0, median=0.05
        ),
        play=black_holes,
        times=200,
        bare=200,
        group="alone",
    ),
]
