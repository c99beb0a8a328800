"""Networks in which the way to names is odd: EDNS, resolv.conf, aliases, and odd addresses."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import dns.message
import trio

from tests.same.row import Situation
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.nameserver import serve_names
from tests.support.internet.servers.zone import Trouble, Zone
from tests.support.internet.world import NAMES, OTHER_NAMES, SERVER

from .situations import HTTP, SILENT, Network, served

_STUB: Final = "127.0.0.53"
_OPT: Final = 11
"""Bytes of the OPT record that ends an answer."""


def middlebox(trouble: Trouble) -> Situation:
    """Have something before the resolvers do this to questions or answers."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        network.internet.zone.trouble = trouble
        network.internet.zone.add("v4.test", "TXT", "text")
        async with served(network):
            yield

    return situation


def without_opt(answer: bytes) -> bytes:
    """Take the OPT record out, and leave it counted."""
    return answer[:-_OPT]


def counted(answer: bytes) -> bytes:
    """Count one authority and one additional record more than there are."""
    authority, additional = (int.from_bytes(answer[at : at + 2], "big") + 1 for at in (8, 10))
    return answer[:8] + authority.to_bytes(2, "big") + additional.to_bytes(2, "big") + answer[12:]


def aliases(count: int) -> Situation:
    """Have `alias.test` lead to `v4.test` by so many aliases."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        names = ["alias", *(f"a{number}" for number in range(1, count)), "v4"]
        for name, target in itertools.pairwise(names):
            network.internet.zone.add(f"{name}.test", "CNAME", f"{target}.test.")
        async with served(network):
            yield

    return situation


@asynccontextmanager
async def alias_loop(network: Network) -> AsyncIterator[None]:
    """`alias.test` is an alias of an alias of itself."""
    network.internet.zone.add("alias.test", "CNAME", "other.test.")
    network.internet.zone.add("other.test", "CNAME", "alias.test.")
    async with served(network):
        yield


def resolv_conf(text: str, prepare: Callable[[Network], None] = lambda _: None) -> Situation:
    """Have the host's resolv.conf say this, and a resolver on its loopback."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        client = network.internet.client
        client.resolv_conf.write_text(text)
        prepare(network)
        await network.nursery.start(serve_names, client, _STUB, network.internet.zone_of_other)
        async with served(network):
            yield

    return situation


def tcp_alone(network: Network) -> None:
    """Have the resolvers answer over TCP alone."""
    network.internet.zone.trouble = Trouble(silent=True, over_udp=True)


def quiet_name(network: Network) -> None:
    """Have the resolvers say nothing about `quiet.test`."""
    network.internet.zone.set_trouble("quiet.test", Trouble(silent=True))


def slow(seconds: float) -> Callable[[Network], None]:
    """Have the resolvers take so long."""

    def prepare(network: Network) -> None:
        network.internet.zone.trouble = Trouble(delay=seconds)

    return prepare


def large(network: Network) -> None:
    """Have `v4.test` have more addresses than a datagram has room for."""
    addresses = (f"203.0.113.{number}" for number in range(100, 150))
    network.internet.zone.add("v4.test", "A", SERVER, *addresses)
    network.internet.zone.keep_order("v4.test", "A")


@asynccontextmanager
async def other_sender(network: Network) -> AsyncIterator[None]:
    """The first resolver answers from another address than it was asked at."""
    client = network.internet.client
    client.use_resolvers("127.0.0.60", OTHER_NAMES)
    with client:
        asked = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        sender = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
    await asked.bind(("127.0.0.60", 53))
    await sender.bind(("127.0.0.61", 53))

    async def answer() -> None:
        while True:
            packet, program = await asked.recvfrom(4096)
            zone = Zone()
            zone.add("v4.test", "A", SILENT)
            await sender.sendto(zone.answer(dns.message.from_wire(packet)).to_wire(), program)

    with asked, sender:
        network.nursery.start_soon(answer)
        async with served(network):
            yield


def serving(address: str) -> Situation:
    """Have `odd.test` resolve to this address, and a server there."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        network.name("odd.test", address)
        network.internet.backbone.right.add_address(f"{address}/32")
        network.internet.backbone.left.add_route(f"{address}/32", SERVER)
        await network.serve(Site(), HTTP, address)
        async with served(network):
            yield

    return situation


def resolvers_away(seconds: float) -> Situation:
    """Have the way drop all questions for so many seconds."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        async def heal() -> None:
            await network.sleep(seconds)
            fault.remove()

        fault = drop(network.internet.router, Packets(destination=NAMES))
        async with served(network), trio.open_nursery() as nursery:
            nursery.start_soon(heal)
            yield
            nursery.cancel_scope.cancel()

    return situation
